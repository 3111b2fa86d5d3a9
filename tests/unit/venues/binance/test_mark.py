"""What a mark price frame says of funding, through both paths: what is kept, what is settled, what is left alone."""

import json
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.book.codes import CODE_MASK, INDEX_SHIFT, NO_INSTRUMENT, FoldCode
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.paper_depth import FundingTerms, FundingTold
from smartmoney.venues.binance.codec import fold_frame, fold_slow

from .test_fold import states_of

MS = 1_000_000
EIGHT = 1_680_652_800_000
NEXT = EIGHT + 28_800_000


def mark(event_ms, next_ms, rate="0.00002754", price="28147.27373413", **more):
    body = {"e": "markPriceUpdate", "E": event_ms, "s": "BTCUSDT", "p": price, "P": "1.5", "i": "28159.75642857", "r": rate, "T": next_ms}
    return json.dumps(body | more, separators=(",", ":")).encode()


@pytest.fixture(params=["fast", "slow"], scope="module")
def run(request):
    """Fold frames through one path or the other, and return what is told of the first instrument, and the states."""
    fold = {"fast": fold_frame, "slow": fold_slow}[request.param]

    def folded(*frames, market=Market.USDM, symbols=("BTCUSDT",)):
        states = states_of(market, *symbols)
        for frame in frames:
            result = fold(frame, states, -1, 1)
            assert result & CODE_MASK == FoldCode.IGNORED
            assert result >> INDEX_SHIFT == NO_INSTRUMENT, "it must not keep up a book's feed that is silent"
        return KernelDepth(states, 0, lambda: True).funding(), states

    return folded


def test_price_rate_and_time_are_kept_to_the_last_digit(run):
    told, states = run(mark(EIGHT - 99_000, EIGHT, rate="-0.00002754"))
    terms = FundingTerms(EIGHT * MS, D("-0.00002754"), D("28147.27373413"))
    assert told == FundingTold(next=terms, since_ns=(EIGHT - 99_000) * MS, heard_ns=(EIGHT - 99_000) * MS, settled=None)
    assert int(states[0]["ignored"]) == int(states[0]["frames"]) == 1


def test_what_was_told_last_before_another_time_is_settled_once_the_old_one_is_over(run):
    told, states = run(
        mark(EIGHT - 3_000, EIGHT, rate="0.0000275"),
        mark(EIGHT + 10, EIGHT, rate="0.00002760", price="28155.1"),
        mark(EIGHT + 1_000, NEXT, rate="0.0000001"),
    )
    assert told.settled == FundingTerms(EIGHT * MS, D("0.00002760"), D("28155.1"))
    assert told.next.at_ns == NEXT * MS
    assert told.since_ns == (EIGHT + 1_000) * MS
    assert int(states[0]["funding_turns"]) == 2, "the first time named, and the second"


def test_a_time_that_is_moved_before_it_came_settles_nothing(run):
    told, states = run(mark(EIGHT - 7_200_000, EIGHT), mark(EIGHT - 7_197_000, EIGHT - 3_600_000))
    assert told.settled is None
    assert told.next.at_ns == (EIGHT - 3_600_000) * MS
    assert int(states[0]["funding_turns"]) == 2


def test_a_next_time_that_is_named_a_moment_early_settles_the_one_before(run):
    told, _ = run(mark(EIGHT - 3_000, EIGHT, rate="0.0000275", price="28155.1"), mark(EIGHT - 1, NEXT))
    assert told.settled == FundingTerms(EIGHT * MS, D("0.0000275"), D("28155.1"))


def test_a_clock_far_beyond_the_time_that_it_names_shuts_nothing_out(run):
    frames = mark(EIGHT - 3_000, EIGHT), mark(EIGHT + 1_000, NEXT)
    told, _ = run(frames[0], mark(EIGHT + 31_536_000_000, EIGHT, rate="0.01"), frames[1])
    assert told == run(*frames)[0]


def test_an_older_frame_of_an_overlapping_connection_changes_nothing(run):
    frames = mark(EIGHT - 3_000, EIGHT), mark(EIGHT + 10, NEXT, rate="0.1")
    told, states = run(*frames, mark(EIGHT - 2_000, EIGHT, rate="0.9"))
    assert told == run(*frames)[0]
    assert int(states[0]["funding_turns"]) == 2


@pytest.mark.parametrize(
    "frame",
    [
        mark(EIGHT, 0),
        mark(EIGHT, NEXT, rate=""),
        mark(EIGHT, NEXT, rate="-"),
        mark(EIGHT, NEXT, rate="--1"),
        mark(EIGHT, NEXT, rate="1e-5"),
        mark(EIGHT, NEXT, rate=0.0001),
        mark(EIGHT, NEXT, price=""),
        mark(0, NEXT),
        mark(EIGHT, NEXT, s="OTHER"),
        mark(EIGHT, 10**17),
    ],
)
def test_without_one_of_them_nothing_is_told(run, frame):
    told, states = run(frame)
    assert told is None
    assert not states["funding_turns"].any()


def test_a_wrapped_frame_of_another_instrument_is_its_own(run):
    wrapped = b'{"stream":"ethusdt@markPrice","data":' + mark(EIGHT - 1, EIGHT, s="ETHUSDT") + b"}"
    told, states = run(wrapped, symbols=("BTCUSDT", "ETHUSDT"))
    assert told is None
    assert KernelDepth(states, 1, lambda: True).funding().next.at_ns == EIGHT * MS
    assert int(states[0]["funding_turns"]) == 1, "whoever turned, it is looked up in one place"


ONES = st.tuples(
    st.integers(0, 9),
    st.sampled_from([EIGHT, NEXT, 0]),
    st.sampled_from(["0.0001", "-0.00375000", "", "x", "0", "0.000000000000000001"]),
    st.sampled_from(["28147.27373413", "0", "", "1", "999999999999.99999999"]),
)


@given(st.lists(ONES, max_size=12))
def test_both_paths_come_to_the_same_states(ones):
    fast, slow = (states_of(Market.USDM) for _ in range(2))
    for later, next_ms, rate, price in ones:
        frame = mark(EIGHT - 5_000 + later * 1_000, next_ms, rate, price)
        assert fold_frame(frame, fast, -1, 1) == fold_slow(frame, slow, -1, 1)
    assert fast.tobytes() == slow.tobytes()


def test_frames_of_other_kinds_that_hold_such_a_key_are_what_they_were():
    states = states_of(Market.USDM)
    trade = b'{"e":"trade","E":5,"T":5,"s":"BTCUSDT","t":1,"p":"100.5","q":"0.002","r":"7","m":true}'
    assert fold_frame(trade, states, -1, 1) & CODE_MASK == FoldCode.TRADE
    assert int(states[0]["last_trade_tick"]) == 201
    other = json.dumps({"e": "forceOrder", "E": EIGHT, "s": "BTCUSDT", "p": "1.5", "r": "0.1", "T": NEXT}).encode()
    assert fold_frame(other, states, -1, 1) == FoldCode.IGNORED
    assert not states["scan_rate"].any()
    assert not states["funding_next_ns"].any()
