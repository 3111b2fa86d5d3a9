"""The commands that make the model of a search's choice, from all of the past that was searched."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from smartmoney.runtime.backtest import BacktestJob, CapturedRun, Recordings, StoredDays
from smartmoney.runtime.tuned_models import TrainingTerms
from smartmoney.settings.search_space import BASE_KEYS, SearchSpace, Value

_BASE = "below"


def train_commands(
    jobs: Sequence[BacktestJob], terms: TrainingTerms, space: SearchSpace, parameters: Mapping[str, Value]
) -> tuple[str, ...]:
    """Return the commands, as one types them: where regimes were searched, too, the model of the built-in market first."""
    settings = [word for key, value in parameters.items() for word in ("--set", f"{key}={_plain(value)}")]
    base = any(one.key in BASE_KEYS for one in space.dimensions)
    below = ["smartmoney", "train", "--built-in", "--worlds", str(terms.worlds), "--hours", f"{terms.hours:g}", "--name", _BASE, *settings]
    on_it = ["--base", _BASE] if base else []
    return tuple(shlex.join(words) for words in ([below] if base else []) + [["smartmoney", "train", *_past(jobs), *on_it, *settings]])


def _past(jobs: Sequence[BacktestJob]) -> list[str]:
    sources = [job.source for job in jobs]
    recorded = [one for one in sources if isinstance(one, Recordings)]
    captured = [one for one in sources if isinstance(one, CapturedRun)]
    stored = [one for one in sources if isinstance(one, StoredDays)]
    if recorded:
        return [*_each(file for one in recorded for file in one.files), "--market", recorded[0].market]
    if captured:
        return list(_each(one.folder for one in captured))
    if stored:
        first, last = min(one.first for one in stored), max(one.last for one in stored)
        symbols = [word for name in _each(name for one in stored for name in one.symbol.split(",")) for word in ("--symbol", name)]
        return ["--dataset", stored[0].root, "--market", stored[0].market, *symbols, "--from", first, "--to", last]
    # Nobody trains on a synthetic market but by its truth.
    return ["RECORDINGS"]


def _each(names: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys(names)


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
