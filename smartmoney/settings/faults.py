"""Read the faults that an exchange is asked for, from a YAML file or one at a time; an unknown key is an error with its likely spelling.

The models are made of the table in `simulation.fault_kinds`: what a kind takes, and its ranges, are written there only.
"""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, create_model, field_validator

from smartmoney.settings.advanced import Section
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.sources import read_yaml
from smartmoney.simulation.fault_kinds import KINDS, Kind, Parameter, Point
from smartmoney.simulation.faults import Fault, FaultPlan

FAULTS_MAX = 1000
_FRAME_POINTS = frozenset({Point.FRAME, Point.EVENT})
_STATE_POINTS = frozenset({Point.CLOCK, Point.BOOK})
_WHERE = {
    "stream": "only faults of stream frames have one",
    "call": "only faults of requests have one",
    "connection": "only faults of stream frames and connections have one",
}
_CHANCES = ("skip", "every", "count", "probability")


class FaultEntry(Section):
    """One fault: what every kind takes. The parameters of its own kind stand beside these."""

    kind: str
    """What happens; `docs/faults.md` lists the kinds."""
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]{0,64}$")
    """What it is called in the list and when it is taken away; left out, its kind and a number."""
    market: Literal["", "spot", "usdm"] = ""
    """Which market; left out, both."""
    symbol: str = Field(default="", pattern=r"^[A-Z0-9]{0,32}$")
    """Which symbol, in the venue's spelling; left out, all."""
    connection: int = Field(default=0, ge=0)
    """The n-th stream connection of its market since the start, from 1; 0: all."""
    stream: str = Field(default="", max_length=200)
    """Pattern of stream names, such as btcusdt@depth*; alternatives are separated by |."""
    call: str = Field(default="", max_length=400)
    """Pattern of requests, such as GET depth, POST order or WS stream; alternatives are separated by |."""
    after_s: float = Field(default=0.0, ge=0, le=31_536_000)
    """Seconds of the exchange's clock after its start, or after the fault was added."""
    at_ms: int | None = Field(default=None, ge=0)
    """Begins at this time instead, in milliseconds of the epoch."""
    for_s: float | None = Field(default=None, gt=0, le=31_536_000)
    """Seconds that it lasts; left out, without end."""
    skip: int = Field(default=0, ge=0)
    """So many matches pass unharmed first, on each connection."""
    every: int = Field(default=1, ge=1)
    """Then each n-th match meets the fault."""
    count: int | None = Field(default=None, ge=0)
    """Acts at most so often (frames and events: on each connection); 0: without end; left out, as the kind has it."""
    probability: float = Field(default=1.0, gt=0, le=1)
    """Chance that a match meets the fault, drawn from the plan's seed."""

    @field_validator("symbol", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class _File(Section):
    seed: int = Field(default=1, ge=0)
    faults: list[Any] = Field(default_factory=list, max_length=FAULTS_MAX)


def load_faults(path: Path) -> FaultPlan:
    """Return the plan in a YAML file: `seed:` and `faults:`, a list.

    Raises:
        ConfigurationError: anything at all is wrong, with the key and what to do.
    """
    values = read_yaml(path, "faults")
    try:
        file = _File.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, tuple(_File.model_fields), "") from None
    plan = FaultPlan(seed=file.seed)
    for place, entry in enumerate(file.faults):
        try:
            plan.add(read_fault(entry, f"faults.{place}."), 0)
        except ValueError as error:
            raise ConfigurationError(f"faults.{place}.name", str(error), "give each fault a name of its own") from None
    return plan


def read_fault(entry: Any, place: str = "") -> Fault:
    """Return one fault from a decoded mapping.

    Raises:
        ConfigurationError: a key is unknown, missing, out of its range or without meaning for the kind.
    """
    if not isinstance(entry, Mapping):
        raise ConfigurationError(place.rstrip(".") or "fault", "is no mapping", "write `kind: ...` and what belongs to it")
    name = entry.get("kind")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(name), KINDS, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(KINDS)}"
        raise ConfigurationError(f"{place}kind", "is missing" if name is None else f"there is no kind {name!r}", remedy)
    model = _model(str(name))
    try:
        read = model.model_validate(dict(entry))
    except ValidationError as error:
        raise _refusal(error, tuple(model.model_fields), place) from None
    _check_sense(kind, read, place)
    values = read.model_dump()
    parameters = {key: values.pop(key) for key in kind.parameters}
    given = {key: value for key, value in parameters.items() if key in read.model_fields_set}
    return Fault(**values, parameters=given)


def _check_sense(kind: Kind, read: FaultEntry, place: str) -> None:
    points = set(kind.points)
    senseless = {
        "stream": Point.FRAME not in points,
        "call": Point.REQUEST not in points,
        "connection": not points & {*_FRAME_POINTS, Point.CONNECTION},
    }
    for key, is_senseless in senseless.items():
        if is_senseless and getattr(read, key):
            raise ConfigurationError(f"{place}{key}", f"means nothing for {read.kind}", f"remove it: {_WHERE[key]}")
    if points & _STATE_POINTS:
        stray = next((key for key in _CHANCES if key in read.model_fields_set), None)
        if stray is not None:
            raise ConfigurationError(f"{place}{stray}", f"means nothing for {read.kind}, which lasts", "use after_s and for_s")
    if read.at_ms is not None and read.after_s:
        raise ConfigurationError(f"{place}after_s", "contradicts at_ms", "keep one of the two")


def _refusal(error: ValidationError, known: tuple[str, ...], place: str) -> ConfigurationError:
    # A misspelt key comes first: what else is wrong often follows from it.
    finding = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(map(str, finding["loc"]))
    if finding["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
        return ConfigurationError(place + key, "unknown key", f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}")
    said = finding["msg"][0].lower() + finding["msg"][1:]
    return ConfigurationError(place + key, f"{finding['input']!r:.60} is refused: {said}", "correct it; docs/faults.md has the ranges")


@cache
def _model(name: str) -> type[FaultEntry]:
    kind = KINDS[name]
    fields: dict[str, Any] = {key: (_annotation(parameter), parameter.default) for key, parameter in kind.parameters.items()}
    return create_model(f"Fault_{name}", __base__=FaultEntry, **fields)


def _annotation(parameter: Parameter) -> Any:
    if parameter.choices:
        return Literal[parameter.choices]
    return Annotated[type(parameter.default), Field(ge=parameter.least, le=parameter.most)]
