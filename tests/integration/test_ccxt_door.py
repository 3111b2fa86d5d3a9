"""The door to live trading at venues through ccxt: what the key may do, how the account is set up, who is refused, and with which words."""

import os
from decimal import Decimal

import pytest

from smartmoney.adapters.ccxt_feed import instruments_of
from smartmoney.adapters.credentials import CredentialsError
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.runtime.doctor import examine
from smartmoney.runtime.live import AccountTaken, hold_account, open_live, open_live_venue
from smartmoney.runtime.live_door import DoorClosed, DoorTerms
from smartmoney.runtime.modes import is_rehearsal, run_mode
from smartmoney.settings.models import Settings
from smartmoney.venues.unified import unified_names

from .bybit_spot_venue import BybitSpotVenue
from .bybit_venue import BybitVenue
from .ccxt_gateways import urls
from .okx_venue import OkxVenue
from .scripted_venue import KEY, PASSPHRASE, SECRET, Script, serving

VENUES = {"bybit": BybitVenue, "okx": OkxVenue}
TERMS = DoorTerms(capital=Decimal(500), money_needed=Decimal(500), largest_position=Decimal(50), leverage=3)


@pytest.fixture
def keys(tmp_path):
    found = {}
    for name, text in (("key_file", KEY), ("secret_file", SECRET), ("passphrase_file", PASSPHRASE)):
        path = tmp_path / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        found[name] = str(path)
    return found


def settings(name, venue=None, keys=None, market="usdm", **more):
    endpoints = {} if venue is None else {"ccxt_urls": urls(venue, name)}
    given = {"mode": "live", "venue": f"ccxt:{name}", "market": market, "capital": 500, "leverage": 3 if market == "usdm" else 1}
    return Settings.model_validate({**given, "endpoints": endpoints, "api_key": keys or {}, **more})


async def door(venue, name, keys):
    """Return what keeps the door shut."""
    given = settings(name, venue, keys, market=venue.trades_on.value)
    try:
        live = await open_live_venue(given)
    except DoorClosed as closed:
        return list(closed.problems)
    try:
        found = instruments_of(live.account.client, unified_names(given.instruments, live.account.market))
        return await live.enter(tuple(one for one, _ in found), b"", TERMS)
    finally:
        await live.close()


@pytest.mark.parametrize("name", VENUES)
async def test_a_key_as_it_must_be_passes_and_the_leverage_is_set(name, keys):
    async with serving(VENUES[name]()) as venue:
        assert await door(venue, name, keys) == []
        assert venue.leverage == "3"


@pytest.mark.parametrize(
    ("name", "change", "check", "said"),
    [
        ("bybit", lambda v: v.key["permissions"].update(Wallet=["Withdraw"]), "key", "may withdraw"),
        ("bybit", lambda v: v.key["permissions"].update(Wallet=["AccountTransfer"]), "key", "may transfer"),
        ("bybit", lambda v: v.key.update(ips=["*"]), "key", "from any address"),
        ("bybit", lambda v: v.key.update(ips=[]), "key", "from any address"),
        ("bybit", lambda v: v.key.update(readOnly=1), "key", "only read"),
        ("bybit", lambda v: v.key["permissions"].update(ContractTrade=["Position"]), "key", "may not trade contracts"),
        ("bybit", lambda v: v.key.update(uta=0), "key", "no unified one"),
        ("bybit", lambda v: v.key.pop("permissions"), "key", "cannot be read"),
        ("bybit", lambda v: v.key["permissions"].pop("Wallet"), "key", "cannot be read"),
        ("bybit", lambda v: setattr(v, "margin_mode", "REGULAR_MARGIN"), "margin", "REGULAR_MARGIN"),
        ("bybit", lambda v: setattr(v, "position_index", 1), "margin", "hedge mode"),
        ("bybit", lambda v: setattr(v, "unified_status", 1), "margin", "no unified one"),
        (
            "bybit",
            lambda v: v.script("v5/position/set-leverage", Script(110013, "Cannot set leverage due to risk limit level")),
            "margin",
            "110013",
        ),
        ("bybit", lambda v: v.script("v5/user/query-api", Script(10010, "Unmatched IP")), "key", "10010"),
        (
            "bybit",
            lambda v: v.script("v5/account/transaction-log", Script(10005, "Permission denied, please check your API key permissions.")),
            "payments",
            "transaction log",
        ),
        (
            "bybit",
            lambda v: v.script("v5/account/transaction-log", Script(body={"retCode": 0, "result": {}})),
            "payments",
            "cannot be read",
        ),
        ("bybit", lambda v: v.script("v5/account/transaction-log", Script(status=502, body="<html>")), "payments", "could not be asked"),
        (
            "okx",
            lambda v: v.script("api/v5/account/bills", Script(50030, "You don't have permission to use this API endpoint")),
            "payments",
            "permission Read",
        ),
        ("okx", lambda v: v.script("api/v5/account/bills", Script(50120, "API key doesn't have permission")), "payments", "bills"),
        ("okx", lambda v: v.config.update(perm="read_only,trade,withdraw"), "key", "may withdraw"),
        ("okx", lambda v: v.config.update(perm="read_only"), "key", "may not trade"),
        ("okx", lambda v: v.config.update(ip=""), "key", "from any address"),
        ("okx", lambda v: v.config.update(posMode="long_short_mode"), "margin", "long/short mode"),
        ("okx", lambda v: v.config.update(acctLv="1"), "margin", "no isolated swaps"),
        ("okx", lambda v: v.config.update(ctIsoMode="autonomy"), "margin", "moved by hand"),
        ("okx", lambda v: v.__dict__.update(position=Decimal(1), margin_mode="cross"), "margin", "cross margin"),
        ("okx", lambda v: v.script("api/v5/account/set-leverage", Script(59101, "Leverage can't be modified")), "margin", "59101"),
        ("okx", lambda v: v.script("api/v5/account/config", Script(50110, "Your IP is not in the list")), "key", "50110"),
    ],
)
async def test_what_is_wrong_with_key_or_account_is_said_and_shuts_the_door(name, change, check, said, keys):
    async with serving(VENUES[name]()) as venue:
        change(venue)
        problems = await door(venue, name, keys)
        assert [one.check for one in problems] == [check]
        assert said in problems[0].problem + problems[0].remedy
        assert SECRET not in str(problems)
        assert not venue.orders


async def test_bybit_spot_wants_a_key_that_may_trade_spot_and_asks_nothing_about_margin(keys):
    async with serving(BybitSpotVenue()) as venue:
        assert await door(venue, "bybit", keys) == []
        asked = {path for path, _, _ in venue.calls}
        assert not asked & {"v5/position/set-leverage", "v5/position/list", "v5/account/transaction-log"}
        venue.key["permissions"]["Spot"] = []
        (problem,) = await door(venue, "bybit", keys)
        assert (problem.check, problem.problem) == ("key", "the key may not trade spot")
        venue.key["permissions"]["Spot"] = ["SpotTrade"]
        venue.coins["USDT"] = Decimal(499)
        (problem,) = await door(venue, "bybit", keys)
        assert problem.check == "money"
        assert not venue.orders


async def test_money_that_is_not_there_and_an_order_too_small_shut_the_door(keys):
    async with serving(BybitVenue()) as venue:
        live = await open_live_venue(settings("bybit", venue, keys))
        ((instrument, _),) = instruments_of(live.account.client, ["BTC/USDT:USDT"])
        terms = DoorTerms(capital=Decimal(20_000), money_needed=Decimal(20_000), largest_position=Decimal(4), leverage=1)
        problems = await live.enter((instrument,), b"", terms)
        await live.close()
        assert [one.check for one in problems] == ["market", "money"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (settings("kraken", market="spot"), "ccxt:kraken prove"),
        (settings("okx", market="spot"), "`market: usdm` only"),
        (settings("binanceusdm"), "write `venue: binance`"),
    ],
)
async def test_a_venue_that_is_not_traded_live_is_refused_with_a_sentence_and_78(given, said):
    with pytest.raises(DoorClosed, match=said) as closed:
        async with open_live(given):
            pass
    assert closed.value.exit_code == 78


async def test_okx_without_a_passphrase_says_where_to_put_it(keys):
    async with serving(OkxVenue()) as venue:
        del keys["passphrase_file"]
        with pytest.raises(CredentialsError, match="passphrase_file"):
            await open_live_venue(settings("okx", venue, keys))


async def test_an_account_is_named_and_held_by_one_daemon(keys):
    async with serving(OkxVenue()) as venue:
        given = settings("okx", venue, keys)
        assert is_rehearsal(given)
        assert run_mode(given) == "rehearsal"
        async with open_live(given) as live:
            assert live.identity == f"ccxt:okx:usdm:127.0.0.1:{venue.port}:43812"
            with pytest.raises(AccountTaken), hold_account(live.identity):
                pass
    assert not is_rehearsal(settings("okx"))
    assert run_mode(settings("okx")) == "live"
    half = settings("okx").model_copy(update={"endpoints": settings("okx", venue).endpoints})
    half.endpoints.ccxt_urls["api"]["ws"] = "wss://ws.okx.com:8443/ws/v5"
    assert not is_rehearsal(half)


async def test_a_venue_that_is_not_there_may_be_there_at_the_next_try(keys):
    async with serving(BybitVenue()) as venue:
        gone = settings("bybit", venue, keys)
    with pytest.raises(DoorClosed) as closed:
        await open_live_venue(gone)
    assert closed.value.exit_code == 1


async def test_doctor_says_what_the_door_would_say(keys, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    async with serving(BybitVenue()) as venue:
        venue.key["ips"] = ["*"]
        checks = await examine(settings("bybit", venue, keys), StateLayout(tmp_path / "state"))
    doors = {one.name: one for one in checks if one.name.startswith("door")}
    assert doors["door: key"].ok is False
    assert "any address" in doors["door: key"].found
    assert doors["door: margin"].ok is True
    (reach,) = [one for one in checks if one.name == "guard's reach"]
    assert (reach.ok, reach.found) == (True, "could act at bybit, with no timer of the venue's")
    assert SECRET not in str(checks)
