"""`smartmoney caches`: what the cache directory holds that can be made again, and clearing it."""

from typing import Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, print_json, settings_of

_ALL = "all"


def caches(
    clear: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Remove what a folder holds: recordings, training-rows, tuned-models, or all.")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show what caches hold and their bounds, or clear them; everything is made again when it is wanted. Example: smartmoney caches."""
    from smartmoney.runtime.cached_files import KINDS, held
    from smartmoney.runtime.kernel_cache import cache_root

    bounds, names, asked = settings_of(config, profile, None, overrides).caches, [kind.folder for kind in KINDS], set(clear or ())
    if unknown := asked - {*names, _ALL}:
        raise typer.BadParameter(f"no cache {', '.join(sorted(unknown))}; one of {', '.join(names)}, {_ALL}", param_hint="--clear")
    found = [held(kind, bounds, clear=bool(asked & {kind.folder, _ALL})) for kind in KINDS]
    if as_json:
        import msgspec

        print_json({"folder": str(cache_root()), "caches": msgspec.to_builtins(found)})
        return
    print(f"{cache_root()}:")
    for one in found:
        cleared = f"; {one.cleared_bytes / 1e6:,.1f} MB cleared" if one.cleared_bytes else ""
        size = f"{one.bytes / 1e6:,.1f} MB of at most {one.bytes_max / 1e6:,.0f} ({one.bounded_by})"
        print(f"  {one.cache}: {one.entries:,} {one.holds}, {size}{cleared}")
