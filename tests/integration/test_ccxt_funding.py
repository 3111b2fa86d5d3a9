"""Funding of Bybit and OKX by ccxt's own classes, from small venues on loopback that speak as the pages document: paid as it was told."""

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal as D
from random import Random

import pytest

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.ccxt_feed import CcxtFeed, instruments_of, open_exchange
from smartmoney.adapters.ccxt_funding import CcxtFunding, FundingPolicy, beside
from smartmoney.core.domain.entries import EntryKind, FeedConnected
from smartmoney.core.domain.orders import PositionReport
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.paper_depth import FundingTerms
from smartmoney.simulation.paper_funding import AS_RECORDED, FundingClock
from smartmoney.venues.binance.codec import fold_frame, new_states
from tests.steady_clock import CLOCK
from tests.waiting import until

from .daemons import Daemon, smartmoney
from .public_markets import BybitMarket, OkxMarket
from .scripted_venue import serving

HOUR_MS = 3_600_000
SOON_MS = 9_000
QUICK = FundingPolicy(after_s=1.0, again_s=0.5, look_s=0.1)


class Heard:
    """Fold what a session delivers, as the daemon does, and keep a paper account of one perpetual beside it."""

    def __init__(self):
        self.frames, self.marks, self.events = [], [], []

    def begin(self, instrument, quantity="0.5"):
        self.instrument = instrument
        self.states = new_states([instrument], FeatureParameters())
        self.view = KernelDepth(self.states, 0, lambda: True)
        position = PositionReport(instrument=0, quantity=D(quantity), cost=D(30_000))
        self.account = Portfolio([instrument], D(1_000), [position], ())
        self.clock = FundingClock(D(1), [instrument], CLOCK.wall_ns())
        self.paid = []

    def frame(self, connection, raw):
        (self.marks if b"markPriceUpdate" in raw else self.frames).append((connection, json.loads(raw)))
        fold_frame(raw, self.states, -1, CLOCK.wall_ns())
        self.pay()
        return True

    def snapshot(self, _connection, instrument, raw):
        self.frames.append((0, json.loads(raw)))
        fold_frame(raw, self.states, instrument, CLOCK.wall_ns())
        return True

    def event(self, payload):
        self.events.append(payload)

    def pay(self):
        self.paid += self.clock.pay(CLOCK.wall_ns(), self.account, [self.view], 1)

    @property
    def told(self):
        return self.view.funding()


@asynccontextmanager
async def following(venue, exchange_id, heard, policy=QUICK):
    """Run feed and funding on one venue as a session does."""
    client = await open_exchange(exchange_id, [venue.name], urls=venue.urls(), options={"defaultType": "swap"}, is_rehearsal=True)
    found = instruments_of(client, [venue.name])
    heard.begin(found[0][0])
    funding = CcxtFunding(beside(client), [found[0][0]], heard.frame, clock=CLOCK, jitter=Random(1), policy=policy)
    feed = CcxtFeed(client, found, heard, clock=CLOCK, jitter=Random(2))
    tasks = [asyncio.create_task(feed.run())]
    try:
        await until(lambda: heard.events)
        tasks.append(asyncio.create_task(funding.run()))
        yield funding
        assert not any(task.done() for task in tasks)
    finally:
        await funding.close()
        await feed.close()
        await asyncio.gather(*tasks)


VENUES = pytest.mark.parametrize(("make", "exchange_id"), [(BybitMarket, "bybit"), (OkxMarket, "okx")], ids=["bybit", "okx"])


def soon():
    return CLOCK.wall_ns() // 10**6 // 1000 * 1000 + SOON_MS


@VENUES
async def test_rate_mark_price_and_time_come_to_the_last_digit(make, exchange_id):
    heard = Heard()
    async with serving(make()) as venue:
        at_ms = soon() + HOUR_MS
        venue.open_market(at_ms, rate="-0.0000182221218054", mark="60123.45678901")
        async with venue.telling(), following(venue, exchange_id, heard):
            await until(lambda: heard.told and heard.told.next.mark, seen=lambda: heard.marks)
            assert heard.told.next == FundingTerms(at_ms * 10**6, D("-0.0000182221218054"), D("60123.45678901"))
            venue.rate = "0.0002"
            if exchange_id == "okx":
                await venue.tell_rate()
            await until(lambda: heard.told.next.rate == D("0.0002"), seen=lambda: heard.marks)
            await until(lambda: len(heard.frames) > 20)
    assert heard.states[0]["malformed"] == 0
    stamps = [body["E"] for _, body in heard.marks]
    assert stamps == sorted(stamps)


@VENUES
async def test_a_payment_is_at_the_rate_and_the_mark_price_of_its_time(make, exchange_id):
    heard = Heard()
    async with serving(make()) as venue:
        at_ms = soon()
        venue.open_market(at_ms, rate="0.0003", mark="61000.5")
        async with venue.telling(), following(venue, exchange_id, heard):
            await until(lambda: heard.told and heard.told.next.mark, seen=lambda: heard.marks)
            await until(lambda: CLOCK.wall_ns() // 10**6 > at_ms + 300)
            # The venue is slow to name the next time, and its mark price has moved on.
            venue.mark = "70000.5"
            await until(lambda: len(heard.frames) > 80)
            assert heard.told.next.at_ns == at_ms * 10**6
            venue.at_ms, venue.rate, venue.settled = at_ms + 8 * HOUR_MS, "0.0007", "0.0002999999"
            await until(lambda: heard.told.next.at_ns != at_ms * 10**6, seen=lambda: heard.marks[-3:])
            heard.pay()
    rate = D("0.0002999999") if exchange_id == "okx" else D("0.0003")
    assert heard.told.settled == FundingTerms(at_ms * 10**6, rate, D("61000.5"))
    (paid,) = heard.paid
    assert paid.amount == -D("0.5") * rate * D("61000.5")
    assert paid.reference.endswith(AS_RECORDED)


@VENUES
async def test_channels_that_are_refused_cost_no_book_anything_and_are_asked_for_instead(make, exchange_id):
    heard = Heard()
    async with serving(make()) as venue:
        venue.open_market(soon() + HOUR_MS)
        venue.refused = {"tickers.BTCUSDT", "funding-rate", "mark-price"}
        async with venue.telling(), following(venue, exchange_id, heard):
            await until(lambda: heard.told and heard.told.next.mark == D("60000.5"), seen=lambda: heard.marks)
            seen = len(heard.frames)
            await until(lambda: venue.refusals and len(heard.frames) > seen + 20, seen=lambda: heard.events)
    assert [type(event) for event in heard.events] == [FeedConnected]


@VENUES
async def test_funding_comes_back_after_its_sockets_were_lost(make, exchange_id):
    heard = Heard()
    async with serving(make()) as venue:
        at_ms = soon() + HOUR_MS
        venue.open_market(at_ms)
        async with venue.telling(), following(venue, exchange_id, heard):
            await until(lambda: heard.told and heard.told.next.mark, seen=lambda: heard.marks)
            await venue.drop_sockets()
            venue.rate, venue.mark = "0.0004", "62000.5"
            await until(lambda: heard.told.next[1:] == (D("0.0004"), D("62000.5")), seen=lambda: heard.marks[-3:])


@pytest.mark.slow
@VENUES
async def test_a_daemon_captures_what_it_is_told_and_replays_it(make, exchange_id, tmp_path):
    async with serving(make()) as venue:
        at_ms = soon() + HOUR_MS
        venue.open_market(at_ms, rate="0.00012345")
        words = (f"venue=ccxt:{exchange_id}", "market=usdm", f"endpoints.ccxt_urls={json.dumps(venue.urls())}")
        arguments = [word for setting in words for word in ("--set", setting)]
        async with venue.telling():
            summary, seen = await asyncio.to_thread(_run_a_while, arguments, tmp_path)
            assert seen["feed_trust"] == "synced"
    replayed = await asyncio.to_thread(smartmoney, "replay", "last", "--json", "--state-dir", tmp_path)
    assert json.loads(replayed.stdout)["digest"] == summary["digest"]
    (folder,) = (tmp_path / "captures").iterdir()
    marks = [json.loads(one.frame) for one in read_capture(folder) if one.kind is EntryKind.FRAME and b"markPriceUpdate" in one.frame]
    assert marks
    assert {(one["r"], one["T"]) for one in marks} == {("0.00012345", at_ms)}


def _run_a_while(arguments, state):
    with Daemon(*arguments, "--json", "--state-dir", state) as daemon:
        seen = daemon.shows(state, lambda status: status["feed_trust"] == "synced" and status["frames"] > 50, "a synced book")
        daemon.wait_for("funding_followed")
        assert daemon.stop() == 0, daemon.said()
        return daemon.summary(), seen
