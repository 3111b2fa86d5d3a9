"""Where evaluations run: processes of this machine, or a Dask cluster. The same bytes in, the same bytes out, in any order.

Invariant: a result depends on neither. A worker of a cluster that dies loses nothing but time: the scheduler gives its work to another.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from smartmoney.runtime.stretch_shares import LOOK_S, begin_worker, shares_of, teller
from smartmoney.runtime.tuning_worker import evaluate

OnResult = Callable[[int, bytes], None]
OnPartDone = Callable[[int, float], None]
_SHARES = 1024
"""Room for the shares of what is under way: far more than there are processes."""
_CONNECT_S = 10
_WORKERS_S = 60
_LOOK_S = 30


class ResearchMissing(Exception):
    """Say which extra is not installed, and how to install it."""

    exit_code = 1

    def __init__(self, library: str) -> None:
        """Name the library that is missing."""
        super().__init__(
            f"{library} is not installed: it is in the `research` extra; run `make research`, or pip install 'smartmoney[research]'"
        )


class ClusterFailed(Exception):
    """Say what is wrong with a cluster, and what to do."""

    exit_code = 1


def _nobody(_index: int, _share: float) -> None:
    """Take a share that nobody asks for."""


class Workers(Protocol):
    """Run evaluations."""

    def run(self, work: Sequence[bytes], on_result: OnResult, on_share: OnPartDone = _nobody) -> None:
        """Evaluate everything; `on_result(index, result)` is called as results come, in any order.

        `on_share(index, share)` is told how far those are that have not come yet, where workers can say.

        Raises:
            EvaluationRefused: an evaluation could not be done.
            ClusterFailed: there is nobody left to do it.
        """


class ThisProcess:
    """Run evaluations here, one after the other."""

    def run(self, work: Sequence[bytes], on_result: OnResult, on_share: OnPartDone = _nobody) -> None:
        """Evaluate everything."""
        for index, encoded in enumerate(work):
            on_result(index, evaluate(encoded, partial(on_share, index)))


class LocalProcesses:
    """Run evaluations in processes of this machine."""

    def __init__(self, pool: ProcessPoolExecutor, shares: Any) -> None:
        """Take a pool, and where its processes tell their shares; use `local_workers`."""
        self._pool, self._shares = pool, shares

    def run(self, work: Sequence[bytes], on_result: OnResult, on_share: OnPartDone = _nobody) -> None:
        """Evaluate everything."""
        index_of: dict[Future[bytes], int] = {
            self._pool.submit(_evaluate_telling, index % _SHARES, encoded): index for index, encoded in enumerate(work)
        }
        pending = set(index_of)
        try:
            while pending:
                done, pending = wait(pending, LOOK_S, FIRST_COMPLETED)
                for future in done:
                    self._shares[index_of[future] % _SHARES] = 0.0
                    on_result(index_of[future], future.result())
                for index in (index_of[future] for future in pending if future.running()):
                    on_share(index, self._shares[index % _SHARES])
        except BrokenProcessPool:
            raise ClusterFailed("a worker process died, of too little memory perhaps; run it again with fewer --processes") from None
        finally:
            for future in pending:
                future.cancel()


class DaskCluster:
    """Run evaluations on the workers of a Dask scheduler."""

    def __init__(self, client: Any, address: str) -> None:
        """Take a connected client; use `cluster_workers`."""
        self._client = client
        self._address = address

    def run(self, work: Sequence[bytes], on_result: OnResult, _on_share: OnPartDone = _nobody) -> None:
        """Evaluate everything, without shares of it. A worker that dies is survived; evaluations that killed several are given up."""
        from distributed import KilledWorker
        from distributed import wait as wait_for

        # `pure=False`: a result that a dead worker held is made again, and nothing of an earlier search is taken for it.
        index_of = {self._client.submit(evaluate, encoded, pure=False): index for index, encoded in enumerate(work)}
        pending = set(index_of)
        try:
            while pending:
                try:
                    with self._client.as_current():
                        done, pending = wait_for(list(pending), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    self._look()
                    continue
                for future in done:
                    on_result(index_of[future], future.result())
        except KilledWorker:
            raise ClusterFailed("an evaluation killed several workers, of too little memory perhaps; give each one more") from None
        except (asyncio.CancelledError, CancelledError):
            raise self._gone() from None
        except ImportError as problem:
            raise ClusterFailed(f"a worker cannot import smartmoney ({problem}); install the same version on every machine") from None
        finally:
            self._client.cancel(list(pending))

    def _look(self) -> None:
        """Raise ClusterFailed if there is nobody to wait for."""
        if self._client.status != "running":
            raise self._gone()
        try:
            self._client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError:
            raise ClusterFailed(
                f"{self._address} has no workers any more; start some, and run the same command again: it goes on"
            ) from None

    def _gone(self) -> ClusterFailed:
        return ClusterFailed(f"the scheduler at {self._address} is gone; start it, and run the same command again: it goes on")


def _evaluate_telling(slot: int, encoded: bytes) -> bytes:
    return evaluate(encoded, teller(slot))


@contextmanager
def local_workers(processes: int) -> Iterator[Workers]:
    """Give workers of this machine."""
    if processes <= 1:
        yield ThisProcess()
        return
    spawn, shares = multiprocessing.get_context("spawn"), shares_of(_SHARES)
    with ProcessPoolExecutor(processes, spawn, initializer=begin_worker, initargs=(shares,)) as pool:
        try:
            yield LocalProcesses(pool, shares)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def cluster_workers(address: str) -> Iterator[Workers]:
    """Give the workers of a cluster, such as `tcp://10.0.0.1:8786`.

    Raises:
        ResearchMissing: the `research` extra is not installed.
        ClusterFailed: nobody answers there, or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ResearchMissing("distributed") from None
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False, name="smartmoney-tune")
    except (OSError, ValueError) as problem:
        raise ClusterFailed(f"no scheduler answers at {address} ({problem}); start one with `dask scheduler`") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError:
            raise ClusterFailed(f"the scheduler at {address} has no workers; start some with `dask worker {address}`") from None
        yield DaskCluster(client, address)
