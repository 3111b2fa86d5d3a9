"""A parameter search as text, and as files: `tune.json`, and `tune.html`, which holds everything in itself. The verdict comes first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec

from smartmoney.runtime.tuning import CURRENT, TrialResult, TuneResult
from smartmoney.settings.search_space import Value

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #5f6c7b; --line: #d8dee5; --good: #2f855a; --bad: #c05746; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p, li { max-width: 52rem; } .faint { color: var(--faint); }
.verdict { border-left: .3rem solid var(--bad); padding: .6rem 1rem; font-size: 1.1rem; } .verdict.edge { border-color: var(--good); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.checks td:last-child, .checks th:last-child { text-align: left; white-space: normal; } pre { white-space: pre-wrap; }
"""
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
        f"{_plural('stretch', 'es', len(result.stretches))}, {span_h:.2f} h in {result.periods:,} periods of {result.period_s:g} s; "
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
    verdict = result.verdict
    checks = (
        (escape(check.name), "met" if check.is_met else "failed", check.shown, escape(check.needed), escape(check.words))
        for check in verdict.checks
    )
    lacking = "".join(f"<li>lacks {escape(lack)}</li>" for lack in verdict.lacking)
    keys = list(result.fitted)
    lines = [line for line in result_lines(result) if line.startswith(("searched", "trained", "walked", "against", "refused"))]
    more = f"The first {_LINES_MAX:,} of {len(result.trials):,}; tune.json has all." if len(result.trials) > _LINES_MAX else ""
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>Parameter search</title><style>{_STYLE}</style></head><body>',
            f"<h1>Parameter search</h1><p class='faint'>smartmoney {escape(result.build)}, study {escape(result.study)}</p>",
            f'<p class="verdict{" edge" if verdict.is_edge else ""}"><strong>{escape(verdict.headline)}</strong></p>',
            f'<div class="checks">{_table(("check", "", "value", "needed", "seen"), checks)}</div>',
            f"<ul>{lacking}</ul>" if lacking else "",
            f"<pre>{escape(chr(10).join(lines))}</pre>",
            "<h2>Folds</h2>",
            '<p class="faint">Each chose on its own past; what counts is the test part after it. Scores are Sharpe ratios a period.</p>',
            _table(("fold", "train periods", "test periods", "chosen", "train", "test", "test net", "fills", *keys), _fold_rows(result)),
            "<h2>Fitted on the whole past</h2>",
            f'<p class="faint">{_CAVEATS[verdict.is_edge]}Importance is the share in what made trials good.</p>',
            _table(
                ("key", "value", "importance"),
                ((escape(key), escape(_shown(value)), f"{result.importances.get(key, 0.0):.3f}") for key, value in result.fitted.items()),
            ),
            _trained(result),
            "<h2>Trials</h2>",
            f'<p class="faint">On the whole past. Study 0 is the settings as they are. {more}</p>',
            _table(("trial", "study", "net", "score", "worst drawdown", "fills", "", *keys), _trial_rows(result.trials, keys)),
            "<h2>Assumed</h2>",
            f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in _assumptions(result))}</ul>",
            "</body></html>",
        )
    )


def _trained(result: TuneResult) -> str:
    if not result.train_with:
        return ""
    return f"<p>Its model, from all of this past:</p><pre>{escape(chr(10).join(result.train_with))}</pre>"


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


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _plural(word: str, ending: str, count: int) -> str:
    return word if count == 1 else word + ending
