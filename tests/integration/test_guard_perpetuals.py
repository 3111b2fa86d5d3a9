"""The guard's own hands at Bybit and OKX, on venues that answer in the documented payloads: signatures are real, the venue's ledger judges."""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest

from smartmoney.adapters import guard_perpetuals
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.guard_venue import LookFailed
from smartmoney.adapters.heartbeat import Carried, Heartbeat, HeartbeatFile, WorkingOrder, boot_id
from smartmoney.adapters.service import is_latched
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Side
from smartmoney.runtime.guard import Guard, GuardTerms
from smartmoney.runtime.guard_hands import Hands
from smartmoney.runtime.guard_options import GuardAccess
from smartmoney.runtime.guard_process import guard_venue, open_guard_account
from smartmoney.runtime.terms import guard_options
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.venues.ccxt_terms import VENUES
from tests.waiting import until

from .bybit_venue import BybitVenue
from .ccxt_gateways import urls
from .okx_venue import OkxVenue
from .scripted_venue import KEY, PASSPHRASE, SECRET, Script, serving

MAKES = {"bybit": BybitVenue, "okx": OkxVenue}
BOTH = pytest.mark.parametrize("name", ["bybit", "okx"])
RUN = "1abcdefghjk"
CREATES = {"bybit": ("v5/order/create",), "okx": ("api/v5/trade/order", "api/v5/trade/order-algo")}


class Guarded:
    """A scripted venue with a position of 0.012 BTC, and the guard's hands on it."""

    def __init__(self, venue, name, folder):
        self.venue, self.name, self.terms = venue, name, VENUES[name]
        self.layout = StateLayout(folder)
        for file, text in (("key", KEY), ("secret", SECRET), ("passphrase", PASSPHRASE)):
            (folder / file).write_text(text)
            (folder / file).chmod(0o600)
        files = {"key_file": str(folder / "key"), "secret_file": str(folder / "secret"), "passphrase_file": str(folder / "passphrase")}
        access = GuardAccess(venue=name, market=venue.trades_on, rest=venue.rest, **files)
        self.account = open_guard_account(access)
        self.there = guard_venue(access, self.account)
        self.journal = GuardJournal(folder / "guard.journal")
        self.hands = Hands(self.there, self.journal, Decimal("0.02"))
        self.instrument = Instrument(
            venue="ccxt",
            market=venue.trades_on,
            symbol="BTCUSDT" if name == "bybit" else "BTC-USDT-SWAP",
            name=venue.symbol_name,
            base="BTC",
            quote="USDT",
            tick_size=Decimal("0.1"),
            lot_size=Decimal(venue.lot),
            min_notional=Decimal(5),
        )
        venue.fills_markets = True

    def wire(self, name):
        return self.terms.to_wire(name)

    def size(self, base):
        return Decimal(base) if self.name == "bybit" else Decimal(base) * 100

    def put(self, name, base, *, price="", trigger="", reduces=False, side="Buy", **more):
        """Let an order of the daemon's stand at the venue."""
        call = f"_put_{self.name}"
        return getattr(self, call)(self.wire(name), self.size(base), price, trigger, reduces=reduces, side=side, **more)

    def _put_bybit(self, name, size, price, trigger, *, reduces, side, carried=None):
        params = {"orderLinkId": name, "side": side, "orderType": "Limit" if price else "Market", "qty": str(size), "reduceOnly": reduces}
        params |= (
            ({"price": price} if price else {})
            | ({"triggerPrice": trigger} if trigger else {})
            | ({"stopLoss": carried} if carried else {})
        )
        return self.venue.orders[self.venue._order_create(params)["result"]["orderId"]]

    def _put_okx(self, name, size, price, trigger, *, reduces, side, carried=None):
        params = {"side": side.lower(), "sz": str(size), "reduceOnly": reduces, "ordType": "limit" if price else "market"}
        if trigger:
            algo = {**params, "ordType": "conditional", "algoClOrdId": name, "slTriggerPx": trigger}
            return self.venue.orders[self.venue._trade_order_algo(algo)["data"][0]["algoId"]]
        more = {} if carried is None else {"attachAlgoOrds": [{"attachAlgoClOrdId": name[:-1] + "1", "slTriggerPx": carried}]}
        return self.venue.orders[self.venue._trade_order({**params, "clOrdId": name, "px": price, **more})["data"][0]["ordId"]]

    def hold(self, base="0.012", carried=None):
        """Buy through an order of ours."""
        return self.put(f"sm{RUN}-5-0", base, carried=carried)

    def beat(self, stop="58000", orders=()):
        held = self.venue.position_base()
        carried = Carried(
            instrument=self.instrument,
            position=held,
            stop=None if stop is None else Decimal(stop),
            bid=Decimal("59999.9"),
            ask=Decimal(60000),
        )
        return Heartbeat(
            state="running",
            pid=1,
            run_id=RUN,
            mode="live",
            boot=boot_id(),
            mono_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            seq=10,
            carried=(carried,),
            orders=orders,
        )

    async def settle(self, beat=None, *, flatten=False):
        async def is_settled():
            try:
                return await self.hands.settle(beat or self.beat(), flatten=flatten)
            except LookFailed as failed:
                failures.append(failed)
                return False

        failures = []
        await until(is_settled, "nothing is left to do", seen=lambda: failures[-3:])

    def live(self):
        return sorted(self.terms.from_wire(order.client_id) for order in self.venue.orders.values() if order.is_live)

    def covers(self):
        return [(order.trigger, self.venue.base(order.quantity), order.reduces) for order in self.venue.stops()]


@asynccontextmanager
async def guarded(name, tmp_path, make=Guarded, venue_of=None):
    async with serving((venue_of or MAKES[name])()) as venue:
        here = make(venue, name, tmp_path)
        try:
            yield here
        finally:
            here.account.close()
            here.journal.close()


@BOTH
async def test_entries_go_the_stop_stays_and_a_second_one_goes(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        here.put(f"sm{RUN}-6-0", "0.01", price="50000")
        here.put("byhand", "0.01", price="50000")
        here.put(f"sm{RUN}-7-0", "0.012", trigger="58000", reduces=True, side="Sell")
        here.put(f"sm{RUN}-7-1", "0.012", price="66000", reduces=True, side="Sell")
        here.put(f"sm{RUN}-8-0", "0.005", trigger="57000", reduces=True, side="Sell")
        await here.settle()
        assert here.live() == ["byhand", f"sm{RUN}-7-0", f"sm{RUN}-7-1"]
        assert here.covers() == [("58000", Decimal("0.012"), True)]
        assert (here.hands.cancelled, here.hands.placed) == (2, 0)


@BOTH
async def test_of_two_stops_for_all_of_it_the_tighter_one_stays(name, tmp_path):
    for levels in (("57000", "58000"), ("58000", "57000")):
        async with guarded(name, tmp_path) as here:
            here.hold()
            for number, level in enumerate(levels):
                here.put(f"sm{RUN}-{7 + number}-0", "0.012", trigger=level, reduces=True, side="Sell")
            await here.settle()
            assert here.covers() == [("58000", Decimal("0.012"), True)]
            assert (here.hands.cancelled, here.hands.placed) == (1, 0)


@BOTH
async def test_a_position_without_a_stop_gets_one_where_it_was_and_only_one(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        await here.settle()
        assert here.covers() == [("58000", Decimal("0.012"), True)]
        assert here.live()[0].startswith("smg")
        await here.settle()
        assert here.hands.placed == len(here.venue.stops()) == 1
        written = [json.loads(line)["what"] for line in here.layout.guard_journal.read_text().splitlines()]
        assert written == ["order"]


@BOTH
async def test_the_stop_that_an_entry_carried_is_ours_and_stays(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold(carried="58000")
        assert len(here.venue.stops()) == 1
        await here.settle()
        assert here.covers() == [("58000", Decimal("0.012"), True)]
        assert here.hands.placed == here.hands.cancelled == 0
        await here.settle(flatten=True)
        assert here.venue.position == 0
        assert here.live() == []


async def test_bybit_a_carried_stop_without_its_entrys_name_is_ours_by_the_number_that_the_daemon_knew(tmp_path):
    async with guarded("bybit", tmp_path) as here:
        here.venue.names_parents = False
        here.hold(carried="58000")
        (carried,) = here.venue.stops()
        named = {"client_order_id": f"sm{RUN}-5-1", "symbol": "BTCUSDT", "side": Side.SELL, "is_entry": False, "filled": Decimal(0)}
        known = WorkingOrder(**named, number=carried.number)
        await here.settle(here.beat(orders=(known,)))
        assert here.hands.placed == 0
        # At the same price, but with no number that is known: it may be a person's. It is left alone, and ours stands beside it.
        await here.settle(here.beat(orders=(WorkingOrder(**named),)))
        assert [(order.trigger, order.parent is None) for order in here.venue.stops()] == [("58000", False), ("58000", True)]
        await here.settle(here.beat(orders=(WorkingOrder(**named),)))
        assert (here.hands.placed, here.hands.cancelled) == (1, 0)


async def test_bybit_a_persons_stop_at_our_price_is_not_ours(tmp_path):
    async with guarded("bybit", tmp_path) as here:
        here.hold()
        here._put_bybit("", Decimal("0.012"), "", "58000", reduces=True, side="Sell")
        await here.settle()
        assert [order.client_id[:3] for order in here.venue.stops()] == ["", "smg"]


@BOTH
async def test_a_flatten_leaves_nothing_and_orders_of_others_alone(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        here.put(f"sm{RUN}-6-0", "0.01", price="50000")
        here.put(f"sm{RUN}-7-0", "0.012", trigger="58000", reduces=True, side="Sell")
        here.put("byhand", "0.01", price="50000")
        await here.settle(flatten=True)
        assert here.live() == ["byhand"]
        assert here.venue.position == 0
        assert here.hands.closed == 1


@BOTH
async def test_an_order_whose_answer_is_lost_is_placed_once(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        here.venue.script(CREATES[name][-1], Script(status=502, body="<html>bad gateway</html>", does=True))
        await here.settle()
        assert here.hands.placed == 0
        assert len(here.venue.stops()) == 1
        written = [json.loads(line)["what"] for line in here.layout.guard_journal.read_text().splitlines()]
        assert written == ["order", "not proven"]


@pytest.mark.parametrize(("name", "code"), [("bybit", 110093), ("okx", 51280)])
async def test_a_stop_that_the_market_has_passed_is_a_close(name, code, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        here.venue.script(CREATES[name][-1], Script(code, "the trigger price cannot be higher than the last price"))
        await here.settle()
        assert here.venue.position == 0
        assert here.hands.closed == 1


@BOTH
async def test_what_cannot_be_seen_is_not_settled(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.hold()
        path = "v5/position/list" if name == "bybit" else "api/v5/account/positions"
        for script in (
            Script(status=502, body="<html>"),
            Script(status=200, body="<html>"),
            Script(body={"retCode": 0, "code": "0", "result": {"list": [{}]}, "data": [{}]}),
        ):
            here.venue.script(path, script)
            with pytest.raises(LookFailed):
                await here.hands.settle(here.beat(), flatten=False)
        assert here.hands.placed == 0


@BOTH
async def test_what_stands_behind_a_page_of_other_peoples_orders_is_seen(name, tmp_path):
    async with guarded(name, tmp_path) as here:
        here.put(f"sm{RUN}-4-0", "0.01", price="50000")
        here.hold()
        here.put(f"sm{RUN}-7-0", "0.012", trigger="58000", reduces=True, side="Sell")
        for number in range(100):
            here.put(f"byhand{number}", "0.01", price="40000")
            here.put(f"bystop{number}", "0.01", trigger="41000", side="Sell")
        await here.settle()
        assert [each for each in here.live() if each.startswith("sm")] == [f"sm{RUN}-7-0"]
        assert (here.hands.cancelled, here.hands.placed) == (1, 0)
        assert len(here.live()) == 201


async def test_bybit_a_short_page_is_not_taken_for_the_last(tmp_path):
    async with guarded("bybit", tmp_path) as here:
        here.venue.page_max = 2
        here.put(f"sm{RUN}-4-0", "0.01", price="50000")
        here.hold()
        here.put(f"sm{RUN}-7-0", "0.012", trigger="58000", reduces=True, side="Sell")
        for number in range(3):
            here.put(f"byhand{number}", "0.01", price="40000")
        await here.settle()
        assert [each for each in here.live() if each.startswith("sm")] == [f"sm{RUN}-7-0"]
        assert (here.hands.cancelled, here.hands.placed) == (1, 0)


@BOTH
async def test_a_list_that_cannot_be_read_to_its_end_is_nothing_seen(name, tmp_path, monkeypatch):
    async with guarded(name, tmp_path) as here:
        here.hold()
        for number in range(100):
            here.put(f"byhand{number}", "0.01", price="40000")
        path = "v5/order/realtime" if name == "bybit" else "api/v5/trade/orders-pending"
        asked = len(here.venue.asked(path))
        here.venue.scripts[path] = [None, Script(status=502, body="<html>")]
        with pytest.raises(LookFailed):
            await here.hands.settle(here.beat(), flatten=False)
        assert len(here.venue.asked(path)) == asked + 2
        monkeypatch.setattr(guard_perpetuals, "PAGES_MAX", 1)
        with pytest.raises(LookFailed, match="more than"):
            await here.hands.settle(here.beat(), flatten=False)
        assert here.hands.placed == 0


@BOTH
async def test_a_clock_that_is_off_is_measured_and_the_key_is_never_shown(name, tmp_path, caplog):
    async with guarded(name, tmp_path) as here:
        here.venue.skew_ms = 60_000
        here.hold()
        await here.settle()
        assert abs(here.account.offset_ms - 60_000) < 1_000
        here.venue.skew_ms = -60_000
        await here.settle()
        assert abs(here.account.offset_ms + 60_000) < 1_000
        assert SECRET not in caplog.text + here.layout.guard_journal.read_text()


async def test_okx_a_position_on_cross_margin_is_somebody_elses(tmp_path):
    async with guarded("okx", tmp_path) as here:
        here.hold()
        here.venue.margin_mode = "cross"
        await here.settle(flatten=True)
        assert here.hands.closed == here.hands.placed == 0


async def test_okx_one_timer_is_the_accounts_and_is_set_while_any_entry_rests(tmp_path):
    async with guarded("okx", tmp_path) as here:
        terms = GuardTerms(timer_s=60.0)
        guard = Guard(terms, here.layout, here.hands, here.journal, lambda _: None, timer=here.there.timer)
        entries = [
            WorkingOrder(client_order_id=symbol, symbol=symbol, side=Side.BUY, is_entry=True, filled=Decimal(0)) for symbol in ("A", "B")
        ]
        await guard._keep_timers(here.hands, here.beat(orders=tuple(entries)))
        await guard._keep_timers(here.hands, here.beat(orders=tuple(entries[1:])))
        assert here.venue.timers == ["60"], "not taken away by the one that is gone"
        await guard._keep_timers(here.hands, here.beat())
        assert here.venue.timers == ["60", "0"]
        assert await here.there.count_down("", 600_000)
        assert here.venue.timers[-1] == "120"


async def test_bybit_has_no_timer_for_an_ordinary_account(tmp_path):
    async with guarded("bybit", tmp_path) as here:
        assert here.there.timer == ""
        assert not await here.hands.count_down("BTCUSDT", 60_000)
        assert here.venue.calls == []


@pytest.mark.parametrize(("name", "usual"), [("bybit", "https://api.bybit.com"), ("okx", "https://www.okx.com")])
async def test_the_guard_goes_where_the_daemon_goes_with_its_own_key(name, usual, tmp_path):
    given = {"mode": "live", "venue": f"ccxt:{name}", "market": "usdm", "capital": 500, "guard": {"timer_s": 300}}
    options = guard_options(Settings(**given), tmp_path)
    assert (options.access.venue, options.access.rest) == (name, usual)
    assert options.terms.timer_s == (120 if name == "okx" else 300)
    async with serving(MAKES[name]()) as venue:
        here = Settings(**given, endpoints={"ccxt_urls": urls(venue, name)})
        assert guard_options(here, tmp_path).access.rest == venue.rest
    own = {"key_file": "k", "secret_file": "s"}
    access = guard_options(Settings(**{**given, "guard": own}, api_key={"passphrase_file": "daemons"}), tmp_path).access
    assert (access.key_file, access.passphrase_file) == ("k", None)


@pytest.mark.parametrize(("venue", "market"), [("ccxt:okx", "spot"), ("ccxt:kraken", "spot"), ("ccxt:binanceusdm", "usdm")])
def test_where_it_cannot_act_it_says_so_and_does_not_start(venue, market, tmp_path):
    with pytest.raises(ConfigurationError, match="the guard cannot act"):
        guard_options(Settings(mode="live", venue=venue, market=market, capital=500), tmp_path)
    assert guard_options(Settings(venue=venue, market=market), tmp_path).access is None


async def test_as_a_process_it_acts_at_okx_when_the_daemon_falls_silent(tmp_path):
    async with guarded("okx", tmp_path) as here:
        here.hold()
        here.put(f"sm{RUN}-6-0", "0.01", price="50000")
        keys = {f"{part}_file": str(tmp_path / part) for part in ("key", "secret", "passphrase")}
        given = {"mode": "live", "venue": "ccxt:okx", "market": "usdm", "capital": 500, "guard": {**keys, "lease_s": 2.0}}
        options = guard_options(Settings(**given, endpoints={"ccxt_urls": urls(here.venue, "okx")}), tmp_path / "state")
        (tmp_path / "state").mkdir(mode=0o700)
        file = HeartbeatFile(StateLayout(tmp_path / "state").heartbeat)
        file.write(here.beat())
        command = (sys.executable, "-m", "smartmoney.runtime.guard_process", msgspec.json.encode(options, enc_hook=str).decode())
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        try:
            await until(lambda: here.covers() == [("58000", Decimal("0.012"), True)] and len(here.live()) == 1, "it acts", seen=here.covers)
            assert is_latched(StateLayout(tmp_path / "state").latch)
        finally:
            process.terminate()
            _, said = await process.communicate()
            file.close()
        assert SECRET not in said.decode()
        assert PASSPHRASE not in said.decode()
