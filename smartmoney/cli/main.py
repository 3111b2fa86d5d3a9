"""The command line: mounts a file per command group and turns what went wrong into one clear line and an exit code.

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration (a service manager does not try again). Heavy imports are made inside commands, so
that `--help` is quick.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Annotated

import typer

from smartmoney.cli import (
    alerts,
    backtest,
    bench,
    caches,
    config,
    dataset,
    diff,
    doctor,
    drill,
    evaluate,
    features,
    guard,
    history,
    kernels,
    models,
    operate,
    record,
    replay,
    report,
    run,
    sim,
    train,
    tune,
)

EXIT_FAILED = 1
EXIT_CONFIGURATION = 78

app = typer.Typer(
    name="smartmoney",
    help="Watches order books and trades, recognises accumulation and distribution by informed money, follows it under strict risk limits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run.run)
app.add_typer(sim.app, name="sim")
app.command()(operate.status)
app.command()(operate.halt)
app.command()(operate.resume)
app.command()(operate.flatten)
app.command()(operate.transfer)
app.command()(guard.guard)
app.command()(doctor.doctor)
app.command()(drill.drill)
app.command()(replay.replay)
app.command()(backtest.backtest)
app.command()(tune.tune)
app.command()(diff.diff)
app.command()(report.report)
app.command()(report.explain)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command("import")(history.import_history)
app.command("export")(history.export_history)
app.add_typer(dataset.app, name="dataset")
app.add_typer(record.app, name="record")
app.add_typer(features.app, name="features")
app.add_typer(models.app, name="models")
app.command()(bench.bench)
app.command()(caches.caches)
app.command(hidden=True)(kernels.kernels)
app.add_typer(config.app, name="config")
app.add_typer(alerts.app, name="alerts")


def _version(value: bool) -> None:
    if value:
        from smartmoney import __version__

        print(f"smartmoney {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    del version


class _CacheOfKernels(MetaPathFinder):
    """Prepare the cache of compiled kernels in front of whatever imports numba first, in whichever command.

    numba settles on its cache while it is imported; without this one it takes to the package's own folder, which may be read-only.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find nothing."""
        del path, target
        if fullname == "numba":
            sys.meta_path.remove(self)
            from smartmoney.runtime import kernel_cache

            kernel_cache.prepare()
        return None


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.meta_path.insert(0, _CacheOfKernels())
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        say_failure(error)
        raise SystemExit(code) from None


def exit_code(error: BaseException) -> int | None:
    """Return the exit code of an expected failure; None for a bug, which keeps its traceback."""
    if isinstance(error, BaseExceptionGroup):
        codes = [exit_code(inner) for inner in error.exceptions]
        return None if None in codes else max(code for code in codes if code is not None)
    code = getattr(error, "exit_code", None)
    if isinstance(code, int) and not isinstance(error, (SystemExit, typer.Exit)):
        return code
    return EXIT_FAILED if isinstance(error, (OSError, ConnectionError)) else None


def say_failure(error: BaseException) -> None:
    """Print an expected failure: one line, or one JSON object when `--json` was asked for."""
    for inner in _leaves(error):
        if "--json" in sys.argv:
            print(json.dumps({"error": type(inner).__name__, "message": str(inner)}))
        print(f"smartmoney: {inner}", file=sys.stderr)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
