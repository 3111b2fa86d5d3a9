"""Recordings become a dataset, a dataset is listed, described, verified and tested, and what is asked wrongly is answered in a line."""

import gzip
import json
import shutil

import pyarrow.parquet
import pytest

from smartmoney.adapters.dataset_reader import DatasetRefused
from smartmoney.adapters.history.events import Printed
from smartmoney.adapters.history.hftbacktest import write_hftbacktest
from smartmoney.adapters.market_recorder import record
from smartmoney.cli.stretches import Days
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket

DAY_S = 20_000 * 86_400
T = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market") / "one"
    record(SyntheticMarket(7, symbols=("BTCUSDT",), markets=(Market.SPOT,)), folder, 40, origin_ns=(DAY_S - 20) * 10**9, with_truth=False)
    return folder / "feed" / "capture" / "BTCUSDT.spot.gz"


@pytest.fixture
def root(call, capture, tmp_path):
    code, out, err = call("export", capture, "--out", tmp_path / "data")
    assert code == 0, err
    assert "binance/spot/BTCUSDT: 2024-10-03, 2024-10-04" in out
    assert "days begun with the book carried over from the day before: 1" in out
    return tmp_path / "data"


def said(call, *words):
    code, out, err = call(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_an_export_keeps_to_the_bounds_of_the_cache_that_are_configured(call, capture, tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTMONEY_CACHE_DIR", str(tmp_path / "cache"))
    code, _, err = call("export", capture, "--out", tmp_path / "none", "--set", "caches.recordings_gb=0")
    assert (code, list(tmp_path.glob("cache/recordings/*.frames"))) == (0, []), err
    code, _, err = call("export", capture, "--out", tmp_path / "data")
    assert (code, len(list(tmp_path.glob("cache/recordings/*.frames")))) == (0, 1), err


def test_an_import_puts_trades_of_one_moment_into_the_order_of_their_ids(call, tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"binance,X,{T // 1000},{T // 1000},{number},buy,1,1" for number in (3, 1, 2)]
    table.write_text("\n".join(["exchange,symbol,timestamp,local_timestamp,id,side,price,amount", *rows]) + "\n")
    assert said(call, "import", "tardis", table, "--out", tmp_path / "one.gz")["trades"] == 3
    lines = gzip.decompress((tmp_path / "one.gz").read_bytes()).splitlines()
    assert [json.loads(line.partition(b" ")[2])["data"]["t"] for line in lines] == [1, 2, 3]


def test_an_export_is_listed_described_verified_and_tested(call, capture, root):
    [held] = said(call, "dataset", "ls", root)
    assert (held["symbol"], held["days"], held["missing_days"]) == ("BTCUSDT", 2, [])
    assert held["rows"]["trades"] > 0 < held["rows"]["depth"]
    days = said(call, "dataset", "stats", root)["binance/spot/BTCUSDT"]["days"]
    assert [day["day"] for day in days] == ["2024-10-03", "2024-10-04"]
    assert sum(day["trades"] for day in days) == held["rows"]["trades"]
    assert all((day["gaps"], day["crossed"], day["trade_gaps"], day["repairs"]) == (0, 0, 0, []) for day in days)
    assert all(day["spread_bps_mean"] > 0 and day["turnover"] > 0 and day["updates"] > 100 for day in days)
    code, out, _ = call("dataset", "stats", root, "--to", "2024-10-03")
    assert (code, out.count("spread "), "0 gaps" in out) == (0, 1, True)
    assert said(call, "dataset", "verify", root) == {"whole": True, "problems": {"binance/spot/BTCUSDT": []}}
    tested, recorded = said(call, "backtest", "--dataset", root), said(call, "backtest", capture, "--market", "spot")
    for key in ("frames", "decisions", "refusals", "seconds"):
        assert tested[key] == recorded[key], key
    each = said(call, "backtest", "--dataset", root, "--each", "--processes", 1)
    assert [job["name"] for job in each["jobs"]] == ["binance/spot/BTCUSDT 2024-10-03", "binance/spot/BTCUSDT 2024-10-04"]


def test_instruments_of_a_dataset_are_stretches_of_their_own_or_share_one(root):
    spot = root / "binance" / "spot"
    shutil.copytree(spot / "BTCUSDT", spot / "XXXUSDT")
    for path in spot.glob("XXXUSDT/*/*.parquet"):
        table = pyarrow.parquet.read_table(path)
        metadata = {key: value.replace(b"BTCUSDT", b"XXXUSDT") for key, value in table.schema.metadata.items()}
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    days = Days(root, "all", None, "2024-10-03")
    assert list(days.sources(None, each=True)) == ["binance/spot/BTCUSDT 2024-10-03", "binance/spot/XXXUSDT 2024-10-03"]
    whole = days._replace(last=None).sources("spot", each=False)
    assert [(name.split()[0], one.symbol, one.first, one.last) for name, one in whole.items()] == [
        (f"binance/spot/{symbol}", symbol, "2024-10-03", "2024-10-04") for symbol in ("BTCUSDT", "XXXUSDT")
    ]
    with pytest.raises(DatasetRefused, match="all of a market with --symbol all"):
        days._replace(symbol=None).sources(None, each=True)
    shutil.rmtree(spot / "XXXUSDT" / "2024-10-04")
    together = days._replace(symbol="btcusdt, XXXUSDT", last=None)
    for each, last in ((True, "2024-10-03"), (False, "2024-10-04")):
        [(name, one)] = together.sources("spot", each=each).items()
        assert name == f"binance/spot/BTCUSDT,XXXUSDT 2024-10-03{'' if each else ' to 2024-10-04'}"
        assert (one.symbol, one.first, one.last) == ("BTCUSDT,XXXUSDT", "2024-10-03", last)
    shutil.rmtree(spot / "BTCUSDT" / "2024-10-03")
    with pytest.raises(DatasetRefused, match="no day that BTCUSDT,XXXUSDT all have"):
        together.sources("spot", each=True)


def test_a_damaged_day_fails_to_verify_and_is_refused_by_name(call, root):
    path = root / "binance" / "spot" / "BTCUSDT" / "2024-10-04" / "trades.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    for words in (("dataset", "verify", root), ("dataset", "ls", root), ("backtest", "--dataset", root)):
        code, _, err = call(*words)
        assert code == 1
        assert "trades.parquet: no whole Parquet file" in err


def test_a_truncated_recording_is_exported_until_there_and_told(call, capture, tmp_path):
    cut = tmp_path / "cut.gz"
    cut.write_bytes(capture.read_bytes()[: capture.stat().st_size // 2])
    code, out, err = call("export", cut, "--out", tmp_path / "data")
    assert code == 0, err
    assert "damaged, and used until there" in out
    code, _, err = call("export", cut, "--out", tmp_path / "cut.npz")
    assert (code, "damaged, and used until there" in err) == (0, True)


@pytest.mark.parametrize("form", ["hftbacktest", "binance"])
def test_of_files_whose_names_tell_instruments_apart_the_chosen_one_alone_is_taken(call, tmp_path, form):
    for name, price in (("btcusdt", "100"), ("ethusdt", "7")):
        if form == "hftbacktest":
            write_hftbacktest([Printed(T, T, "", -1, price, "1", True)], tmp_path / f"{name}_1.npz")
        else:
            (tmp_path / f"{name}_1.csv").write_text(f"id,price,qty,quote_qty,time,is_buyer_maker\n{price},{price},1,9,{T},True\n")
    files = sorted(path for path in tmp_path.iterdir() if path.suffix != ".gz")
    code, _, err = call("import", form, *files, "--out", tmp_path / "none.gz")
    assert code == 1
    assert "choose one with --symbol" in err
    chosen = "ethusdt" if form == "hftbacktest" else "ethusdt_1"
    found = said(call, "import", form, *files, "--out", tmp_path / "one.gz", "--symbol", chosen)
    assert (found["symbol"], found["trades"]) == (chosen.upper(), 1)
    both = said(call, "import", form, *files, "--out", tmp_path / "both.gz", "--symbol", "solusdt")
    assert (both["symbol"], both["trades"]) == ("SOLUSDT", 2)


def test_history_goes_into_a_dataset_below_its_venue(call, tmp_path):
    stamp = DAY_S * 10**6
    book = tmp_path / "book.csv.gz"
    rows = [f"b,XUSDT,{stamp + n},{stamp + n},{'true' if n == 0 else 'false'},bid,100.{n},1" for n in range(3)]
    rows.insert(1, f"b,XUSDT,{stamp},{stamp},true,ask,101,1")
    with gzip.open(book, "wt") as file:
        file.write("\n".join(["exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount", *rows]) + "\n")
    code, out, err = call("import", "tardis", book, "--out", tmp_path / "data", "--venue", "bitfoo")
    assert code == 0, err
    assert "bitfoo/spot/XUSDT: 2024-10-04" in out
    assert (tmp_path / "data" / "bitfoo" / "spot" / "XUSDT" / "2024-10-04" / "depth.parquet").is_file()
    code, _, err = call("import", "tardis", book, "--out", tmp_path / "data", "--venue", "bitfoo")
    assert (code, "is there already" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("export", "nothing.gz", "--out", "data"), "is no file, and no run"),
        (("export", "nothing", "--out", "data.csv"), "neither ends in .npz nor is a folder"),
        (("backtest", "--symbol", "X", "x.gz"), "belong to --dataset ROOT"),
        (("backtest", "--dataset", "data", "--run", "last"), "one of the four"),
    ],
)
def test_what_is_asked_wrongly_is_answered_with_2(call, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    code, _, err = call(*words, *(("--state-dir", tmp_path / "state") if words[0] == "export" else ()))
    assert code == 2
    assert expected in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dataset", "ls", "nowhere"), "no dataset"),
        (("backtest", "--dataset", "nowhere"), "no dataset"),
    ],
)
def test_what_is_not_there_is_named(call, words, expected):
    code, _, err = call(*words)
    assert code == 1
    assert expected in err


def test_days_and_symbols_that_there_are_not_are_named(call, root):
    assert "no day from 2031-01-01" in call("dataset", "stats", root, "--from", "2031-01-01")[2]
    assert "nothing of ETHUSDT" in call("dataset", "verify", root, "--symbol", "ETHUSDT")[2]
    assert "choose one of them with --symbol" in call("backtest", "--dataset", root, "--symbol", "ETHUSDT")[2]
