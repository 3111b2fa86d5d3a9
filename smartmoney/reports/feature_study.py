"""A feature study as files: `study.json`, the pictures, and `study.html`, which holds everything in itself and needs no network."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import msgspec

from smartmoney.learning.feature_study import HORIZONS_S, LAGS_S, SECOND_NS, Estimate, Fact, FeatureStatistics, FeatureStudy, StudyRows
from smartmoney.learning.resampling import BLOCKS_MIN

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #5f6c7b; --line: #d8dee5; --mark: #2a6f97; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p { max-width: 52rem; color: var(--faint); margin: .4rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .18rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: #fff; color: var(--faint); font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
tr.group td { font-weight: 600; color: var(--mark); padding-top: .8rem; }
td b { color: var(--ink); } td small { color: var(--faint); }
img { max-width: 100%; height: auto; display: block; }
"""
_HOW_TO_READ = (
    "Correlations with the move of the mid: Pearson's r, 95 % interval; bold where it excludes zero. "
    "AUC: the next second's direction, given that the mid moved; odd features only."
)
_PICTURES = (
    ("flow", "Flow and the same second's move"),
    ("correlations", "Correlations"),
    ("distributions", "Distributions"),
    ("autocorrelations", "Memory"),
)


def write_study(study: FeatureStudy, rows: StudyRows, folder: Path) -> list[Path]:
    """Write the report to a folder, which is made if need be; return the files.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    from smartmoney.reports.feature_plots import draw_all

    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_all(study, rows)
    written = {folder / f"{name}.png": picture for name, picture in pictures.items()}
    written[folder / "study.json"] = msgspec.json.format(msgspec.json.encode(study), indent=1)
    written[folder / "study.html"] = study_page(study, pictures).encode()
    for path, content in written.items():
        path.write_bytes(content)
    return list(written)


def study_page(study: FeatureStudy, pictures: Mapping[str, bytes]) -> str:
    """Return the report as one page of HTML, with its pictures in it."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(study.symbol)}: feature study</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Feature study: {escape(study.symbol)}, {escape(study.venue)} {escape(study.market)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in description(study)),
        "<h2>Published facts, measured here</h2>",
        _table(("fact", "measured", "95 % interval", "rows", "published"), map(_fact_cells, study.facts)),
        "<h2>Features</h2>",
        f"<p>{_HOW_TO_READ}</p>",
        _feature_table(study.features),
    ]
    for name, heading in _PICTURES:
        encoded = base64.b64encode(pictures[name]).decode()
        parts.append(f'<h2>{heading}</h2><img alt="{heading}" src="data:image/png;base64,{encoded}">')
    return "\n".join((*parts, "</body></html>\n"))


def description(study: FeatureStudy) -> list[str]:
    """Return in sentences what was studied and how, for a reader who sees nothing else."""
    first, last = (datetime.fromtimestamp(ns / SECOND_NS, UTC) for ns in (study.first_ts_event_ns, study.last_ts_event_ns))
    blocks = ", ".join(f"{seconds} s for {horizon} s ahead" for horizon, seconds in study.blocks_s.items())
    span = f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC"
    made = f"{study.frames} recorded frames; {len(study.features)} features, schema {study.schema_hash[:12]}."
    bootstrap = f"moving-block bootstrap, {study.resamples} resamples, seed {study.seed}; blocks of {blocks} (contemporaneous: as 1 s)"
    few = f"none from fewer than {BLOCKS_MIN} blocks; those of R² cannot reach below 0"
    count = len(study.features) * (1 + len(HORIZONS_S))
    lines = [
        f"{study.rows} rows, one each {study.every_ns / SECOND_NS:g} s of exchange time, {span}; {made}",
        f"Intervals: {bootstrap}; {few}.",
        (
            f"{count} correlations, so that some intervals exclude zero by chance: about one in ten of those from a dozen blocks, "
            "one in fifteen from a hundred. In sample, without costs."
        ),
    ]
    if study.holes:
        lines.append(f"The recording has {study.holes} holes, in which there are no rows.")
    return lines + [f"Damaged: {problem}" for problem in study.problems]


def estimate_text(estimate: Estimate, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number as text, a dash where there is none."""
    return "–" if estimate.value is None else f"{estimate.value:{'+' if signed else ''}.{digits}f}"


def interval_text(estimate: Estimate, digits: int = 2, *, signed: bool = False) -> str:
    """Return an interval as text, empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    form = f"{'+' if signed else ''}.{digits}f"
    return f"[{estimate.low:{form}}, {estimate.high:{form}}]"


def number_text(value: float | None) -> str:
    """Return a number with three significant digits, a dash for none."""
    return "–" if value is None else f"{value:.3g}"


def _fact_cells(fact: Fact) -> tuple[str, ...]:
    known = "" if fact.published is None else f"{fact.published:g}"
    one = fact.measured
    return escape(fact.meaning), f"<b>{estimate_text(one, 3)}</b>", interval_text(one, 3), str(one.n), known


def _feature_table(features: Sequence[FeatureStatistics]) -> str:
    headings = (
        "feature",
        "unit",
        "warm",
        "same second",
        *(f"next {horizon} s" for horizon in HORIZONS_S),
        "AUC 1 s",
        "mean",
        "sd",
        *("1 %", "25 %", "median", "75 %", "99 %"),
        *(f"ρ({lag} s)" for lag in LAGS_S),
    )
    return _table(headings, _feature_lines(features, len(headings)))


def _feature_lines(features: Sequence[FeatureStatistics], columns: int) -> Iterator[tuple[str, ...]]:
    group = ""
    for one in features:
        if one.group != group:
            group = one.group
            yield (f'<tr class="group"><td colspan="{columns}">{escape(group)}</td></tr>',)
        memory = (one.autocorrelation[str(lag)] for lag in LAGS_S)
        area = one.auc_next.get("1")
        yield (
            escape(one.name),
            escape(one.unit),
            f"{one.coverage:.0%}",
            _cell(one.same_1s, signed=True),
            *(_cell(one.next_move[str(horizon)], signed=True) for horizon in HORIZONS_S),
            "" if area is None else _cell(area, signed=False),
            number_text(one.mean),
            number_text(one.sd),
            *map(number_text, one.quantiles),
            *("–" if value is None else f"{value:.2f}" for value in memory),
        )


def _cell(estimate: Estimate, *, signed: bool) -> str:
    value = estimate_text(estimate, signed=signed)
    value = f"<b>{value}</b>" if signed and estimate.excludes_zero else value
    return f"{value} <small>{interval_text(estimate, signed=signed)}</small>"


def _table(headings: Sequence[str], lines: Iterator[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    # A line of one cell is a whole row already.
    body = "\n".join(cells[0] if len(cells) == 1 else f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
