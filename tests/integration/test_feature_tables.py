"""Tables and studies of the built-in market, through the real command line in processes of its own."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.schema import FEATURES
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
COMMAND = (sys.executable, "-m", "smartmoney", "features")
SECONDS = 180


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    base = tmp_path_factory.mktemp("market") / "built-in"
    prerun(SyntheticMarket(11, symbols=SYMBOLS, markets=(Market.USDM,)), 1_700_000_000_250_000_000, SECONDS, base)
    return {symbol: capture_path(base, Market.USDM, symbol) for symbol in SYMBOLS}


def run(*words, code=0):
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_a_table_is_written_and_summed_up(files, tmp_path):
    out = tmp_path / "btc.parquet"
    said = json.loads(run("compute", files["BTCUSDT"], "--market", "usdm", "--every", "1s", "--out", out, "--json").stdout)
    table = pyarrow.parquet.read_table(out)
    times = table["ts_event_ns"].to_numpy()
    assert said["rows"] == table.num_rows
    assert SECONDS - 2 <= said["rows"] <= SECONDS
    assert said["columns"] == len(FEATURES) == table.num_columns - 1
    assert (said["first_ts_event_ns"], said["last_ts_event_ns"]) == (times[0], times[-1])
    assert (np.diff(times) == S).all()
    assert said["out"] == str(out)
    assert said["frames"] > 0
    assert said["levels"] > 0
    assert said["seconds"] > 0
    assert np.isfinite(table["spread_bps"].to_numpy()[5:]).all()


@pytest.mark.slow
def test_parallel_processing_uses_processes_and_changes_no_number(files, tmp_path):
    tables, workers, processes = {}, {}, {}
    for parallel in ("true", "false"):
        out = tmp_path / parallel / "t.parquet"
        out.parent.mkdir()
        key = f"advanced_features.feature_engine.enable_parallel_processing={parallel}"
        words = ("compute", *files.values(), "--market", "usdm", "--symbol", "all", "--out", out, "--set", key, "--json")
        said = json.loads(run(*words).stdout)
        workers[parallel] = said["workers"]
        processes[parallel] = {table["process"] for table in said["tables"]}
        tables[parallel] = {path.name: pyarrow.parquet.read_table(path) for path in sorted(out.parent.iterdir())}
    assert list(tables["true"]) == ["t.BTCUSDT.parquet", "t.ETHUSDT.parquet"]
    assert workers["false"] == 1
    assert len(processes["false"]) == 1
    if workers["true"] > 1:  # a machine of one core has nothing to share
        assert workers["true"] == 2
        assert len(processes["true"]) == 2
    for name, table in tables["true"].items():
        assert [column.to_numpy().tobytes() for column in table.columns] == [
            column.to_numpy().tobytes() for column in tables["false"][name].columns
        ]


@pytest.mark.slow
def test_a_study_is_printed_and_written(files, tmp_path):
    out = tmp_path / "report"
    said = run("study", *files.values(), "--market", "usdm", "--symbol", "BTC/USDT", "--out", out)
    assert all(feature.name in said.stdout for feature in FEATURES)
    assert "R² of the same second's move: OFI" in said.stdout
    study = json.loads((out / "study.json").read_text())
    assert study["symbol"] == "BTCUSDT"
    assert [one["name"] for one in study["features"]] == [feature.name for feature in FEATURES]
    facts = {fact["key"]: fact["measured"]["value"] for fact in study["facts"]}
    assert facts["r2_same_ofi"] > 0.2  # flow moves prices there, too
    assert all(0.0 < facts[key] < 1.0 for key in facts if key.startswith("auc"))
    page = (out / "study.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    for name in ("correlations", "distributions", "autocorrelations", "flow"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(run("study", *files.values(), "--market", "usdm", "--symbol", "btcusdt", "--json").stdout)
    assert {**again, "seconds": 0} == {**study, "seconds": 0}
