"""What a start imports, counted in processes of their own: time depends on the machine, modules do not."""

import json
import os
import subprocess
import sys

import pytest

from smartmoney.runtime import compile as compiling

LIVE = """
import asyncio, json, sys
from pathlib import Path
from smartmoney.runtime import kernel_cache
directory = kernel_cache.prepare()
from smartmoney.runtime.compile import compile_kernels
compile_kernels(directory, say=lambda text: None, with_market=False)
import smartmoney.runtime.daemon
from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.credentials import Credentials
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.protocol import endpoints
from smartmoney.core.domain.entries import EntryKind
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime import compile, loop, warm_start
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.clock import now
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.gateway import NoGateway
from smartmoney.runtime.inbox import Inbox, Item
class Nowhere:
    append = append_frames = lambda *_: True
instruments = (compile._instrument(),)
warmed = loop.Loop(Engine(binance_codec(), strategy_factory(None)), Inbox(), Nowhere(), NoGateway(), asyncio.Queue())
from smartmoney.core.domain.entries import RunStarted
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.settings.load import load_settings
parameters = encode_parameters(engine_parameters(load_settings()))
started = RunStarted(run_id="x", mode="paper", venue="none", build="", config_hash="", model="untrained-prior-1", seed=0,
                     instruments=instruments, parameters=parameters, cash=load_settings().paper_balance)
warmed.process(Item(EntryKind.EVENT, now(), payload=started))
past = warm_start.warm_blocks(instruments, {"XY": Path(sys.argv[2])}, Path("none"), "x")
assert len(list(warm_start.warm_up(warmed, instruments, past))) > 1
assert warmed.seq > 3
if "live" in sys.argv:
    BinanceAccount(Market.SPOT, endpoints(Market.SPOT), Credentials("key", "secret"), clock=SystemClock())
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = {"sklearn", "xgboost", "hmmlearn", "pandas", "polars", "pyarrow", "matplotlib", "optuna", "distributed", "textual", "apprise"}
COMPILER = {"scipy.linalg", "numba.np.arraymath", "numba.np.linalg", "numba.core.typing.mathdecl", "numba.cpython.heapq"}
"""What numba registers before it compiles, and needs for nothing else."""


def run(program, *words):
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_start_imports_nothing_that_it_does_not_use(mode, tmp_path):
    past = tmp_path / "past"
    stamped = ((number, frame) for number, frame in enumerate((compiling._SNAPSHOT, compiling._DEPTH, compiling._TRADE)))
    past.write_bytes(b"".join(b"%d %b\n" % (1_700_000_000_000_000 + number, frame) for number, frame in stamped))
    loaded = set(run(LIVE, mode, str(past)))
    if loaded & COMPILER:
        loaded = set(run(LIVE, mode, str(past)))  # kernels were missing, and have been compiled
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert loaded & COMPILER == set()
    exchanges = {name for name in loaded if name.startswith("ccxt.async_support.") and name.count(".") == 2} - {"ccxt.async_support.base"}
    assert exchanges == ({"ccxt.async_support.binance"} if mode == "live" else set())
    assert not [name for name in loaded if name.startswith("ccxt.pro.") or (name.count(".") == 1 and name.endswith(".kraken"))]
    assert "smartmoney.settings.explain" not in loaded, "the words for a refused key are for one who gave it"


MISSING = """
import json
from smartmoney.runtime.kernel_loading import loading_first
from numba.core.caching import Cache
import kernels_for_tests as kernels
as_it_was = Cache.load_overload
with loading_first():
    found = [kernels.dot(2.0), kernels.dot(3)]
print(json.dumps({"found": found, "hits": [sum(one.stats.cache_hits.values()) for one in (kernels.dot,)], "restored": Cache.load_overload is as_it_was}))
"""
KERNELS = """
import math
import numpy as np
from numba import njit

@njit(cache=True)
def square(x):
    return math.sqrt(x * x) ** 2

@njit(cache=True)
def dot(x):
    values = np.zeros(3)
    for k in range(3):
        values[k] = x
    return square(values[0] + values[1] + values[2])
"""


@pytest.mark.slow
def test_a_kernel_that_is_not_in_the_cache_or_cannot_be_read_is_compiled_and_then_loaded(tmp_path, monkeypatch):
    (tmp_path / "kernels_for_tests.py").write_text(KERNELS)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    compiled, loaded = {"found": [36.0, 81.0], "hits": [0], "restored": True}, {"found": [36.0, 81.0], "hits": [2], "restored": True}
    assert (run(MISSING), run(MISSING)) == (compiled, loaded)
    for kind, kept in (("nbi", 0), ("nbc", 100)):  # an empty index, and a kernel cut short
        files = list((tmp_path / "cache").rglob(f"*.{kind}"))
        assert len(files) > 1
        for file in files:
            file.write_bytes(file.read_bytes()[:kept])
        assert (run(MISSING), run(MISSING)) == (compiled, loaded), kind


CCXT = """
import json, sys
from smartmoney.adapters.ccxt_lazily import exchange_class
rest, streams, none = exchange_class("async_support", "kraken"), exchange_class("pro", "kraken"), exchange_class("pro", "nosuchplace")
early = len([name for name in sys.modules if name.startswith("ccxt.async_support.") and name.count(".") == 2])
import ccxt.pro
from ccxt.base.errors import NetworkError
said = {
    "early": early,
    "none": none is None,
    "is_subclass": issubclass(streams, rest),
    "same_error": ccxt.NetworkError is NetworkError,
    "listed": "kraken" in ccxt.exchanges and "kraken" in ccxt.pro.exchanges,
    "same_class": ccxt.pro.kraken is streams and ccxt.async_support.kraken is rest and ccxt.kraken is not rest,
    "others": isinstance(ccxt.binance, type) and isinstance(ccxt.pro.bybit, type) and bool(ccxt.__version__),
}
print(json.dumps(said))
"""


def test_ccxt_is_read_one_exchange_at_a_time_and_looks_as_it_is():
    said = run(CCXT)
    assert said.pop("early") <= 3
    assert all(said.values()), said


BEFORE = """
import json
import ccxt.async_support
from smartmoney.adapters.ccxt_lazily import exchange_class
print(json.dumps(exchange_class("async_support", "binance") is ccxt.async_support.binance))
"""


def test_a_ccxt_that_was_imported_before_is_left_alone():
    assert run(BEFORE) is True


def test_settings_are_read_without_the_built_in_market(tmp_path):
    (tmp_path / "live.yaml").write_text("mode: live\nvenue: binance\ncapital: 100\n")
    program = (
        "import json, sys; from smartmoney.settings.load import load_settings; "
        "load_settings(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"
    )
    loaded = set(run(program, str(tmp_path / "live.yaml")))
    assert loaded & {"smartmoney.simulation.scenario", "numpy", "numba", "difflib", "smartmoney.settings.explain"} == set()
