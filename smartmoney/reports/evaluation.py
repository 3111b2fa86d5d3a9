"""An evaluation as a page: the numbers, what they miss, reliability, importance. Everything is in one file; nothing is fetched."""

import base64
import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.evaluate import Evaluation, misses

_TOP = 15


def write_evaluation(scores: Evaluation, bundle: Bundle, folder: Path) -> list[Path]:
    """Write evaluation.json and evaluation.html to a folder, made if need be, and return both.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "evaluation.json"
    told.write_bytes(msgspec.json.format(msgspec.json.encode(scores.summary()), indent=2) + b"\n")
    page = folder / "evaluation.html"
    page.write_text("\n".join(_page(scores, bundle)), encoding="utf-8")
    return [told, page]


def _page(scores: Evaluation, bundle: Bundle) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><title>smartmoney: evaluation</title>'
    yield "<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}</style>"
    yield f"<h1>{html.escape(scores.name)}</h1><p>Held-out suite {html.escape(scores.suite)}, run {scores.holdout_runs} of this store.</p>"
    yield "<h2>Below the goals</h2><ul>"
    missed = list(misses(scores))
    yield from (f"<li>{html.escape(one)}</li>" for one in missed)
    yield "</ul>" if missed else "</ul><p>Nothing.</p>"
    yield from _table(
        "Planted flow",
        ("kind", "AUC", "oracle", "efficiency", "side right"),
        [(one.kind, one.auc, one.auc_oracle, one.efficiency, one.direction) for one in scores.flow],
    )
    if scores.regimes is not None:
        yield from _table("Regimes", ("regime", "F1"), [*scores.regimes.f1.items(), ("macro", scores.regimes.macro_f1)])
        yield from _table("Regimes by family", ("family", "macro F1"), list(scores.regimes.by_family.items()))
    yield from _table(
        "Forecasts",
        ("horizon, s", "AUC", "error", "slope", "Brier skill", "independent"),
        [(one.horizon_s, one.auc, one.quality.ece, one.quality.slope, one.quality.skill, one.effective) for one in scores.heads],
    )
    yield from _table(
        "Recordings, minutes long",
        ("horizon, s", "AUC", "logistic", "gain", "from", "to"),
        [(one.horizon_s, one.auc, one.auc_logistic, one.gain, one.gain_low, one.gain_high) for one in scores.baseline],
    )
    if scores.nulls is not None:
        one = scores.nulls
        rows = [(one.trades, one.gross, one.gross_ci_low, one.gross_ci_high, one.net, one.cost, one.pbo_mean)]
        yield from _table("Nothing to find", ("trades", "gross, bps", "from", "to", "net", "cost", "overfitting"), rows)
    yield "<h2>Reliability and importance</h2>"
    yield f'<img alt="reliability and importance" src="data:image/png;base64,{_pictures(scores, bundle)}">'


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h2>{title}</h2><table><tr>{''.join(f'<th>{one}</th>' for one in heads)}</tr>"
    for row in rows:
        cells = (f"{one:.3f}" if isinstance(one, float) else html.escape(str(one)) for one in row)
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"


def _pictures(scores: Evaluation, bundle: Bundle) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    for head in scores.heads:
        said, came = [one[0] for one in head.quality.bins], [one[1] for one in head.quality.bins]
        left.plot(said, came, marker="o", markersize=3, label=f"{head.horizon_s} s")
    left.set(xlabel="said: probability of up", ylabel="came true", title="reliability on held-out worlds")
    if scores.heads:
        left.legend()
    total = sum(bundle.spec.importance.values()) or 1.0
    top = sorted(bundle.spec.importance.items(), key=lambda item: -item[1])[:_TOP][::-1]
    right.barh([name for name, _ in top], [gain / total for _, gain in top])
    right.set(title="share of the gain in training")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90)
    return base64.b64encode(out.getvalue()).decode()
