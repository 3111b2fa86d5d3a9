"""A parameter search as text, and as files: `tune.json`, and `tune.html`, which holds everything in itself. The verdict comes first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec

from smartmoney.reports.page import bullets, page, paragraph, table
from smartmoney.reports.wording import plural
from smartmoney.runtime.tuning import CURRENT, TrialResult, TuneResult
from smartmoney.settings.search_space import Value

_LINES_MAX = 2_000
_CAVEATS = {True: "", False: "Not a recommendation: no edge was found. "}


def result_lines(result: TuneResult) -> Iterator[str]:
    """Yield a result as lines of text, the verdict first, assumptions last."""
    verdict = result.verdict
    yield verdict.headline
    for check in verdict.checks:
        yield f"  {'met   ' if check.is_met else 'FAILED'}  {check.name} {check.shown} (needs {check.needed}): {check.words}"
    for lack in verdict.lacking:
        yield f"  lacks   {lack}"
    span_h = result.periods * result.period_s / 3600.0
    yield (
        f"searched  {len(result.trials)} trials here, {verdict.trials} ever on this past; {len(result.stretches)} "
        f"{plural('stretch', 'es', len(result.stretches))}, {span_h:.2f} h in {result.periods:,} periods of {result.period_s:g} s; "
        f"embargo {result.embargo_s:g} s; study {result.study}"
    )
    if result.lead_s:
        yield f"trained   each trial's model anew at {len(result.folds) + 1} moments; the first {result.lead_s / 3600.0:.2f} h only taught"
    yield f"walked    {verdict.net:+.3%} out of sample in {verdict.periods:,} periods, Sharpe ratio {verdict.sharpe:+.4f} a period"
    gain = result.over_current
    bounds = f"95 % {1e4 * gain.low:+.3f} to {1e4 * gain.high:+.3f}" if gain.blocks else "too few blocks for an interval"
    yield f"against   the settings as they are: {1e4 * gain.mean:+.3f} bps a period, {bounds}"
    for fold in result.folds:
        yield (
            f"  fold {fold.fold}  chose {_name(fold.chosen):<8} train {fold.train_score:+.4f}   test {fold.test_score:+.4f}   "
            f"net {fold.test_net:+.3%}   {fold.test_fills} fills"
        )
    which = "the settings as they are, by the model that they have" if result.is_current_best else "best on the whole past"
    yield f"fitted    {which}; " + ("yours to use:" if verdict.is_edge else "not a recommendation, since no edge was found:")
    for key, value in result.fitted.items():
        yield f"  --set {key}={_shown(value)}"
    if result.train_with:
        yield "train it  on all of this past; what comes of it is a challenger"
        for command in result.train_with:
            yield f"  {command}"
    refused = [trial for trial in result.trials if trial.refused]
    if refused:
        yield f"refused   {len(refused)} trials, the first one, {refused[0].number}: {refused[0].why}"
    if result.importances:
        yield "mattered  " + ", ".join(f"{key} {share:.2f}" for key, share in list(result.importances.items())[:5])
    yield "assumed"
    for line in _assumptions(result):
        yield f"  {line}"


def write_tuning(result: TuneResult, folder: Path) -> list[Path]:
    """Write the report to a folder, which is made if need be; return the files.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        folder / "tune.json": msgspec.json.format(msgspec.json.encode(result), indent=1),
        folder / "tune.html": tuning_page(result).encode(),
    }
    for path, content in written.items():
        path.write_bytes(content)
    return list(written)


def tuning_page(result: TuneResult) -> str:
    """Return the report as one page of HTML."""
    return page("Parameter search", _parts(result))


def _parts(result: TuneResult) -> Iterator[str]:
    verdict, keys = result.verdict, list(result.fitted)
    yield f"<h1>Parameter search</h1>{paragraph(f'smartmoney {result.build}, study {result.study}', 'faint')}"
    yield f'<div class="verdict lead">{paragraph(verdict.headline)}</div>'
    checks = (
        (escape(check.name), "met" if check.is_met else "failed", check.shown, escape(check.needed), escape(check.words))
        for check in verdict.checks
    )
    yield table({"check": "text", "": "text", "value": "", "needed": "", "seen": "words"}, checks)
    if verdict.lacking:
        yield bullets(f"lacks {lack}" for lack in verdict.lacking)
    told = ("searched", "trained", "walked", "against", "refused")
    yield bullets(": ".join(line.split(maxsplit=1)) for line in result_lines(result) if line.startswith(told))
    yield "<h2>Folds</h2>"
    yield paragraph("Each chose on its own past; what counts is the test part after it. Scores are Sharpe ratios a period.", "faint")
    folds = ("train periods", "test periods", "chosen", "train", "test", "test net", "fills", *keys)
    yield table({"fold": "text", **dict.fromkeys(folds, "")}, _fold_rows(result))
    yield "<h2>Fitted on the whole past</h2>"
    yield paragraph(f"{_CAVEATS[verdict.is_edge]}Importance is the share in what made trials good.", "faint")
    fitted = ((escape(key), escape(_shown(value)), f"{result.importances.get(key, 0.0):.3f}") for key, value in result.fitted.items())
    yield table({"key": "text", "value": "", "importance": ""}, fitted)
    if result.train_with:
        yield paragraph("Its model, from all of this past:")
        yield f"<pre>{escape(chr(10).join(result.train_with))}</pre>"
    yield "<h2>Trials</h2>"
    more = f" The first {_LINES_MAX:,} of {len(result.trials):,}; tune.json has all." if len(result.trials) > _LINES_MAX else ""
    yield paragraph(f"On the whole past. Study 0 is the settings as they are.{more}", "faint")
    trials = ("study", "net", "score", "worst drawdown", "fills", "", *keys)
    yield table({"trial": "text", **dict.fromkeys(trials, "")}, _trial_rows(result.trials, keys))
    yield "<h2>Assumed</h2>"
    yield bullets(_assumptions(result))


def _fold_rows(result: TuneResult) -> Iterator[Sequence[str]]:
    for fold in result.folds:
        yield (
            str(fold.fold),
            f"{fold.train_periods:,}",
            f"{fold.test_periods:,}",
            _name(fold.chosen),
            f"{fold.train_score:+.4f}",
            f"{fold.test_score:+.4f}",
            f"{fold.test_net:+.3%}",
            str(fold.test_fills),
            *_values(fold.parameters, result.fitted),
        )


def _trial_rows(trials: Sequence[TrialResult], keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for trial in trials[:_LINES_MAX]:
        outcome = (
            ("–",) * 4 if trial.refused else (f"{trial.net:+.3%}", f"{trial.score:+.4f}", f"{trial.max_drawdown:.3%}", str(trial.fills))
        )
        note = f"refused: {trial.why}" if trial.refused else "halted" if trial.halted else ""
        yield (_name(trial.number), str(trial.study), *outcome, escape(note), *_values(trial.parameters, keys))


def _values(parameters: Mapping[str, Value], keys: Iterable[str]) -> Iterator[str]:
    return (escape(_shown(parameters.get(key))) for key in keys)


def _assumptions(result: TuneResult) -> Iterator[str]:
    yield from result.assumptions
    yield "each fold's choice is taken as having run before it was chosen; changing over costs nothing"
    yield f"trials made on this past by any study count, {result.verdict.trials} so far"


def _name(number: int) -> str:
    return "current" if number == CURRENT else str(number)


def _shown(value: Value | None) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
