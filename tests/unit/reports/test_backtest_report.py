"""What a report concludes follows from its numbers; it says so when there are none, and its page needs nothing but itself."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import RefusalCode
from smartmoney.learning.matched_null import Null, NullTest
from smartmoney.learning.reliability import ReliabilityCount
from smartmoney.learning.resampling import mean_interval
from smartmoney.reports import backtest_plots as plots
from smartmoney.reports.backtest import plain, result_lines, write_report
from smartmoney.reports.findings import findings
from smartmoney.reports.meanings import DECISIONS
from smartmoney.runtime.backtest import BacktestResult, JobResult
from smartmoney.runtime.chronicle import Chronicle, InstrumentChronicle, RegimeChange, RoundTrip, TripSums
from smartmoney.runtime.fill_costs import CostShares, CostSums

S = 1_000_000_000
T0 = 1_700_000_000 * S


def trips_of(nets, notional=1_000.0):
    return tuple(
        RoundTrip(
            instrument="BTC/USDT",
            side=Side.BUY if number % 2 else Side.SELL,
            quantity=notional / 100.0,
            entry_ns=T0 + number * 60 * S,
            exit_ns=T0 + (number * 60 + 30) * S,
            entry_price=100.0,
            exit_price=100.1,
            gross=net + 1.0,
            fees=1.0,
            net=net,
            regime=("accumulation", "neutral")[number % 2],
            confidence=0.7,
            exit="signal",
            signal_id=f"s{number}",
        )
        for number, net in enumerate(nets)
    )


def result_of(nets=(), *, name="one", p=0.5, groups=None, edge_bps=0.0, refusals=None, **changes):
    """Make a result of round trips of 1,000 each, with costs of 10 bps of fees and 2 bps of spread a round trip."""
    trips, count = trips_of(nets), len(nets)
    turnover = 2_000.0 * count
    fees, spread = 1.0 * count, 0.2 * count
    sums: dict[str, TripSums] = {"distribution": TripSums(seconds=100.0)}
    for trip in trips:
        one = TripSums(
            seconds=30.0, trips=1, wins=int(trip.net > 0), notional=trip.notional, gross=trip.gross, fees=trip.fees, net=trip.net
        )
        sums[trip.regime] = sums.get(trip.regime, TripSums()).plus(one)
    costs = {"entry taker": CostSums(fills=2 * count, notional=turnover, known=turnover, spread=spread, fee=fees)} if count else {}
    null = Null(mean_bps=0.0, low_bps=-1.0, high_bps=1.0, p=p, edges_bps=(-2.0, 0.0, 2.0), counts=(3, 4))
    apart = count if groups is None else groups
    test = NullTest(
        trades=count, groups=apart, widened=0, left_out=0, draws=7, step_s=1.0, observed_bps=0.3, p=p, same_side=null, any_side=null
    )
    heard = ReliabilityCount()
    for number in range(3 * count):
        heard.add(0.55 + 0.1 * (number % 4), 1 if number % 3 else -1, 0, number * S, S)
    net = float(sum(nets))
    chronicle = Chronicle(
        start_ns=T0,
        end_ns=T0 + 3600 * S,
        quote="USDT",
        instruments=(
            InstrumentChronicle(
                name="BTC/USDT",
                path=tuple((T0 + at * S, 100.0 + 0.1 * (at % 7) if at != 50 else None) for at in range(200)),
                regimes=(RegimeChange(T0 + S, "neutral", 0.7), RegimeChange(T0 + 90 * S, "accumulation", 0.8)),
            ),
        ),
        trips=trips,
        by_regime=sums,
        exits={"signal": count} if count else {},
        decisions={"at_target": {"neutral": 5}, "signal": {"neutral": count}},
        costs=costs,
        forecasts=heard.told(pending=4),
    )
    result = BacktestResult(
        frames=10,
        frames_per_s=5.0,
        seconds=3600.0,
        decisions=5 + count,
        signals=count,
        refusals={"at_target": 5} if refusals is None else refusals,
        orders=count,
        fills=2 * count,
        fills_by={},
        turnover=turnover,
        fees=fees,
        net_pnl=net,
        net_return=net / 10_000.0,
        max_drawdown=0.01,
        cost_bps=CostShares(delay=0.0, spread=1.0, impact=0.0, fee=5.0),
        halted=False,
        halt_reason="",
        digest="ab" * 32,
        assumptions=("fees: <5> bps",),
        null_test=test
        if count
        else NullTest(**{**msgspec.structs.asdict(test), "p": None, "same_side": None, "any_side": None, "observed_bps": None}),
    )
    equity = tuple((T0 + at * 10 * S, 10_000.0 + net * at / 20) for at in range(21))
    job = JobResult(name=name, result=result, equity=equity, fills=(), chronicle=chronicle)
    return msgspec.structs.replace(result, jobs=(job,), **changes)


def test_the_budget_leads_from_the_edge_to_the_net_without_a_rest():
    found = findings(result_of([0.5] * 30)).budget
    assert found.edge - found.delay - found.spread - found.impact - found.fee == pytest.approx(found.net)
    assert (found.edge, found.spread, found.fee, found.net) == pytest.approx((17.0, 2.0, 10.0, 5.0))
    assert found.net_at == pytest.approx((51.0, 15.0, -21.0))
    # At this fee a fill, twice a round trip, nothing would have been left.
    assert found.break_even_fee_bps == pytest.approx(7.5)
    assert findings(result_of([-2.0] * 30)).budget.break_even_fee_bps is None
    assert findings(result_of()).budget is None


@pytest.mark.parametrize(
    ("nets", "changes", "words"),
    [
        ((), {}, ["No round trip was closed", "5 were refused as at_target"]),
        ([0.5] * 5, {}, ["Made", "too few to tell", "5 trades apart in time are fewer than the 20"]),
        ([0.5, 0.7] * 20, {"p": 0.2}, ["more than luck", "something is left", "no better than random trades"]),
        ([-0.5, -0.7] * 20, {}, ["Lost", "luck does not explain", "nothing is left"]),
        ([-5.0, -5.5] * 20, {}, ["The direction itself was worth nothing"]),
        ([1.0, -1.0] * 20, {"p": 0.01}, ["not to be told from zero", "it beat random trades"]),
        ([1.0, -1.0] * 20, {"p": 0.01, "groups": 3}, ["cannot be said"]),
    ],
)
def test_the_verdict_says_what_the_numbers_carry_and_no_more(nets, changes, words):
    said = " ".join(findings(result_of(nets, **changes)).verdict)
    for word in words:
        assert word in said, said
    if len(nets) < 10:
        assert "luck does not explain" not in said
        assert "more than luck" not in said


def test_a_chance_below_one_in_a_thousand_is_not_called_none(tmp_path):
    result = result_of([1.0, -0.2] * 20, p=0.0004997)
    said = " ".join((*findings(result).verdict, *result_lines(result)))
    assert "(p < 0.001)" in said
    assert "p < 0.001 against random" in said
    write_report(result, tmp_path)
    _, page = read(tmp_path)
    assert "0.000" not in page


def test_signals_that_were_refused_on_the_way_to_an_order_are_told(tmp_path):
    result = result_of([0.5] * 30)
    codes = sum(result.refusals.values())
    write_report(msgspec.structs.replace(result, signals=9, decisions=codes + 5), tmp_path)
    _, page = read(tmp_path)
    assert "4 of the signals met one more" in page


def test_numbers_on_the_budget_do_not_meet_its_title():
    picture = plots.draw_budget(findings(result_of([0.5] * 30)).budget)
    for drawing in (picture.wide, picture.narrow):
        heights = {text: float(y) for y, text in re.findall(r"<text[^>]* y=.([\d.]+).[^>]*>([^<]+)</text>", drawing)}
        title = next(height for text, height in heights.items() if text.startswith("bps of a round trip"))
        assert heights["+17.00"] - title > 6.0, heights


def test_regimes_have_their_share_of_time_and_intervals_only_with_enough_trades():
    found = findings(result_of([0.5, -0.5] * 12))
    rows = {row.regime: row for row in found.regimes}
    assert sum(row.time_share for row in rows.values()) == pytest.approx(1.0)
    assert (rows["accumulation"].trips, rows["accumulation"].win_rate, rows["accumulation"].mean_bps) == (12, 1.0, 5.0)
    assert rows["accumulation"].low_bps == pytest.approx(5.0)
    assert (rows["distribution"].win_rate, rows["distribution"].mean_bps, rows["distribution"].low_bps) == (None, None, None)
    assert findings(result_of([0.5] * 9)).all_trades.low_bps is None


def test_an_interval_of_a_mean_covers_it_as_often_as_it_says():
    random = np.random.default_rng(1)
    hits = sum(low <= 1.0 <= high for low, high in (mean_interval(random.normal(1.0, 3.0, 40)) for _ in range(60)))
    assert 50 <= hits <= 60
    assert mean_interval([1.0] * 9) is None


class Reader(HTMLParser):
    """Read a page and keep what would need a network or a script, and whether tags match."""

    VOID = frozenset({"meta", "br", "img", "path", "use", "rect", "link"})

    def __init__(self):
        super().__init__()
        self.foreign, self.open, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        for name in ("src", "href", "xlink:href", "action"):
            if not (given.get(name) or "#").startswith("#"):
                self.foreign.append((tag, given[name]))
        if tag == "script" or any(name.startswith("on") for name in given):
            self.foreign.append((tag, ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Write the report of two stretches."""
    one, two = result_of([0.5, -0.7] * 15), result_of([-0.5] * 12, name="two")
    [paying] = two.jobs
    paying = msgspec.structs.replace(paying, result=msgspec.structs.replace(paying.result, funding=1.25))
    result = msgspec.structs.replace(one, jobs=(*one.jobs, paying))
    folder = tmp_path_factory.mktemp("report")
    write_report(result, folder)
    return result, folder


def read(folder):
    """Return a page and its text, having looked at what no page here may have."""
    page = (folder / "backtest.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert (reader.foreign, reader.open) == ([], [])
    for word in ("url(http", "@import", "<script"):
        assert word not in page
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    return page, " ".join(reader.text)


def test_the_page_needs_no_script_and_no_network_and_begins_with_what_is_assumed(traded):
    _, folder = traded
    page, said = read(folder)
    pictures = {"equity", "price-1", "price-2", "budget", "costs", "regimes", "calibration", "random"}
    assert {path.name for path in folder.iterdir()} == {"backtest.html", "backtest.json", *(f"{name}.png" for name in pictures)}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))
    order = ["Assumed", "fees: <5> bps", "What came of it", "Trades on the price", "Decisions and refusals", "Slippage budget", "By regime"]
    assert [said.index(word) for word in order] == sorted(said.index(word) for word in order)
    assert '<th class="text">stretch</th>' in page
    table = page[page.index("funding paid, USDT") :]
    assert 0 < table.index("+0.00") < table.index("+1.25")
    assert re.search(r"<details><summary>42 round trips</summary>", page)


def test_an_empty_result_says_of_each_part_that_there_is_nothing(tmp_path):
    write_report(result_of(), tmp_path)
    _, said = read(tmp_path)
    for words in ("No round trip was closed", "nothing was filled", "nothing was traded", "no forecast had reached", "nothing to compare"):
        assert words in said, words


def test_the_same_numbers_give_the_same_bytes(traded):
    result, folder = traded
    again = plots.draw_price(result.jobs[1].chronicle, result.jobs[1].chronicle.instruments[0])
    assert again.png == (folder / "price-2.png").read_bytes()
    assert again.wide in (folder / "backtest.html").read_text()
    assert again.narrow in (folder / "backtest.html").read_text()


def test_every_code_has_a_meaning():
    assert {*map(str, RefusalCode), "signal"} == set(DECISIONS)


def test_the_text_and_the_json_say_what_the_page_says():
    result = result_of([0.5, -0.7] * 30)
    assert any(line.startswith("random") for line in result_lines(result))
    whole = plain(result)
    assert whole["digest"] == result.digest
    assert whole["findings"]["verdict"] == list(findings(result).verdict)
