"""Drive a strategy's coroutines synchronously: `step` is synchronous, so a coroutine that really waits is a fault of the strategy."""

import inspect
from collections.abc import Coroutine
from typing import Any


class StrategySuspendedError(RuntimeError):
    """Report a strategy coroutine that waited for something: strategies decide on what they are shown, at once."""


def drive(awaitable: Any) -> Any:
    """Run a coroutine to its end and return its result; a plain value (a method that was not async) is returned as it is.

    Raises:
        StrategySuspendedError: the coroutine suspended. It is closed first.
    """
    if not inspect.iscoroutine(awaitable):
        return awaitable
    coroutine: Coroutine[Any, Any, Any] = awaitable
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise StrategySuspendedError(
        f"{getattr(coroutine, '__qualname__', 'a coroutine')} waited for something; a strategy must decide at once"
    )
