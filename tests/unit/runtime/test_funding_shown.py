"""What a perpetual's venue tells of funding, and that it tells nothing any more, as status, screen and alerts show it."""

import io
import json
from decimal import Decimal as D

import msgspec
import pytest
from rich.console import Console

from smartmoney.cli import operate
from smartmoney.core.domain.entries import EntryKind, WarmUpEnded
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.views import FUNDING_HEARD_S
from smartmoney.dashboard.terminal import render
from smartmoney.runtime.alert_events import FUNDING_AFTER_S, AlertWatch
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.clock import now
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.gateway import NoGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.loop import Loop
from smartmoney.runtime.summary import summarise
from smartmoney.simulation.paper_funding import HEARD_WITHIN_NS
from smartmoney.venues.ccxt_funding import encode_mark
from tests.grids import USDM_BTC

from .market import started
from .test_loop import BTC, Recorder

EIGHT = 1_680_652_800_000
NAME = USDM_BTC.name


class Running:
    """A loop of one perpetual, to which a venue tells what a test says."""

    def __init__(self, instrument=USDM_BTC):
        self.engine = Engine(binance_codec(), strategy_factory(None))
        self.loop = Loop(self.engine, Inbox(), Recorder(), NoGateway(), None)
        self.process(Item(EntryKind.EVENT, now(), payload=started((instrument,))))
        self.process(Item(EntryKind.EVENT, now(), payload=WarmUpEnded()))

    def process(self, item):
        self.loop.process(item)

    def mark(self, event_ms, at_ms=EIGHT, mark="60000.5", rate="0.0001"):
        self.process(Item(EntryKind.FRAME, now(), frame=encode_mark(USDM_BTC.symbol, event_ms, D(mark), D(rate), at_ms)))

    def trade(self, event_ms):
        """Let the venue's clock go on."""
        body = {"e": "trade", "E": event_ms, "T": event_ms, "s": USDM_BTC.symbol, "t": event_ms, "p": "60000.0", "q": "0.010", "m": True}
        self.process(Item(EntryKind.FRAME, now(), frame=json.dumps(body, separators=(",", ":")).encode()))

    def seen(self):
        return self.engine.view().instruments[0].funding

    def status(self):
        return msgspec.to_builtins(summarise(self.engine.view()))["instruments"][NAME]["funding"]


def drawn(view):
    out = Console(file=io.StringIO(), width=160)
    out.print(render(view, 0.05, "all of it", ()))
    return out.file.getvalue()


def test_before_a_venue_tells_anything_the_next_payment_is_assumed():
    running = Running()
    assert running.status() == {"next_payment": "assumed", "told_age_s": None, "next_ms": None, "rate": None, "mark_price": None}
    assert operate._funding(running.status()) == "next payment: assumed; the venue told nothing"
    assert "the venue told nothing" in drawn(running.engine.view())


def test_what_it_tells_is_shown_with_its_age():
    running = Running()
    running.mark(EIGHT - 3_600_000, rate="-0.00012345")
    running.trade(EIGHT - 3_600_000 + 42_400)
    told = {"next_payment": "told", "told_age_s": 42.4, "next_ms": EIGHT, "rate": -0.00012345, "mark_price": 60000.5}
    assert running.status() == told
    words = "-1.234 bps at 05 00:00 UTC"
    assert operate._funding(told) == f"next payment: told; {words}, mark price 60000.5, told 42 s ago"
    assert words in drawn(running.engine.view())


@pytest.mark.parametrize(
    ("later_ms", "at_ms", "is_told"),
    [
        (600_000, EIGHT, True),
        (600_001, EIGHT, False),
        (30_000, EIGHT - 3_540_000, True),
        (121_000, EIGHT - 3_540_000, False),
    ],
)
def test_what_was_told_long_ago_or_of_a_time_that_is_over_is_no_rate_any_more(later_ms, at_ms, is_told):
    assert FUNDING_HEARD_S * 1e9 == HEARD_WITHIN_NS
    running = Running()
    running.mark(EIGHT - 3_600_000, at_ms)
    running.trade(EIGHT - 3_600_000 + later_ms)
    assert running.seen().is_told is is_told
    assert running.status()["next_payment"] == ("told" if is_told else "assumed")


def test_a_missing_mark_price_and_a_real_account_are_said():
    running = Running()
    running.mark(EIGHT - 1_000, mark="0")
    assert running.seen().mark is None
    assert "no mark price" in operate._funding(running.status())
    live = msgspec.structs.replace(running.engine.view(), mode="live")
    assert summarise(live).instruments[NAME]["funding"]["next_payment"] == "listed by the exchange"


def test_spot_has_none():
    running = Running(BTC)
    assert running.seen() is None
    assert summarise(running.engine.view()).instruments[BTC.name]["funding"] is None
    assert "funding" not in drawn(running.engine.view())


def test_silence_is_told_once_while_something_is_held_and_again_when_it_is_over():
    running, watch = Running(), AlertWatch(1e9, 1e9)

    def look(now_s, held="0.5", mode="paper"):
        view = running.engine.view()
        item = msgspec.structs.replace(view.instruments[0], position=D(held))
        return list(watch.look(msgspec.structs.replace(view, instruments=(item,), mode=mode), now_s))

    assert look(0) == look(1_000) == [], "it never told anything: the result says what is assumed"
    running.mark(EIGHT - 7_200_000)
    running.trade(EIGHT - 7_200_000 + 601_000)
    assert look(2_000, held="0") == look(2_000 + FUNDING_AFTER_S, held="0") == []
    assert look(3_000, mode="live") == look(3_100, mode="live") == []
    assert look(4_000) == []
    (alert,) = look(4_000 + FUNDING_AFTER_S)
    assert (alert.kind, alert.severity, alert.subject) == ("funding", "warning", f"funding not told {NAME}")
    assert "601 s" in alert.text
    assert look(4_100) == []
    running.mark(EIGHT - 3_600_000)
    (over,) = look(4_200)
    assert (over.severity, over.text) == ("info", "over, after 200 s")
