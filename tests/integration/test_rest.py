"""Public reads against a scripted HTTP server on loopback; time is a jump clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import web

from smartmoney.adapters.clock import JumpClock
from smartmoney.adapters.rest import (
    RateLimitedError,
    RequestRejectedError,
    ResponseTooLargeError,
    RestPolicy,
    VenueRest,
    VenueUnavailableError,
)
from smartmoney.adapters.websocket_transport import InsecureAddressError
from smartmoney.core.domain.instruments import Market
from tests.waiting import dead_port

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Venue:
    """Answer each request with the next scripted answer, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.seen: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(str(request.rel_url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def says(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@asynccontextmanager
async def reading(
    venue: Venue, clock: JumpClock, policy: RestPolicy | None = None, market: Market = Market.SPOT
) -> AsyncIterator[VenueRest]:
    runner = web.ServerRunner(web.Server(venue.handle), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    rest = VenueRest(market, f"http://127.0.0.1:{port}", clock=clock, jitter=Random(5), policy=policy)
    try:
        yield rest
    finally:
        await rest.close()
        await runner.cleanup()


async def advancing(clock: JumpClock, work: Awaitable[bytes], *, within_s: float, step_s: float = 0.25) -> tuple[bytes, float]:
    """Return the outcome of work and how long it took on the clock."""
    task = asyncio.ensure_future(work)
    start_ns = clock.monotonic_ns()
    while not task.done():
        elapsed_s = (clock.monotonic_ns() - start_ns) / 1e9
        assert elapsed_s <= within_s, f"not done after {elapsed_s} s of the clock"
        await asyncio.wait([task], timeout=0.02)
        if not task.done():
            await clock.advance(step_s)
    return task.result(), (clock.monotonic_ns() - start_ns) / 1e9


async def test_snapshot_comes_back_as_raw_bytes_from_the_documented_path() -> None:
    body = b'{"lastUpdateId":5,"bids":[],"asks":[]}'
    venue = Venue(says(200, body))
    async with reading(venue, JumpClock()) as rest:
        assert await rest.depth_snapshot("BTCUSDT", 5000) == body
        assert venue.seen == ["/api/v3/depth?symbol=BTCUSDT&limit=5000"]
        assert rest.weight_available == pytest.approx(6000 * 0.8 - 250)


async def test_usdm_reads_use_their_own_paths() -> None:
    venue = Venue(says(200, b'{"serverTime":1770000000000}'))
    async with reading(venue, JumpClock(), market=Market.USDM) as rest:
        assert await rest.server_time_ms() == 1770000000000
        await rest.depth_snapshot("BTCUSDT")
        assert venue.seen == ["/fapi/v1/time", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"]


async def test_server_errors_are_retried_with_backoff_until_an_answer_comes() -> None:
    venue = Venue(says(502), says(503), says(200, b"ok"))
    clock = JumpClock()
    async with reading(venue, clock) as rest:
        body, took_s = await advancing(clock, rest.depth_snapshot("BTCUSDT"), within_s=5)
        assert body == b"ok"
        assert took_s > 0
        assert len(venue.seen) == 3


async def test_server_that_keeps_failing_is_given_up_after_the_bounded_attempts() -> None:
    venue = Venue(says(500))
    clock = JumpClock()
    async with reading(venue, clock) as rest:
        with pytest.raises(VenueUnavailableError, match="HTTP 500"):
            await advancing(clock, rest.depth_snapshot("BTCUSDT"), within_s=20)
        assert len(venue.seen) == 4


async def test_answer_that_never_comes_times_out_on_the_given_clock() -> None:
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    clock = JumpClock()
    async with reading(Venue(hang), clock, RestPolicy(attempts=1)) as rest:
        with pytest.raises(VenueUnavailableError, match="no answer within 10 s"):
            await advancing(clock, rest.depth_snapshot("BTCUSDT"), within_s=11)
        release.set()


async def test_short_retry_after_is_waited_for_and_the_read_succeeds() -> None:
    venue = Venue(says(429, Retry_After="7"), says(200, b"ok"))
    clock = JumpClock()
    async with reading(venue, clock) as rest:
        body, took_s = await advancing(clock, rest.depth_snapshot("BTCUSDT"), within_s=9)
        assert body == b"ok"
        assert took_s >= 7


@pytest.mark.parametrize(("status", "banned"), [(429, False), (418, True)])
async def test_long_retry_after_fails_at_once_and_silences_every_read_until_it_is_over(status: int, banned: bool) -> None:
    venue = Venue(says(status, Retry_After="180"), says(200, b"ok"))
    clock = JumpClock()
    async with reading(venue, clock) as rest:
        for _ in range(3):
            with pytest.raises(RateLimitedError) as caught:
                await rest.depth_snapshot("BTCUSDT")
            assert caught.value.banned is banned
            assert caught.value.retry_after_s == pytest.approx(180)
        assert len(venue.seen) == 1
        await clock.advance(180)
        assert await rest.depth_snapshot("BTCUSDT") == b"ok"


async def test_refusal_carries_the_venues_code_and_is_not_retried() -> None:
    venue = Venue(says(400, b'{"code":-1121,"msg":"Invalid symbol."}'))
    async with reading(venue, JumpClock()) as rest:
        with pytest.raises(RequestRejectedError, match=r"-1121: Invalid symbol\.") as caught:
            await rest.exchange_info(("BTC/USDX",))
        assert (caught.value.status, caught.value.code) == (400, -1121)
        assert venue.seen == ["/api/v3/exchangeInfo?symbols=%5B%22BTCUSDX%22%5D"]


async def test_redirect_is_refused_not_followed() -> None:
    venue = Venue(says(302, Location="http://169.254.0.1/"))
    async with reading(venue, JumpClock()) as rest:
        with pytest.raises(RequestRejectedError):
            await rest.depth_snapshot("BTCUSDT")
        assert len(venue.seen) == 1


async def test_endless_answer_is_cut_at_the_bound() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(10_000):
                await response.write(b"x" * 10_000)
                sent += 10_000
        except ConnectionError:
            pass
        return response

    async with reading(Venue(endless), JumpClock(), RestPolicy(body_size_max=100_000)) as rest:
        with pytest.raises(ResponseTooLargeError):
            await rest.depth_snapshot("BTCUSDT")
    assert sent < 50_000_000


async def test_the_venues_own_count_lowers_the_budget_and_makes_reads_wait() -> None:
    venue = Venue(says(200, b"ok", X_MBX_USED_WEIGHT_1M="4790"))
    clock = JumpClock()
    async with reading(venue, clock) as rest:
        await rest.depth_snapshot("BTCUSDT")
        assert rest.weight_available == pytest.approx(10)
        _, took_s = await advancing(clock, rest.depth_snapshot("BTCUSDT", 5000), within_s=6)
        assert took_s >= 2.9  # 240 more at 80 a second


async def test_unreachable_server_is_reported_as_unavailable() -> None:
    clock = JumpClock()
    with dead_port() as port:
        rest = VenueRest(Market.SPOT, f"http://127.0.0.1:{port}", clock=clock, jitter=Random(5))
        with pytest.raises(VenueUnavailableError, match="ClientConnectorError"):
            await advancing(clock, rest.depth_snapshot("BTCUSDT"), within_s=20)
        await rest.close()


@pytest.mark.parametrize("base", ["http://api.binance.com", "ftp://127.0.0.1", "https://", "api.binance.com", "http://127.0.0.1.evil.com"])
def test_address_that_is_neither_https_nor_loopback_is_refused(base: str) -> None:
    with pytest.raises(InsecureAddressError):
        VenueRest(Market.SPOT, base, clock=JumpClock(), jitter=Random(5))
