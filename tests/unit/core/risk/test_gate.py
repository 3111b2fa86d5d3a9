import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smartmoney
from smartmoney.core.domain.entries import DayState
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import FeedTrust, RefusalCode
from smartmoney.core.risk.daily_loss import loss_fraction, observe_day
from smartmoney.core.risk.gate import GateContext, approve
from smartmoney.core.risk.order_rate import MINUTE_NS, OrderRate
from smartmoney.core.risk.parameters import RiskLimits

D = Decimal
C = RefusalCode
SPOT = Instrument(
    venue="v",
    market=Market.SPOT,
    symbol="A",
    name="A/Q",
    base="A",
    quote="Q",
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_lots=2,
    max_lots=100_000,
    min_notional=D(5),
)
PERP = msgspec.structs.replace(SPOT, market=Market.USDM)
LIMITS = RiskLimits(max_order_notional=D(2000))
# price 100.00, one lot is 0.1 quote; equity 10,000: position cap 2,500 = 25,000 lots
WORLD = GateContext(
    instrument=PERP,
    now_mono_ns=1000,
    valid_ns=500,
    halted=False,
    halt_epoch=3,
    trust=FeedTrust.SYNCED,
    best_bid_ticks=10_000,
    best_ask_ticks=10_001,
    position_lots=0,
    working_buy_lots=0,
    working_sell_lots=0,
    reducing_lots=0,
    equity=D(10_000),
    gross_other=D(0),
    open_orders=0,
    orders_last_minute=0,
    daily_loss=D(0),
)
ENTRY = OrderIntent(
    client_order_id="a",
    instrument=0,
    side=Side.BUY,
    type=OrderType.LIMIT,
    lots=1000,
    purpose=Purpose.ENTRY,
    time_in_force=TimeInForce.IOC,
    price_ticks=10_010,
)
EXIT = OrderIntent(
    client_order_id="b", instrument=0, side=Side.SELL, type=OrderType.MARKET, lots=1000, purpose=Purpose.EXIT, reduce_only=True
)
STOP = OrderIntent(
    client_order_id="c",
    instrument=0,
    side=Side.SELL,
    type=OrderType.STOP_MARKET,
    lots=1000,
    purpose=Purpose.STOP,
    reduce_only=True,
    stop_ticks=9800,
    oco_group="g",
)


def judge(intent, limits=LIMITS, world=WORLD, **changes):
    verdict = approve(intent, msgspec.structs.replace(world, **changes), limits)
    return verdict if isinstance(verdict, Approved) else verdict.code


def but(intent, **changes):
    return msgspec.structs.replace(intent, **changes)


def test_a_good_entry_is_approved_with_its_deadline_and_epoch():
    assert judge(ENTRY) == Approved(intent=ENTRY, valid_until_mono_ns=1500, halt_epoch=3)


@pytest.mark.parametrize(
    ("intent", "changes", "code"),
    [
        (but(ENTRY, price_ticks=None), {}, C.OFF_GRID),
        (but(ENTRY, price_ticks=0), {}, C.OFF_GRID),
        (but(ENTRY, lots=1), {}, C.BELOW_MIN_NOTIONAL),
        (but(ENTRY, lots=49), {}, C.BELOW_MIN_NOTIONAL),
        (but(ENTRY, lots=100_001), {}, C.ABOVE_MAX_ORDER),
        (but(ENTRY, lots=20_000), {}, C.ABOVE_MAX_ORDER),
        (but(ENTRY, purpose=Purpose.EXIT), {}, C.WOULD_INCREASE_RISK),
        (but(ENTRY, type=OrderType.MARKET, price_ticks=None), {}, C.OUTSIDE_COLLAR),
        (but(ENTRY, price_ticks=10_052), {}, C.OUTSIDE_COLLAR),
        (but(ENTRY, price_ticks=9_949), {}, C.OUTSIDE_COLLAR),
        (but(ENTRY, side=Side.SELL, price_ticks=9_949), {}, C.OUTSIDE_COLLAR),
        (ENTRY, {"halted": True}, C.HALTED),
        (ENTRY, {"trust": FeedTrust.SUSPECT}, C.FEED_NOT_SYNCED),
        (ENTRY, {"best_ask_ticks": -1}, C.FEED_NOT_SYNCED),
        (ENTRY, {"best_bid_ticks": 10_001}, C.FEED_NOT_SYNCED),
        (but(ENTRY, side=Side.SELL, price_ticks=10_000), {"instrument": SPOT}, C.NO_POSITION),
        (ENTRY, {"position_lots": 24_001}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"working_buy_lots": 24_001}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"position_lots": -20_000, "working_sell_lots": 6_000}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"equity": None}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"equity": D("NaN")}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"equity": D("-1")}, C.ABOVE_MAX_POSITION),
        (ENTRY, {"gross_other": D(9_990)}, C.ABOVE_GROSS_CAP),
        (ENTRY, {"gross_other": None}, C.ABOVE_GROSS_CAP),
        (ENTRY, {"gross_other": D("NaN")}, C.ABOVE_GROSS_CAP),
        (ENTRY, {"open_orders": 20}, C.TOO_MANY_OPEN_ORDERS),
        (ENTRY, {"orders_last_minute": 60}, C.ORDER_RATE),
        (ENTRY, {"daily_loss": D("0.04")}, C.DAILY_LOSS),
        (ENTRY, {"daily_loss": None}, C.DAILY_LOSS),
        (ENTRY, {"daily_loss": D("NaN")}, C.DAILY_LOSS),
        (EXIT, {"position_lots": 0}, C.NO_POSITION),
        (EXIT, {"position_lots": -1000}, C.NO_POSITION),
        (EXIT, {"position_lots": 999}, C.WOULD_INCREASE_RISK),
        (EXIT, {"position_lots": 1000, "reducing_lots": 1}, C.WOULD_INCREASE_RISK),
        (EXIT, {"position_lots": 1000, "orders_last_minute": 120}, C.ORDER_RATE),
        (but(EXIT, price_ticks=5), {"position_lots": 1000}, C.OFF_GRID),
        (but(EXIT, type=OrderType.LIMIT, price_ticks=9000), {"position_lots": 1000}, C.OUTSIDE_COLLAR),
        (but(STOP, stop_ticks=None), {"position_lots": 1000}, C.OFF_GRID),
    ],
)
def test_each_limit_refuses_with_its_code(intent, changes, code):
    assert judge(intent, **changes) is code


@pytest.mark.parametrize("intent", [EXIT, STOP])
def test_reducing_orders_pass_when_everything_else_is_wrong(intent):
    verdict = judge(
        intent,
        position_lots=1000,
        halted=True,
        trust=FeedTrust.STALE,
        best_bid_ticks=-1,
        best_ask_ticks=-1,
        equity=None,
        gross_other=None,
        open_orders=999,
        orders_last_minute=119,
        daily_loss=None,
    )
    assert isinstance(verdict, Approved)


def test_reducing_orders_mind_the_smallest_notional_only_where_the_venue_does():
    small = but(EXIT, lots=10)
    assert isinstance(judge(small, position_lots=10), Approved)
    assert judge(small, RiskLimits(reduce_only_exempt=False), position_lots=10) is C.BELOW_MIN_NOTIONAL
    held = but(STOP, lots=50)
    assert isinstance(judge(held, RiskLimits(reduce_only_exempt=False), position_lots=50), Approved), (
        "worth 5.00 at the bid, 4.90 at the stop"
    )


numbers = st.one_of(st.none(), st.just(D("NaN")), st.just(D("Infinity")), st.decimals(min_value=-10, max_value=20_000, places=2))


@given(
    lots=st.integers(-5, 200_000),
    price=st.one_of(st.none(), st.integers(-5, 12_000)),
    side=st.sampled_from(Side),
    position=st.integers(-60_000, 60_000),
    buys=st.integers(0, 30_000),
    sells=st.integers(0, 30_000),
    equity=numbers,
    other=numbers,
    loss=numbers,
    halted=st.booleans(),
    trust=st.sampled_from(FeedTrust),
    spot=st.booleans(),
)
def test_what_is_approved_is_within_every_limit_in_the_worst_case(
    lots, price, side, position, buys, sells, equity, other, loss, halted, trust, spot
):
    intent = but(ENTRY, lots=lots, price_ticks=price, side=side)
    verdict = judge(
        intent,
        position_lots=position,
        working_buy_lots=buys,
        working_sell_lots=sells,
        equity=equity,
        gross_other=other,
        daily_loss=loss,
        halted=halted,
        trust=trust,
        instrument=SPOT if spot else PERP,
    )
    if not isinstance(verdict, Approved):
        return
    assert not halted
    assert trust is FeedTrust.SYNCED
    assert not (spot and side is Side.SELL)
    longest = position + buys + (lots if side is Side.BUY else 0)
    shortest = position - sells - (lots if side is Side.SELL else 0)
    worst = max(abs(longest), abs(shortest)) * D("0.001") * max(price, 10_001) * D("0.01")
    assert worst <= equity / 4
    assert worst + other <= equity
    assert loss < D("0.04")
    assert abs(price - 10_000.5) < 55


@given(lots=st.integers(1, 3000), position=st.integers(-3000, 3000), side=st.sampled_from(Side), reducing=st.integers(0, 500))
def test_an_approved_reduction_never_flips_or_increases(lots, position, side, reducing):
    verdict = judge(but(EXIT, lots=lots, side=side), position_lots=position, reducing_lots=reducing)
    if isinstance(verdict, Approved):
        after = position + side.sign * (lots + reducing)
        assert abs(after) <= abs(position)
        assert after * position >= 0


def test_only_the_gate_makes_an_approval():
    root = Path(smartmoney.__path__[0])
    makers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\bApproved\(", path.read_text("utf-8").replace("class Approved(", ""))
    ]
    assert makers == ["core/risk/gate.py"]


@given(st.lists(st.integers(0, 30 * 1_000_000_000), max_size=100), st.integers(1, 10))
def test_order_rate_counts_a_sliding_minute_up_to_its_capacity(gaps, capacity):
    rate, stamps, now = OrderRate(capacity), [], 0
    for gap in gaps:
        now += gap
        assert rate.count(now) == min(capacity, sum(1 for stamp in stamps if now - stamp < MINUTE_NS))
        rate.add(now)
        stamps.append(now)


def test_daily_loss_starts_anew_at_midnight_and_never_goes_back():
    day = 86_400 * 10**9
    state = observe_day(DayState(), None, day)
    assert loss_fraction(state, D(1)) is None
    state = observe_day(state, D(1000), day + 5)
    assert loss_fraction(state, D(960)) == D("0.04")
    assert loss_fraction(state, D(1100)) == 0
    assert loss_fraction(state, None) is None
    later = observe_day(state, D(960), 2 * day)
    assert loss_fraction(later, D(960)) == 0
    assert observe_day(later, D(2000), day) == later


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_drawdown": 0},
        {"max_drawdown": 1},
        {"collar_bps": "NaN"},
        {"gross_cap": -1},
        {"max_open_orders": 0},
        {"mark_grace_s": float("inf")},
        {"reserved_orders_per_minute": 120},
        {"breach_hold_ms": -1},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="risk"):
        RiskLimits(**wrong)


def test_floats_become_the_decimals_they_print_as():
    assert RiskLimits(max_drawdown=0.05).max_drawdown == D("0.05")
