"""The sections of a report's page, in words, tables and drawings."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape

from smartmoney.reports.drawing import Picture
from smartmoney.reports.entries import entry_section
from smartmoney.reports.findings import Budget, Findings, RegimeRow, most
from smartmoney.reports.meanings import DECISIONS, EXITS
from smartmoney.reports.page import bullets, figure, folded, page, paragraph, swatch, table, tiles
from smartmoney.reports.palette import COSTS, REGIMES
from smartmoney.reports.wording import chance, plural, quote_of, span
from smartmoney.runtime.backtest import BacktestResult
from smartmoney.runtime.chronicle import RoundTrip, cost_sums, counted, decision_sums

_LINES_MAX = 200
_OPEN_MAX = 25
"""A longer table of trades is folded."""


def report_page(result: BacktestResult, found: Findings, pictures: Mapping[str, Picture], title: str) -> str:
    """Return the report as one page of HTML, with its pictures in it."""
    return page(
        title,
        (
            f"<h1>{escape(title)}</h1>",
            paragraph(f"{_when(result)}. smartmoney {result.build}, digest {result.digest[:16]}…", "faint"),
            f'<div class="verdict lead">{"".join(paragraph(line) for line in found.verdict)}</div>',
            "<h2>Assumed</h2>",
            bullets((*result.assumptions, *dict.fromkeys(word for job in result.jobs for word in job.chronicle.missing))),
            "<h2>What came of it</h2>",
            tiles(_tiles(result, found)),
            figure(pictures["equity"], "Net profit and drawdown over time"),
            *_stretches(result),
            "<h2>Trades on the price</h2>",
            *_prices(result, pictures),
            *_trades(result),
            "<h2>Decisions and refusals</h2>",
            *_decisions(result),
            "<h2>What fills cost</h2>",
            *_costs(result, pictures),
            "<h2>Entries</h2>",
            *entry_section(found.entries, is_known=not any(job.chronicle.missing for job in result.jobs)),
            "<h2>Slippage budget</h2>",
            *_budget(found.budget, result, pictures),
            "<h2>By regime</h2>",
            *_regimes(found, quote_of(result), pictures),
            "<h2>Calibration</h2>",
            *_calibration(found, pictures),
            "<h2>Against random trades</h2>",
            *_random(result, pictures),
        ),
    )


def _tiles(result: BacktestResult, found: Findings) -> Iterator[tuple[str, str]]:
    trades = found.all_trades
    yield f"net, {quote_of(result)}", f"{result.net_pnl:+,.2f}"
    yield "net of the account", f"{result.net_return:+.3%}"
    yield "worst drawdown", f"{result.max_drawdown:.3%}"
    yield "round trips", f"{trades.trips:,}"
    yield "of them won", "–" if trades.win_rate is None else f"{trades.win_rate:.0%}"
    yield "net a round trip", "–" if trades.mean_bps is None else f"{trades.mean_bps:+.2f} bps"
    yield f"fees, {quote_of(result)}", f"{result.fees:,.2f}"
    if result.funding:
        yield f"funding paid, {quote_of(result)}", f"{result.funding:+,.2f}"
    yield "p against random trades", "–" if result.null_test is None or result.null_test.p is None else chance(result.null_test.p)


def _stretches(result: BacktestResult) -> Iterator[str]:
    if result.halted:
        yield paragraph(f"HALTED: {result.halt_reason}")
    if len(result.jobs) < 2:
        return
    has_funding = any(job.result.funding for job in result.jobs)
    lines = (
        (
            escape(job.name),
            span(job.result.seconds),
            f"{job.chronicle.totals.trips:,}",
            f"{job.result.fills:,}",
            f"{job.result.net_pnl:+,.2f}",
            f"{job.result.max_drawdown:.3%}",
            f"{job.result.fees:,.2f}",
            *((f"{job.result.funding:+,.2f}",) if has_funding else ()),
        )
        for job in result.jobs
    )
    quote = quote_of(result)
    heads = {
        "stretch": "text",
        "market time": "",
        "round trips": "",
        "fills": "",
        f"net, {quote}": "",
        "worst drawdown": "",
        f"fees, {quote}": "",
        **({f"funding paid, {quote}": ""} if has_funding else {}),
    }
    yield table(heads, lines)


def _prices(result: BacktestResult, pictures: Mapping[str, Picture]) -> Iterator[str]:
    shown = [name for name in pictures if name.startswith("price")]
    if not shown:
        yield paragraph("No price path is known.")
        return
    yield paragraph(
        "▲ a long is opened, ▼ a short; ● closed with a gain after fees, ○ with a loss. The ribbon below is the regime.", "faint"
    )
    seen = [
        name
        for name in REGIMES
        if any(one.label == name for job in result.jobs for item in job.chronicle.instruments for one in item.regimes)
    ]
    yield f"<p>{'&ensp; '.join(swatch(name, name) for name in seen) or 'No regime was read.'}</p>"
    whose = [job.name for job in result.jobs for _ in job.chronicle.instruments]
    for picture, name in zip(shown, whose, strict=False):
        if len(result.jobs) > 1:
            yield f"<h3>{escape(name)}</h3>"
        yield figure(pictures[picture], f"Price and trades, {name}")
    if len(whose) > len(shown):
        yield paragraph(f"The first {len(shown)} of {len(whose)} are drawn.", "faint")


def _trades(result: BacktestResult) -> Iterator[str]:
    trips = [(job.name, trip) for job in result.jobs for trip in job.chronicle.trips]
    if not trips:
        yield paragraph("No round trip was closed.")
        return
    yield "<h3>Round trips</h3>"
    several = len(result.jobs) > 1
    heads = {
        **({"stretch": "text"} if several else {}),
        "instrument": "text",
        "side": "text",
        "entry, UTC": "text",
        "held": "",
        "entry price": "",
        "exit price": "",
        "quantity": "",
        f"fees, {quote_of(result)}": "",
        f"net, {quote_of(result)}": "",
        "net, bps": "",
        "regime": "text",
        "confidence": "",
        "closed by": "text",
    }
    lines = table(heads, ((*((escape(name),) if several else ()), *_trade(trip)) for name, trip in trips[:_LINES_MAX]))
    count = sum(job.chronicle.totals.trips for job in result.jobs)
    words = f"{count:,} round trips" if count <= _LINES_MAX else f"The first {_LINES_MAX} of {count:,}; the JSON file has {len(trips):,}"
    yield folded(words, lines, is_open=count <= _OPEN_MAX)
    exits = counted(job.chronicle.exits for job in result.jobs)
    yield "<h3>Why they ended</h3>"
    heads = {"closed by": "text", "times": "", "means": "words"}
    yield table(heads, ((escape(reason), f"{times:,}", escape(EXITS.get(reason, ""))) for reason, times in most(exits)))


def _trade(trip: RoundTrip) -> tuple[str, ...]:
    began = datetime.fromtimestamp(trip.entry_ns / 1e9, UTC)
    return (
        escape(trip.instrument),
        "long" if trip.side.sign > 0 else "short",
        f"{began:%Y-%m-%d %H:%M:%S}" if trip.entry_ns else "in an earlier run",
        span(trip.holding_s) if trip.entry_ns else "–",
        f"{trip.entry_price:,.10g}",
        f"{trip.exit_price:,.10g}",
        f"{trip.quantity:.8g}",
        f"{trip.fees:,.3f}",
        f"{trip.net:+,.3f}",
        f"{trip.net_bps:+.2f}",
        swatch(trip.regime, trip.regime),
        "–" if trip.confidence is None else f"{trip.confidence:.3f}",
        escape(trip.exit),
    )


def _decisions(result: BacktestResult) -> Iterator[str]:
    by = decision_sums(job.chronicle.decisions for job in result.jobs)
    counts = {"signal": result.signals, **result.refusals} if result.signals else dict(result.refusals)
    if not counts:
        yield paragraph("No decision was taken.")
        return
    again = sum(counts.values()) - result.decisions
    twice = f" {again:,} of the signals met one more on the way to an order, and count there too." if again > 0 < result.signals else ""
    yield paragraph(
        f"{result.decisions:,} decisions, of which {result.signals:,} became signals. "
        f"Every other has one code, the gate that it missed.{twice}",
        "faint",
    )
    regimes = [name for name in REGIMES if any(name in one for one in by.values())]
    heads = {"code": "text", "times": "", "means": "words", **dict.fromkeys(regimes, "")}
    lines = (
        (escape(code), f"{count:,}", escape(DECISIONS.get(code, "")), *(f"{by.get(code, {}).get(name, 0):,}" for name in regimes))
        for code, count in most(counts)
    )
    yield table(heads, lines)


def _costs(result: BacktestResult, pictures: Mapping[str, Picture]) -> Iterator[str]:
    yield paragraph(
        "In bps of the mid at the decision (fees: of the fill), averaged by notional. Above zero is lost; "
        "a spread below zero is one that a resting order earned.",
        "faint",
    )
    yield figure(pictures["costs"], "Costs by purpose and liquidity")
    sums = cost_sums(job.chronicle.costs for job in result.jobs)
    if not sums:
        return
    heads = {
        "fills of": "text",
        "number": "",
        f"notional, {quote_of(result)}": "",
        **{f"{name}, bps": "" for name in COSTS},
        f"all, {quote_of(result)}": "",
    }
    lines = []
    for kind, one in sums.items():
        shares = one.shares()
        parts = ("–" if not one.known and name != "fee" else f"{getattr(shares, name):+.2f}" for name in COSTS)
        lines.append(
            (escape(kind), f"{one.fills:,}", f"{one.notional:,.2f}", *parts, f"{one.delay + one.spread + one.impact + one.fee:+,.2f}")
        )
    yield table(heads, lines)


def _budget(spent: Budget | None, result: BacktestResult, pictures: Mapping[str, Picture]) -> Iterator[str]:
    yield figure(pictures["budget"], "From the edge at the decisions to the net result")
    if spent is None:
        return
    split = "" if spent.is_split else " Delay, spread and impact are not known here and are in the edge."
    yield paragraph(
        f"The edge is what the decisions would have made at the mids they saw. A round trip's notional is half the turnover.{split}",
        "faint",
    )
    fee = "none: it lost before fees" if spent.break_even_fee_bps is None else f"{spent.break_even_fee_bps:.2f} bps a fill"
    paid = 1e4 * result.fees / result.turnover
    yield table(
        {"question": "text", "answer": "text"},
        (("the fee at which it would have broken even", fee), ("the fee that it paid", f"{paid:.2f} bps a fill")),
    )
    quote = quote_of(result)
    names = ("none", "as they were", "twice as high")
    yield table(
        {"had costs been": "text", f"net, {quote}": "", "of the account": ""},
        ((name, f"{net:+,.2f}", _share(net, result)) for name, net in zip(names, spent.net_at, strict=True)),
    )


def _regimes(found: Findings, quote: str, pictures: Mapping[str, Picture]) -> Iterator[str]:
    if not found.regimes:
        yield paragraph("No regime was read: the market was never analysed.")
        return
    yield figure(pictures["regimes"], "Net result a round trip, by regime at entry")
    heads = {
        "regime at entry": "text",
        "of the time": "",
        "round trips": "",
        "won": "",
        "net a round trip, bps": "",
        "95 % interval": "",
        f"net, {quote}": "",
    }
    yield table(heads, (_regime(row) for row in (*found.regimes, found.all_trades)))
    yield paragraph(
        "Intervals are bootstrapped over round trips; fewer than ten have none. What was still open at the end is in none of them.", "faint"
    )


def _regime(row: RegimeRow) -> tuple[str, ...]:
    return (
        swatch(row.regime, row.regime) if row.regime in REGIMES else escape(row.regime),
        f"{row.time_share:.0%}",
        f"{row.trips:,}",
        "–" if row.win_rate is None else f"{row.win_rate:.0%}",
        "–" if row.mean_bps is None else f"{row.mean_bps:+.2f}",
        "–" if row.low_bps is None else f"{row.low_bps:+.2f} to {row.high_bps:+.2f}",
        f"{row.net:+,.2f}",
    )


def _calibration(found: Findings, pictures: Mapping[str, Picture]) -> Iterator[str]:
    told = found.calibration
    yield figure(pictures["calibration"], "Share of forecasts that came true, by confidence")
    left = [
        f"{count:,} {words}"
        for count, words in (
            (told.pending, "had not reached their horizon"),
            (told.lost, "had no price to judge by"),
            (told.ties, "ended where they began"),
        )
        if count
    ]
    aside = f" Left aside: {', '.join(left)}." if left else ""
    if not told.n:
        yield paragraph(f"No forecast could be judged.{aside}", "faint")
        return
    yield paragraph(
        f"{told.n:,} forecasts above feature_engine.confidence_threshold, heard in {told.horizons:,} horizons that do not overlap; "
        f"intervals count one forecast a horizon, since those within one look at the same move.{aside}",
        "faint",
    )
    lines = [
        ("came true", f"{told.accuracy:.1%}", "half is a coin's share"),
        ("Brier score", f"{found.brier:.3f}", "0.250 is a coin that says 0.5; lower is better"),
        (
            "calibration error (ECE)",
            f"{found.ece:.3f}",
            f"a perfectly calibrated forecaster would show about {found.ece_of_chance:.3f} on so few",
        ),
    ]
    yield table({"measure": "text", "value": "", "beside": "words"}, lines)
    heads = {"confidence": "", "forecasts": "", "horizons": "", "came true": "", "95 % interval": ""}
    bins = (
        (f"{one.confidence:.3f}", f"{one.n:,}", f"{one.horizons:,}", f"{one.share:.1%}", f"{one.interval[0]:.0%} to {one.interval[1]:.0%}")
        for one in told.bins
        if one.n
    )
    yield table(heads, bins)


def _random(result: BacktestResult, pictures: Mapping[str, Picture]) -> Iterator[str]:
    yield figure(pictures["random"], "What random trades would have made")
    test = result.null_test
    if test is None or test.same_side is None or test.any_side is None or test.observed_bps is None:
        return
    left = f"; {test.left_out:,} without a known path are left out" if test.left_out else ""
    wide = f"; for {test.widened:,} the match had to be widened" if test.widened else ""
    yield paragraph(
        f"{test.trades:,} round trips, {test.groups:,} apart in time, on a path of {test.step_s:g} s{left}{wide}. "
        f"Each of {test.draws:,} draws gives every trade a random twin of the same size and holding time, at a time of day at most "
        "an hour off and in the same third of volatility. "
        "With sides kept: were the moments better than others? With random sides: was the direction better than a coin? The worse counts.",
        "faint",
    )
    heads = {"against": "text", "these, bps": "", "random, bps": "", "95 % of random": "", "p": ""}
    lines = (
        (name, f"{test.observed_bps:+.2f}", f"{null.mean_bps:+.2f}", f"{null.low_bps:+.2f} to {null.high_bps:+.2f}", chance(null.p))
        for name, null in (("random times, same sides", test.same_side), ("random times and sides", test.any_side))
    )
    yield table(heads, lines)


def _share(net: float, result: BacktestResult) -> str:
    start = result.net_pnl / result.net_return if result.net_return else None
    return "–" if start is None else f"{net / start:+.3%}"


def _when(result: BacktestResult) -> str:
    told = [job.chronicle for job in result.jobs if job.chronicle.start_ns]
    if not told:
        return span(result.seconds)
    first, last = min(one.start_ns for one in told), max(one.end_ns for one in told)
    start, end = (datetime.fromtimestamp(one / 1e9, UTC) for one in (first, last))
    count = f"{len(result.jobs)} {plural('stretch', 'es', len(result.jobs))}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {span(result.seconds)} of market, {count}"
