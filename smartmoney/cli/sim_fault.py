"""`smartmoney sim fault`: list, add and clear the faults of a running built-in exchange. What there is: docs/faults.md."""

from typing import Annotated, Any

import typer

from smartmoney.cli.common import AsJson, print_json

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Where one of the exchange's markets listens; it printed the port.")]
_COUNTERS = ("active", "matched", "acted")
_SCOPE = ("name", "kind")

fault = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, add and clear faults of a running exchange (docs/faults.md).")


@fault.command("list", epilog="Example: smartmoney sim fault list --port 9000")
def list_faults(port: Port, as_json: AsJson = False) -> None:
    """List the faults that stand, what they matched and how often they acted. Example: smartmoney sim fault list --port 9000."""
    from smartmoney.adapters.exchange_fault_client import FaultClient

    found = FaultClient(port).faults()
    if as_json:
        print_json(found)
        return
    if not found["faults"]:
        print("no faults stand")
        return
    rows = [("NAME", "KIND", "ACTIVE", "MATCHED", "ACTED", "")]
    for each in found["faults"]:
        counters = ("yes" if each["active"] else "no", str(each["matched"]), str(each["acted"]))
        rows.append((each["name"], each["kind"], *counters, _given(each)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(f"{text:{width}}" for text, width in zip(row, [*widths, 0], strict=True)).rstrip())


@fault.command("add", epilog="Example: smartmoney sim fault add silence market=spot for_s=20 --port 9000")
def add_fault(
    port: Port,
    kind: Annotated[str, typer.Argument(help="What is to happen, such as silence or lost_fill; docs/faults.md lists the kinds.")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its scope, window, count and own keys.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let the exchange misbehave from now on. Example: smartmoney sim fault add silence market=spot for_s=20 --port 9000."""
    from smartmoney.adapters.exchange_fault_client import FaultClient

    added = FaultClient(port).add({**_keys(keys or []), "kind": kind})
    if as_json:
        print_json({"added": added})
    else:
        print(f"added {', '.join(added)}")


@fault.command("clear", epilog="Example: smartmoney sim fault clear silence-1 --port 9000")
def clear_faults(
    port: Port,
    name: Annotated[str, typer.Argument(help="Which one, as `list` calls it; left out, all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a fault away, or all of them. Example: smartmoney sim fault clear silence-1 --port 9000."""
    from smartmoney.adapters.exchange_fault_client import FaultClient

    removed = FaultClient(port).clear(name)
    if as_json:
        print_json({"removed": removed})
    else:
        print(f"cleared {', '.join(removed)}" if removed else "no faults stood")


def _keys(texts: list[str]) -> dict[str, Any]:
    """Return what KEY=VALUE words ask for, the values read as YAML.

    Raises:
        ConfigurationError: a word is of another form, or a key is given twice.
    """
    from smartmoney.settings.errors import ConfigurationError
    from smartmoney.settings.sources import parse_override

    found: dict[str, Any] = {}
    for text in texts:
        key = text.partition("=")[0].strip()
        if not key or "=" not in text:
            raise ConfigurationError(text, "is not of the form key=value", "write for example for_s=20")
        if key in found or key == "kind":
            raise ConfigurationError(key, "is given twice", "keep one of the two")
        found[key] = parse_override(text)[1]
    return found


def _given(fault_told: dict[str, Any]) -> str:
    """Return the keys of a fault that were given, as they are typed; its own keys are told only if they were."""
    import msgspec

    from smartmoney.simulation.faults import Fault

    defaults = {field.name: field.default for field in msgspec.structs.fields(Fault)}
    hidden = {*_SCOPE, *_COUNTERS}
    shown = {key: value for key, value in fault_told.items() if key not in hidden and not (key in defaults and value == defaults[key])}
    return " ".join(f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in shown.items())
