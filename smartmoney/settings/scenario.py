"""Load the scenarios of the built-in market: `config/scenarios/NAME.yaml`, or any file, checked key by key.

The models are made from the structs of `simulation.scenario`, which hold each parameter's range, default and meaning, so that there is one
place for them. What a file leaves out has its default: the population of a first run.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from pydantic import Field, ValidationError, create_model

from smartmoney.settings.advanced import Section
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.settings.sources import Layer, package_directory, read_yaml
from smartmoney.simulation.scenario import LAYERS, MAKERS_MAX, Scenario

FOLDER = "scenarios"
_BRANCHING_MOST = 0.98
_MAKERS_LEAST = 3
_BOUNDS = ("ge", "gt", "le", "lt", "pattern", "min_length", "max_length")


class Named(NamedTuple):
    """Be a scenario that a name finds: its file, its line, and whether it plants an edge."""

    name: str
    path: Path
    title: str
    is_planted: bool


def model_of(struct: type[msgspec.Struct]) -> type[Section]:
    """Return the validated model of a struct: same fields, ranges, defaults and meanings; an unknown key is an error."""
    defaults = dict(zip(struct.__struct_fields__[::-1], struct.__struct_defaults__[::-1], strict=False))
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        kind, bounds, meaning = _taken_apart(hint)
        default = defaults.get(name, msgspec.NODEFAULT)
        is_section = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        if is_section:
            model = model_of(kind)
            fields[name] = (model, model())
            continue
        extra = {"description": meaning} if default is msgspec.NODEFAULT else {"description": meaning, "default": _as_values(default)}
        if get_origin(kind) is tuple:
            fields[name] = (_bounded(kind, bounds), Field(validate_default=True, **extra))
        else:
            fields[name] = (kind, Field(**bounds, **extra))
    made: type[Section] = create_model(struct.__name__, __base__=Section, __doc__=struct.__doc__, **fields)
    return made


def _taken_apart(hint: Any) -> tuple[Any, dict[str, Any], str]:
    if get_origin(hint) is not Annotated:
        return hint, {}, ""
    kind, meta = get_args(hint)
    bounds = {name: getattr(meta, name) for name in _BOUNDS if getattr(meta, name) is not None}
    return kind, bounds, meta.description or ""


def _bounded(kind: Any, bounds: Mapping[str, Any]) -> Any:
    """Return a tuple type whose numbers are within bounds (those on length stay with the tuple)."""
    parts = get_args(kind)
    inner: list[Any] = []
    for part in parts:
        if part is Ellipsis:
            inner.append(part)
        elif get_origin(part) is tuple:
            inner.append(_bounded(part, bounds))
        elif isinstance(part, type) and issubclass(part, msgspec.Struct):
            inner.append(model_of(part))
        else:
            inner.append(Annotated[part, Field(**bounds)])
    whole: Any = tuple.__class_getitem__(tuple(inner))
    length = {name: value for name, value in bounds.items() if name.endswith("_length")}
    return Annotated[whole, Field(**length)] if length else whole


def _as_values(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_as_values(part) for part in value)
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


def _struct_of(struct: type[msgspec.Struct], model: Section) -> Any:
    values = {}
    for name, hint in get_type_hints(struct, include_extras=True).items():
        kind, _, _ = _taken_apart(hint)
        value = getattr(model, name)
        if isinstance(value, Section):
            value = _struct_of(kind, value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            value = tuple(_struct_of(get_args(kind)[0], part) for part in value)
        values[name] = value
    return struct(**values)


@cache
def scenario_model() -> type[Section]:
    """Return the validated form of a scenario file. It costs a tenth of a second to make: only who reads a scenario does."""
    return model_of(Scenario)


def scenario_from(values: Mapping[str, Any], origin: str) -> Scenario:
    """Return the scenario of a file's values.

    Raises:
        ConfigurationError: anything at all is wrong, with the key, the range and the likely spelling.
    """
    layer = Layer(origin, dict(values))
    # A section with every line under it commented out says nothing.
    said = {key: value for key, value in values.items() if value is not None}
    try:
        model = scenario_model().model_validate(said)
    except ValidationError as error:
        from smartmoney.settings.explain import configuration_error

        raise configuration_error(error, [layer], scenario_model()) from None
    scenario: Scenario = _struct_of(Scenario, model)
    _check(scenario, origin)
    return scenario


def load_scenario(named: str, directory: Path | None = None) -> Scenario:
    """Return a scenario by name or file; a name is looked for in `scenarios/` beside the configuration, then in the package's.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    path = scenario_path(named, directory)
    return scenario_from({"name": path.stem.lower(), **read_yaml(path, "scenario")}, str(path))


def scenario_of(settings: Settings) -> Scenario:
    """Return the scenario that the built-in exchange is to hold.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    return load_scenario(str(path_of(settings)))


def path_of(settings: Settings) -> Path:
    """Return the file of that scenario.

    Raises:
        ConfigurationError: there is none.
    """
    return scenario_path(settings.sim.scenario, None if settings.directory is None else Path(settings.directory))


def scenario_path(named: str, directory: Path | None = None) -> Path:
    """Return the file of a scenario, asked for by name or by path.

    Raises:
        ConfigurationError: there is none.
    """
    if named.endswith((".yaml", ".yml")) or "/" in named:
        tried = [Path(named), *([directory / named] if directory is not None else [])]
        return next((path for path in tried if path.is_file()), tried[0])
    for folder in _folders(directory):
        if (folder / f"{named}.yaml").is_file():
            return folder / f"{named}.yaml"
    known = sorted({path.stem for folder in _folders(directory) for path in folder.glob("*.yaml")})
    raise ConfigurationError(
        "scenario", f"there is no scenario {named!r}", f"choose one of: {', '.join(known) or 'none found'}; or name a file"
    )


def named_scenarios(directory: Path | None = None) -> list[Named]:
    """Return every scenario that a name finds, by name.

    Raises:
        ConfigurationError: one of them cannot be used.
    """
    paths = {path.stem: path for folder in reversed(_folders(directory)) for path in sorted(folder.glob("*.yaml"))}
    found = []
    for name in sorted(paths):
        scenario = load_scenario(str(paths[name]))
        found.append(Named(name, paths[name], scenario.title, scenario.is_planted))
    return found


def _folders(directory: Path | None) -> list[Path]:
    return [folder / FOLDER for folder in (directory, package_directory()) if folder is not None]


def _check(scenario: Scenario, origin: str) -> None:
    """Refuse what no single key shows to be wrong."""

    def refuse(key: str, problem: str, remedy: str) -> None:
        raise ConfigurationError(key, f"{problem}, in {origin}", remedy)

    branching = sum(scenario.takers.same_side) + sum(scenario.takers.other_side)
    if branching > _BRANCHING_MOST:
        refuse(
            "takers.same_side",
            f"brings about {branching:g} orders per order with other_side",
            f"let both sum to {_BRANCHING_MOST:g} at most",
        )
    rows = len(scenario.makers.layers_bps)
    if not _MAKERS_LEAST <= rows <= MAKERS_MAX:
        refuse("makers.layers_bps", f"has {rows} rows", f"give {_MAKERS_LEAST} to {MAKERS_MAX} rows of {LAYERS} numbers, one a maker")
    if len(scenario.makers.layers_size) != rows:
        refuse(
            "makers.layers_size", f"has {len(scenario.makers.layers_size)} rows, but layers_bps has {rows}", "give one row a maker in both"
        )
    if scenario.traps.pull_most < scenario.traps.pull_least:
        refuse("traps.pull_most", "is less than pull_least", "let it be at least that")
    if scenario.impact.longest_s < scenario.impact.shortest_s:
        refuse("impact.longest_s", "is less than shortest_s", "let it be at least that")
    for key in ("splitters", "informed"):
        parents = getattr(scenario, key)
        if parents.twap + parents.pov + parents.poisson + parents.iceberg + parents.jittered <= 0:
            refuse(f"{key}.poisson", "and all other styles have weight 0", "give one of twap, pov, poisson, iceberg, jittered a weight")
    symbols = [profile.symbol for profile in scenario.symbols]
    twice = next((symbol for symbol in symbols if symbols.count(symbol) > 1), None)
    if twice is not None:
        refuse("symbols", f"{twice} is there twice", "remove one of them")
