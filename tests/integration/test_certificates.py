"""A server whose certificate nobody vouches for: no request is sent to it, in no form, and nothing falls back to the clear."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import asynccontextmanager
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.rest import RestError, VenueRest
from smartmoney.adapters.websocket_transport import TransportError, connect_websockets
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.outcomes import Outcome
from smartmoney.venues.binance.protocol import Endpoints


def certificate(folder, *, days):
    """Write a key and a certificate that it signed itself for this machine, valid until so many days from now; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=400))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "key.pem", folder / "cert.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, content in zip(paths, (private, made.public_bytes(serialization.Encoding.PEM)), strict=True):
        path.write_bytes(content)
    return paths


@asynccontextmanager
async def serving(folder, days):
    """Serve TLS and count what comes through it; yield the port and the count."""
    key, cert = certificate(folder, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    heard = []

    async def serve(reader, writer):
        heard.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    # What fails in a handshake is this server's client's doing, and wanted.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("days", [30, -30], ids=["unknown", "expired"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_request(tmp_path, days):
    async with serving(tmp_path, days) as (port, heard):
        clock = SystemClock()
        where = Endpoints(rest=f"https://127.0.0.1:{port}", stream=f"wss://127.0.0.1:{port}")
        account = BinanceAccount(Market.SPOT, where, Credentials("key", "secret"), clock=clock)
        try:
            answer = await account.ask(calls.holdings(Market.SPOT))
            assert answer.outcome is Outcome.UNKNOWN
            assert "secret" not in answer.why()
        finally:
            await account.close()
        rest = VenueRest(Market.SPOT, where.rest, clock=clock, jitter=Random(1))
        try:
            with pytest.raises(RestError):
                await rest.instruments(("BTC/USDT",))
        finally:
            await rest.close()
        with pytest.raises(TransportError):
            await connect_websockets(where.stream + "/ws")
        assert [words for words in heard if words] == []
