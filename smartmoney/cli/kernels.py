"""`smartmoney kernels`: compile everything now, for an image or an installation, instead of at the first start."""


def kernels() -> None:
    """Compile every kernel into the cache directory. Example: smartmoney kernels."""
    from smartmoney.runtime import kernel_cache
    from smartmoney.runtime.compile import compile_kernels, compile_market_kernels

    directory = kernel_cache.prepare()
    compile_market_kernels()
    compile_kernels(directory, say=print)
    print(f"kernels are in {directory}")
