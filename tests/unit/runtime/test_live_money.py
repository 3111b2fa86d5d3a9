"""Payments booked once, whatever the stream says when, however late the list is, and wherever a life ends. The list is served from memory."""

import asyncio
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.binance_account import Answer
from smartmoney.adapters.binance_money import BinanceMoney
from smartmoney.adapters.ccxt_money import CcxtMoney
from smartmoney.adapters.clock import SystemClock
from smartmoney.core.domain.entries import FundingPaid, HaltRequested, MoneyMoved
from smartmoney.runtime.live_money import LOOK_BACK_MS, LiveMoney, MoneyBeginning
from smartmoney.venues.binance.outcomes import Outcome
from smartmoney.venues.ccxt_terms import VENUES
from tests.grids import USDM_BTC as GRID

MADE_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Listed:
    """Answer `GET income` as the venue does: one kind, a window of time, pages; rows are seen once their time has come."""

    def __init__(self):
        self.rows = []
        self.now_ms = MADE_MS
        self.fails, self.fault = False, Outcome.UNKNOWN
        self.asked = 0

    def pay(self, kind, at_ms, seen_ms, number, *, symbol="BTCUSDT", asset="USDT"):
        row = {"symbol": symbol, "incomeType": kind, "income": "-1.5", "asset": asset, "time": at_ms, "tranId": number}
        self.rows.append((seen_ms, row))

    @property
    def money(self):
        return BinanceMoney(self)

    def names(self):
        """Return the names under which its rows are to be booked."""
        return sorted(f"{row['incomeType']}-{row['tranId']}" for _, row in self.rows)

    def venue_ms(self):
        return self.now_ms

    async def ask(self, call):
        self.asked += 1
        if self.fails:
            return Answer(outcome=self.fault, message="no answer")
        asked = call.params
        start, end, limit, page = (int(asked[name]) for name in ("startTime", "endTime", "limit", "page"))
        seen = [row for at, row in self.rows if at <= self.now_ms and row["incomeType"] == asked["incomeType"]]
        found = [row for row in sorted(seen, key=lambda row: row["time"]) if start <= row["time"] <= end]
        return Answer(outcome=Outcome.DONE, body=found[limit * (page - 1) : limit * page])


class Through(Listed):
    """Answer ccxt's own calls: `client` and `terms` are what the list asks for."""

    def __init__(self, name):
        super().__init__()
        self.terms, self.client = VENUES[name], self

    @property
    def money(self):
        return CcxtMoney(self)

    async def ask(self, call, *, is_urgent):
        self.asked += 1
        return Answer(outcome=self.fault, message="no answer") if self.fails else Answer(outcome=Outcome.DONE, body=await call())

    def newest_first(self, kind, key, start, end):
        found = [row for at, row in self.rows if at <= self.now_ms and row["type"] == kind and int(start) <= int(row[key]) <= int(end)]
        return sorted(found, key=lambda row: int(row[key]), reverse=True)


class BybitListed(Through):
    """The transaction log: at most seven days, fifty rows, a cursor."""

    def __init__(self):
        super().__init__("bybit")

    def pay(self, kind, at_ms, seen_ms, number, *, symbol="BTCUSDT", asset="USDT"):
        row = {"id": f"9_{symbol}_{number}", "symbol": symbol, "type": kind, "currency": asset, "transactionTime": str(at_ms)}
        self.rows.append(
            (seen_ms, {**row, "funding": "-1.5" if kind == "SETTLEMENT" else "", "cashFlow": "7", "change": "5.5", "fee": "0"})
        )

    def names(self):
        return sorted(f"{row['type']}-{row['id']}-{row['transactionTime']}" for _, row in self.rows)

    async def privateGetV5AccountTransactionLog(self, asked):
        assert int(asked["endTime"]) - int(asked["startTime"]) <= 7 * 24 * HOUR_MS
        found = self.newest_first(asked["type"], "transactionTime", asked["startTime"], asked["endTime"])
        at, size = int(asked.get("cursor", 0)), int(asked["limit"])
        return {"retCode": 0, "result": {"list": found[at : at + size], "nextPageCursor": str(at + size) if found[at + size :] else ""}}


class OkxListed(Through):
    """Bills: what is young in one list, three months in another, a hundred rows, then what is older than a bill."""

    WORDS = MappingProxyType({"FUNDING": "8", "TRANSFER": "1"})

    def __init__(self):
        super().__init__("okx")

    def pay(self, kind, at_ms, seen_ms, number, *, symbol="BTCUSDT", asset="USDT"):
        # Isolated: the position pays, not the account.
        more = {"balChg": "0", "posBalChg": "-1.5", "pnl": "-1.5"} if kind == "FUNDING" else {"balChg": "5.5", "posBalChg": "", "pnl": ""}
        self.rows.append(
            (seen_ms, {"billId": str(number), "instId": symbol, "type": self.WORDS[kind], "ccy": asset, "ts": str(at_ms), **more})
        )

    def names(self):
        kinds = {word: kind for kind, word in self.WORDS.items()}
        return sorted(f"{kinds[row['type']]}-{row['billId']}" for _, row in self.rows)

    async def privateGetAccountBills(self, asked):
        assert int(asked["begin"]) >= self.now_ms - 7 * 24 * HOUR_MS
        return await self.privateGetAccountBillsArchive(asked)

    async def privateGetAccountBillsArchive(self, asked):
        found = self.newest_first(asked["type"], "ts", asked["begin"], asked["end"])
        names = [row["billId"] for row in found]
        at = names.index(asked["after"]) + 1 if "after" in asked else 0
        return {"code": "0", "data": found[at : at + int(asked["limit"])]}


class Lives:
    """Live again and again on one journal: what was booked before a life ended is durable, the rest of what it posted is lost."""

    def __init__(self, listed):
        self.listed = listed
        self.booked = []
        self.kinds = (listed.money.booked, listed.money.moved)
        self.booked_ms = dict.fromkeys(self.kinds[0], 0)
        self.active_ms = MADE_MS
        self.moved = []
        self.begin()

    def begin(self):
        names = tuple(name for name, _ in self.booked)
        from_ms = {kind: max(MADE_MS, until_ms - LOOK_BACK_MS) for kind, until_ms in self.booked_ms.items()}
        beginning = MoneyBeginning(from_ms={**from_ms, **dict.fromkeys(self.kinds[1], self.active_ms)}, booked=names)
        self.posted = []
        self.money = LiveMoney(self.listed.money, [GRID], beginning, self.posted.append, clock=SystemClock())

    def look(self, *, first):
        asyncio.run(self.money.first() if first else self.money.look((*self.kinds[0], *self.kinds[1])))

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
    st.tuples(st.integers(0, 1), st.integers(0, 400), st.integers(0, 20)),
    max_size=12,
    unique_by=lambda r: r[:2],
)
STEPS = st.lists(st.tuples(st.sampled_from(["look", "told", "fail", "kill", "kill after one"]), st.integers(0, 60)), max_size=14)


@pytest.mark.parametrize("make", [Listed, BybitListed, OkxListed])
@given(rows=ROWS, steps=STEPS)
def test_every_payment_is_booked_once_wherever_lives_end(make, rows, steps):
    listed = make()
    kinds = listed.money.booked
    for number, (kind, at_hours, late_hours) in enumerate(rows):
        at_ms = MADE_MS + at_hours * HOUR_MS
        listed.pay(kinds[kind % len(kinds)], at_ms, at_ms + late_hours * HOUR_MS, number)
    lives = Lives(listed)
    for what, hours in steps:
        listed.now_ms += hours * HOUR_MS
        listed.fails = what == "fail"
        if what == "told":
            lives.money.note(kinds[0])
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
    assert sorted(name for name, _ in lives.booked) == listed.names()
    assert {amount for _, amount in lives.booked} <= {Decimal("-1.5")}, "funding, and nothing else of the row"


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


@pytest.mark.parametrize("make", [Listed, BybitListed, OkxListed])
def test_a_clock_that_is_behind_the_venues_hides_no_payment_from_a_start(make):
    listed = make()
    listed.pay(listed.money.booked[0], MADE_MS + 1, 0, 1)
    listed.now_ms = MADE_MS - 60_000
    lives = Lives(listed)
    lives.look(first=True)
    assert len(lives.posted) == 1


def test_funding_in_another_asset_is_told_and_not_booked():
    listed = Listed()
    listed.pay("FUNDING_FEE", MADE_MS, 0, 1, asset="BNFCR")
    lives = Lives(listed)
    lives.look(first=False)
    assert [type(each) for each in lives.posted] == [MoneyMoved]


@pytest.mark.parametrize("make", [Listed, BybitListed, OkxListed])
def test_more_rows_than_a_page_are_all_read(make):
    listed = make()
    for number in range(2_345):
        listed.pay(listed.money.booked[0], MADE_MS + number, 0, number)
    listed.now_ms += HOUR_MS
    lives = Lives(listed)
    lives.look(first=True)
    assert len(lives.posted) == 2_345


@pytest.mark.parametrize(("make", "kind"), [(BybitListed, "TRANSFER_OUT"), (OkxListed, "TRANSFER")])
def test_what_a_person_moves_is_told_and_not_booked(make, kind):
    listed = make()
    listed.pay(kind, MADE_MS, 0, 1, symbol="")
    lives = Lives(listed)
    lives.look(first=False)
    lives.look(first=False)
    assert [(type(each), each.amount, each.reason) for each in lives.posted] == [(MoneyMoved, Decimal("5.5"), kind)]


@pytest.mark.parametrize(
    ("make", "row"),
    [
        (
            BybitListed,
            {"id": "1", "type": "SETTLEMENT", "currency": "USDT", "transactionTime": str(MADE_MS), "funding": "NaN", "change": "0"},
        ),
        (BybitListed, {"id": "1", "type": "SETTLEMENT", "currency": "USDT", "transactionTime": str(MADE_MS)}),
        (OkxListed, {"billId": "x", "type": "8", "ccy": "USDT", "ts": str(MADE_MS), "pnl": "-1"}),
        (OkxListed, {"billId": "1", "type": "8", "ccy": "USDT", "ts": str(MADE_MS), "pnl": "Infinity"}),
    ],
)
def test_a_row_through_ccxt_that_cannot_be_understood_halts_once(make, row):
    listed = make()
    listed.rows.append((0, row))
    lives = Lives(listed)
    lives.look(first=False)
    lives.look(first=False)
    assert [type(each) for each in lives.posted] == [HaltRequested]


@pytest.mark.parametrize("make", [Listed, BybitListed, OkxListed])
def test_a_key_that_may_not_read_them_any_more_halts_once_with_a_remedy(make):
    listed = make()
    lives = Lives(listed)
    listed.fails = True
    lives.look(first=False)
    assert lives.posted == [], "a list that is not there for a while is asked for again"
    listed.fault = Outcome.KEY
    for is_first in (True, False, False):
        lives.look(first=is_first)
    (halt,) = lives.posted
    assert listed.money.permission in halt.reason


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
