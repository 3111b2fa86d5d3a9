"""What exchanges tell of funding through ccxt, as frames: what is said, when, and what of it a paper account is settled at."""

import json
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.paper_depth import FundingTerms
from smartmoney.venues.binance.codec import fold_frame
from smartmoney.venues.ccxt_funding import FRAME_EVERY_MS, MARK_HEARD_MS, RATE_HEARD_MS, FundingNews, Told, Way, encode_mark, read, ways_of

from .binance.test_fold import states_of

EIGHT = 1_680_652_800_000
NEXT = EIGHT + 28_800_000
OKX_SAYS = {
    "info": {"fundingRate": "0.0000182221218054", "settFundingRate": "0.0000145824401745", "settState": "settled", "ts": "1743588686291"},
    "fundingRate": 1.82221218054e-05,
    "fundingTimestamp": 1743609600000,
    "markPrice": None,
    "timestamp": None,
}
BYBIT_SAYS = {
    "info": {"symbol": "BTCUSDT", "markPrice": "17217.33", "nextFundingTime": "1673280000000", "fundingRate": "-0.000212"},
    "markPrice": 17217.33,
    "timestamp": 1673272861686,
}


def told(at_ms=EIGHT, rate="0.0001", mark=None, stamp_ms=EIGHT - 60_000, settled=None):
    numbers = (None if each is None else D(each) for each in (rate, mark, settled))
    return Told(at_ms=at_ms, stamp_ms=stamp_ms, **dict(zip(("rate", "mark", "settled"), numbers, strict=True)))


def marked(price, stamp_ms):
    return Told(mark=D(price), stamp_ms=stamp_ms)


def said(frames):
    return [(one["E"], D(one["p"]), D(one["r"]), one["T"]) for one in map(json.loads, frames)]


def folded(frames):
    """Return what a daemon knows of funding after frames."""
    states = states_of(Market.USDM, "BTCUSDT")
    for frame in frames:
        fold_frame(frame, states, -1, 1)
    return KernelDepth(states, 0, lambda: True).funding()


def test_each_venue_is_asked_by_what_it_has():
    has = {way: True for way in Way}
    assert ways_of("bybit", {**has, Way.MARK: None, Way.RATE: None, Way.ASK_MARK: None}) == (Way.TICKER, Way.ASK_RATE)
    assert ways_of("okx", has) == (Way.RATE, Way.MARK, Way.ASK_RATE, Way.ASK_MARK)
    assert ways_of("binanceusdm", {**has, Way.RATE: None}) == (Way.MARK, Way.ASK_RATE, Way.ASK_MARK)
    assert ways_of("gate", {Way.TICKER: True, Way.ASK_RATE: True}) == (Way.ASK_RATE,)
    assert ways_of("krakenfutures", {Way.TICKER: True, Way.ASK_RATE: "emulated"}) == (Way.ASK_RATE,)
    assert ways_of("kraken", {Way.TICKER: True, Way.MARK: True, Way.ASK_MARK: True, Way.ASK_RATE: False}) == ()


def test_documented_answers_are_read_to_the_last_digit():
    assert read("okx", Way.RATE, OKX_SAYS) == Told(
        at_ms=1743609600000, rate=D("0.0000182221218054"), settled=D("0.0000145824401745"), stamp_ms=1743588686291
    )
    assert read("bybit", Way.TICKER, BYBIT_SAYS) == Told(
        at_ms=1673280000000, rate=D("-0.000212"), mark=D("17217.33"), stamp_ms=1673272861686
    )
    assert read("okx", Way.MARK, {"markPrice": 42310.6, "timestamp": 1630049139746, "info": {}}) == marked("42310.6", 1630049139746)
    assert read("gate", Way.ASK_RATE, {"fundingRate": 1e-06, "fundingTimestamp": EIGHT, "markPrice": 2.5, "timestamp": None}) == told(
        rate="0.000001", mark="2.5", stamp_ms=None
    )


@pytest.mark.parametrize("rate", [None, "", "x", float("nan"), float("inf"), True, 1.5, {}])
@pytest.mark.parametrize("at_ms", [None, 0, -1, "", 10**16, float("inf")])
def test_what_is_no_rate_no_time_or_no_price_is_none(rate, at_ms):
    answer = {"fundingRate": rate, "fundingTimestamp": at_ms, "markPrice": 0, "timestamp": at_ms, "info": None}
    assert read("gate", Way.ASK_RATE, answer) == Told()
    assert FundingNews("BTCUSDT").take(read("gate", Way.ASK_RATE, answer), EIGHT) == []


def test_numbers_are_written_as_the_scanner_reads_them():
    for mark, rate in (("0.00001234", "1E-9"), ("99999.123456789012345", "0.00018753912848281234567"), ("1E+5", "-0.0001"), ("0", "0")):
        frame = encode_mark("BTCUSDT", EIGHT - 1, D(mark), D(rate), EIGHT)
        terms = folded([frame]).next
        assert abs(terms.mark - D(mark)) <= D(mark) * D("1e-16")
        assert abs(terms.rate - D(rate)) <= D("1e-17")


def test_a_burst_is_said_at_most_each_three_seconds_and_its_last_state_always():
    news, now = FundingNews("BTCUSDT"), EIGHT - 60_000
    assert said(news.take(told(mark="100"), now)) == [(EIGHT - 60_000, D(100), D("0.0001"), EIGHT)]
    for n in range(20):
        assert news.take(marked(str(101 + n), EIGHT - 59_900 + n * 100), now + n * 100) == []
    assert said(news.flush(now + FRAME_EVERY_MS)) == [(EIGHT - 58_000, D(120), D("0.0001"), EIGHT)]
    assert news.flush(now + 2 * FRAME_EVERY_MS) == [], "nothing new"


def test_another_time_comes_at_once_after_the_last_word_of_the_one_before():
    news, now = FundingNews("BTCUSDT"), EIGHT - 1_000
    frames = news.take(told(mark="100", stamp_ms=EIGHT - 1_000), now)
    frames += news.take(told(rate="0.0002", mark="101", stamp_ms=EIGHT - 10), now + 10)
    frames += news.take(told(NEXT, "0.0007", "102", EIGHT + 500), now + 20)
    assert [one[1:] for one in said(frames)] == [
        (100, D("0.0001"), EIGHT),
        (101, D("0.0002"), EIGHT),
        (102, D("0.0007"), NEXT),
    ]
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, D("0.0002"), D(101))


def test_the_mark_price_of_a_time_is_the_last_one_before_it_was_over():
    news = FundingNews("BTCUSDT")
    frames = news.take(told(mark="100"), EIGHT - 60_000)
    frames += news.take(marked("101", EIGHT), EIGHT)
    for n in range(1, 40):
        frames += news.take(marked(str(200 + n), EIGHT + n * 1_000), EIGHT + n * 1_000)
    frames += news.take(told(NEXT, "0.0007", None, EIGHT + 40_000, settled="0.000099"), EIGHT + 40_000)
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, D("0.000099"), D(101))
    assert folded(frames).next == FundingTerms(NEXT * 10**6, D("0.0007"), D(239))


def test_a_rate_that_was_settled_counts_also_after_a_silence_and_an_old_mark_price_does_not():
    news, hour = FundingNews("BTCUSDT"), 3_600_000
    frames = news.take(told(mark="100", stamp_ms=EIGHT - hour), EIGHT - hour)
    frames += news.take(told(NEXT, "0.0007", None, EIGHT + 30_000, settled="0.0003"), EIGHT + 30_000)
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, D("0.0003"), D(0))


def test_rates_are_not_said_for_ever_beside_newer_mark_prices():
    news = FundingNews("BTCUSDT")
    news.take(told(NEXT, mark="100", stamp_ms=EIGHT), EIGHT)
    within = news.take(marked("101", EIGHT + RATE_HEARD_MS), EIGHT + RATE_HEARD_MS)
    assert len(within) == 1
    beyond = EIGHT + RATE_HEARD_MS + FRAME_EVERY_MS
    assert news.take(marked("102", beyond), beyond) == []


def test_a_mark_price_that_is_much_older_than_the_rate_is_none():
    news = FundingNews("BTCUSDT")
    news.take(told(NEXT, mark="100", stamp_ms=EIGHT), EIGHT)
    (said_now,) = said(news.take(told(NEXT, stamp_ms=EIGHT + MARK_HEARD_MS + 1), EIGHT + MARK_HEARD_MS + 1))
    assert said_now[1] == 0


def test_what_is_older_than_what_was_told_changes_nothing():
    news = FundingNews("BTCUSDT")
    frames = news.take(told(mark="100", stamp_ms=EIGHT - 5_000), EIGHT - 5_000)
    frames += news.take(told(rate="0.9", mark="99", stamp_ms=EIGHT - 6_000), EIGHT - 4_000)
    frames += news.take(told(NEXT, "0.0007", "102", EIGHT + 500), EIGHT + 500)
    frames += news.take(told(EIGHT, "0.8", "99", EIGHT + 900), EIGHT + 900)
    frames += news.flush(EIGHT + 9_000)
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, D("0.0001"), D(100))
    assert folded(frames).next == FundingTerms(NEXT * 10**6, D("0.0007"), D(102))


def test_a_venue_without_a_clock_is_settled_when_it_names_another_time_though_ours_is_behind():
    news = FundingNews("BTCUSDT")
    frames = news.take(told(mark="100", stamp_ms=None), EIGHT - 60_000)
    frames += news.take(told(NEXT, "0.0007", "101", None), EIGHT - 30_000)
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, D("0.0001"), D(100))


def test_a_time_that_is_moved_long_before_it_settles_nothing():
    news = FundingNews("BTCUSDT")
    frames = news.take(told(mark="100", stamp_ms=EIGHT - 7_200_000), EIGHT - 7_200_000)
    frames += news.take(told(EIGHT - 3_600_000, stamp_ms=EIGHT - 7_100_000, settled="0.5"), EIGHT - 7_100_000)
    assert folded(frames).settled is None
    assert folded(frames).next.at_ns == (EIGHT - 3_600_000) * 10**6


STEPS = st.lists(
    st.tuples(st.integers(0, 9_000), st.integers(-75_000, 75_000), st.integers(1, 10**9), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(STEPS, st.integers(0, 50_000))
def test_however_news_comes_what_is_settled_is_the_last_rate_and_the_last_mark_price_of_the_time(steps, late_ms):
    news, frames, at = FundingNews("BTCUSDT"), [], EIGHT - 100_000
    rate, mark = D("0.0001"), D(5)
    frames += news.take(told(mark="5", stamp_ms=at), at)
    for later, raw_rate, raw_mark, is_rate, is_mark in steps:
        at += later
        if at > EIGHT:
            break
        rate = D(raw_rate).scaleb(-8) if is_rate else rate
        mark = D(raw_mark).scaleb(-4) if is_mark else mark
        frames += news.take(told(rate=str(rate), mark=str(mark), stamp_ms=at), at)
    for ms in range(EIGHT + 1, EIGHT + late_ms, 900):
        frames += news.take(marked("777", ms), ms)
        frames += news.flush(ms)
    frames += news.take(told(NEXT, "0.5", "888", EIGHT + late_ms + 1), EIGHT + late_ms + 1)
    assert folded(frames).settled == FundingTerms(EIGHT * 10**6, rate, mark)
    assert folded(frames).next == FundingTerms(NEXT * 10**6, D("0.5"), D(888))
    stamps = [one[0] for one in said(frames)]
    assert stamps == sorted(stamps)
