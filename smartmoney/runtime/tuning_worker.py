"""The door through which work reaches a worker, in this machine or another: bytes in, bytes out.

It imports nothing that needs numba before the worker's own kernel cache is prepared, so that a worker never compiles what it has.
"""

import functools
import pickle
from collections.abc import Callable


class EvaluationRefused(Exception):
    """Say why a parameter set could not be evaluated, on which machine, and what to do."""

    exit_code = 1


def unheard(_share: float) -> None:
    """Take a share that nobody asks for."""


def evaluate(encoded: bytes, on_share: Callable[[float], None] = unheard) -> bytes:
    """Do one pickled piece of work, such as an `evaluations.Evaluation`; return pickled what came of it, such as `evaluations.Marks`.

    `on_share` is told how much of an evaluation is done, between 0 and 1, where the work is one.

    Raises:
        EvaluationRefused: this machine lacks a source or has another build, or there is nothing to test.
    """
    _prepare()
    from smartmoney.runtime.tuned_training import perform

    # A scheduler runs any code of its clients already: pickle opens no new door.
    return pickle.dumps(perform(pickle.loads(encoded), on_share))  # noqa: S301


@functools.cache
def _prepare() -> None:
    from smartmoney.runtime import kernel_cache, logs

    kernel_cache.prepare()
    logs.configure("WARNING", to_screen=False)
