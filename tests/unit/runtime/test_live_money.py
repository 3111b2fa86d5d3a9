"""Payments booked once, whatever the stream says when, however late the list is, and wherever a life ends. The list is served from memory."""

import asyncio
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.binance_account import Answer
from smartmoney.adapters.clock import SystemClock
from smartmoney.core.domain.entries import FundingPaid, HaltRequested, MoneyMoved
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.runtime.live_money import LOOK_BACK_MS, LiveMoney, MoneyBeginning
from smartmoney.venues.binance.money_news import BOOKED, MOVED
from smartmoney.venues.binance.outcomes import Outcome

MADE_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
GRID = Instrument(
    venue="binance",
    market=Market.USDM,
    symbol="BTCUSDT",
    name="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
)


class Listed:
    """Answer `GET income` as the venue does: one kind, a window of time, pages; rows are seen once their time has come."""

    def __init__(self):
        self.rows = []
        self.now_ms = MADE_MS
        self.fails = False
        self.asked = 0

    def pay(self, kind, at_ms, seen_ms, number, *, symbol="BTCUSDT", asset="USDT"):
        row = {"symbol": symbol, "incomeType": kind, "income": "-1.5", "asset": asset, "time": at_ms, "tranId": number}
        self.rows.append((seen_ms, row))

    def venue_ms(self):
        return self.now_ms

    async def ask(self, call):
        self.asked += 1
        if self.fails:
            return Answer(outcome=Outcome.UNKNOWN, message="no answer")
        asked = call.params
        start, end, limit, page = (int(asked[name]) for name in ("startTime", "endTime", "limit", "page"))
        seen = [row for at, row in self.rows if at <= self.now_ms and row["incomeType"] == asked["incomeType"]]
        found = [row for row in sorted(seen, key=lambda row: row["time"]) if start <= row["time"] <= end]
        return Answer(outcome=Outcome.DONE, body=found[limit * (page - 1) : limit * page])


class Lives:
    """Live again and again on one journal: what was booked before a life ended is durable, the rest of what it posted is lost."""

    def __init__(self, listed):
        self.listed = listed
        self.booked = []
        self.booked_ms = dict.fromkeys(BOOKED, 0)
        self.active_ms = MADE_MS
        self.moved = []
        self.begin()

    def begin(self):
        names = tuple(name for name, _ in self.booked)
        from_ms = {kind: max(MADE_MS, until_ms - LOOK_BACK_MS) for kind, until_ms in self.booked_ms.items()}
        beginning = MoneyBeginning(from_ms={**from_ms, **dict.fromkeys(MOVED, self.active_ms)}, booked=names)
        self.posted = []
        self.money = LiveMoney(self.listed, [GRID], beginning, self.posted.append, clock=SystemClock())

    def look(self, *, first):
        asyncio.run(self.money.first() if first else self.money.look((*BOOKED, *MOVED)))

    def commit(self, count=None):
        done, self.posted[:] = self.posted[:count], [] if count is None else self.posted[count:]
        for each in done:
            if isinstance(each, FundingPaid):
                self.booked.append((each.reference, each.amount))
                kind = each.reference.partition("-")[0]
                self.booked_ms[kind] = max(self.booked_ms[kind], each.ts_event_ns // 1_000_000)
            else:
                self.moved.append(each.reference)
        self.active_ms = self.listed.now_ms


ROWS = st.lists(
    st.tuples(st.sampled_from(["FUNDING_FEE", "INSURANCE_CLEAR"]), st.integers(0, 400), st.integers(0, 20)),
    max_size=12,
    unique_by=lambda r: r[:2],
)
STEPS = st.lists(st.tuples(st.sampled_from(["look", "told", "fail", "kill", "kill after one"]), st.integers(0, 60)), max_size=14)


@given(ROWS, STEPS)
def test_every_payment_is_booked_once_wherever_lives_end(rows, steps):
    listed = Listed()
    for number, (kind, at_hours, late_hours) in enumerate(rows):
        at_ms = MADE_MS + at_hours * HOUR_MS
        listed.pay(kind, at_ms, at_ms + late_hours * HOUR_MS, number)
    lives = Lives(listed)
    for what, hours in steps:
        listed.now_ms += hours * HOUR_MS
        listed.fails = what == "fail"
        if what == "told":
            lives.money.note("FUNDING_FEE")
        lives.look(first=False)
        if what.startswith("kill"):
            lives.commit(1 if what == "kill after one" else 0)
            lives.begin()
        else:
            lives.commit()
    listed.fails = False
    listed.now_ms = max(listed.now_ms, MADE_MS + 430 * HOUR_MS)
    lives.begin()
    lives.look(first=True)
    lives.look(first=False)
    lives.commit()
    assert sorted(name for name, _ in lives.booked) == sorted(f"{row['incomeType']}-{row['tranId']}" for _, row in listed.rows)


def test_payments_of_other_symbols_and_of_the_time_before_the_journal_are_not_ours():
    listed = Listed()
    listed.pay("FUNDING_FEE", MADE_MS - 1, 0, 1)
    listed.pay("FUNDING_FEE", MADE_MS + 1, 0, 2, symbol="ETHUSDT")
    listed.pay("FUNDING_FEE", MADE_MS + 2, 0, 3)
    listed.now_ms += HOUR_MS
    lives = Lives(listed)
    lives.look(first=True)
    assert [each.reference for each in lives.posted] == ["FUNDING_FEE-3"]
    assert lives.posted[0].ts_event_ns == (MADE_MS + 2) * 1_000_000


def test_funding_in_another_asset_is_told_and_not_booked():
    listed = Listed()
    listed.pay("FUNDING_FEE", MADE_MS, 0, 1, asset="BNFCR")
    lives = Lives(listed)
    lives.look(first=False)
    assert [type(each) for each in lives.posted] == [MoneyMoved]


def test_more_rows_than_a_page_are_all_read():
    listed = Listed()
    for number in range(2_345):
        listed.pay("FUNDING_FEE", MADE_MS + number, 0, number)
    listed.now_ms += HOUR_MS
    lives = Lives(listed)
    lives.look(first=True)
    assert len(lives.posted) == 2_345


def test_a_list_that_cannot_be_understood_halts_once():
    listed = Listed()
    listed.rows.append((0, {"incomeType": "FUNDING_FEE", "time": MADE_MS, "income": "much", "tranId": 1}))
    lives = Lives(listed)
    lives.look(first=False)
    lives.look(first=False)
    assert [type(each) for each in lives.posted] == [HaltRequested]


def test_a_kind_that_cannot_be_understood_halts_once_and_hides_no_other():
    listed = Listed()
    listed.rows.append((0, {"incomeType": "INSURANCE_CLEAR", "time": MADE_MS, "income": "much", "tranId": 1}))
    listed.pay("FUNDING_FEE", MADE_MS, 0, 2)
    listed.pay("TRANSFER", MADE_MS, 0, 3, symbol="")
    lives = Lives(listed)
    for _ in range(3):
        lives.look(first=False)
    assert [type(each) for each in lives.posted] == [FundingPaid, HaltRequested, MoneyMoved]
