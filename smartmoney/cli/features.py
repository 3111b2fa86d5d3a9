"""`smartmoney features`: the schema of the features, as a table or as JSON."""

from typing import Annotated

import typer


def features(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: hash, version, and a list of features.")] = False,
) -> None:
    """Print what each feature is: name, group, unit, parity under the buy/sell mirror, half-life, warm-up, bounds, formula.

    Example: smartmoney features --json
    """
    import msgspec

    from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH, VERSION

    if as_json:
        print(msgspec.json.encode({"schema_hash": SCHEMA_HASH, "version": VERSION, "features": FEATURES}).decode())
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{len(FEATURES)} features, schema {SCHEMA_HASH[:12]}")
    for heading in ("feature", "unit", "parity", "half-life", "warm after", "bounds"):
        table.add_column(heading, no_wrap=heading == "feature")
    for feature in FEATURES:
        half_life = f"{feature.half_life_s:g} s" if feature.half_life_s else ""
        warm = f"{feature.warm_up.seconds:g} s, {feature.warm_up.events} {feature.warm_up.event}"
        table.add_row(feature.name, feature.unit, feature.parity, half_life, warm, _bounds(*feature.bounds))
    console.print(table)
    for feature in FEATURES:
        console.print(f"{feature.name} ({feature.group}; {feature.source})", style="bold", markup=False, highlight=False)
        console.print(f"  {feature.description}", markup=False, highlight=False)


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else format(low, 'g')} … {'' if high is None else format(high, 'g')}"
