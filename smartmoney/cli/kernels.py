"""`smartmoney kernels`: compile everything now, for an image or an installation, instead of at the first start."""

from typing import Annotated

import typer


def kernels(
    market_only: Annotated[bool, typer.Option("--market-only", help="Only those of the built-in exchange's market.")] = False,
    and_offline: Annotated[bool, typer.Option("--and-offline", help="With --market-only: those that read recordings, too.")] = False,
) -> None:
    """Compile every kernel into the cache directory. Example: smartmoney kernels."""
    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.runtime.compile import compile_kernels, compile_market_kernels, compile_offline_kernels

    logs.configure("WARNING", to_screen=False)
    directory = kernel_cache.prepare()
    if market_only:
        compile_market_kernels()
    else:
        compile_kernels(directory, say=print, with_market=True, with_offline=True)
    if and_offline or not market_only:
        compile_offline_kernels(directory, say=print)
    print(f"kernels are in {directory}")
