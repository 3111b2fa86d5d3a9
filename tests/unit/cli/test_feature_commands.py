"""What `smartmoney features` says: the schema, and, to what it cannot use, one line that names the option and the remedy."""

import gzip
import json
import subprocess
import sys

import pytest

from smartmoney.cli import main as command_line
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH

DEPTH = '{"stream":"x","data":{"e":"depthUpdate","E":1,"s":"%s","U":1,"u":2,"b":[["1.5","1"]],"a":[["1.6","1"]]}}'


@pytest.fixture
def call(monkeypatch, capsys):
    """Run one command in this process; return exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["smartmoney", "features", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, " ".join(said.err.replace("│", " ").split())

    return run


def recording(path, *symbols):
    lines = (f"1700000000{n:09d} {DEPTH % symbol}\n" for n, symbol in enumerate(symbols))
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def test_alone_it_prints_the_schema(call):
    code, out, _ = call("--json")
    printed = json.loads(out)
    assert code == 0
    assert printed["schema_hash"] == SCHEMA_HASH
    assert [feature["name"] for feature in printed["features"]] == [feature.name for feature in FEATURES]
    code, out, _ = call()
    assert all(feature.name in out for feature in FEATURES)


def test_a_group_is_printed_alone(call):
    group = FEATURES[0].group
    _, out, _ = call("--group", group, "--json")
    assert [one["name"] for one in json.loads(out)["features"]] == [one.name for one in FEATURES if one.group == group]
    _, out, _ = call("--group", group)
    assert FEATURES[-1].name not in out.split()
    code, _, err = call("--group", "nonsense")
    assert code == 2
    assert group in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--every", "soon"), ("--every", "as in 100ms, 1s, 5s or 1m")),
        (("--every", "0s"), ("--every", "as in 100ms")),
        (("--venue", "kraken"), ("--venue", "there is binance")),
        (("--market", "futures"), ("--market", "spot, usdm, coinm")),
    ],
)
@pytest.mark.parametrize("command", ["compute", "study"])
def test_wrong_options_end_with_2_and_the_remedy(call, tmp_path, command, words, said):
    given = {"--market": "usdm", "--out": tmp_path / "out.parquet" if command == "compute" else tmp_path / "report"}
    given |= dict([words])
    code, out, err = call(command, tmp_path / "x.gz", *(word for pair in given.items() for word in pair))
    assert (code, out) == (2, "")
    assert all(word in err for word in said), err


def test_a_table_is_parquet_or_csv(call, tmp_path):
    code, _, err = call("compute", tmp_path / "x.gz", "--market", "usdm", "--out", tmp_path / "out.xlsx")
    assert code == 2
    assert "--out" in err
    assert ".parquet or .csv" in err


def test_what_is_not_there_is_named(call, tmp_path):
    out = ("--market", "usdm", "--out", tmp_path / "out.parquet")
    code, _, err = call("compute", tmp_path / "x.gz", *out)
    assert code == 1
    assert "x.gz: no such file" in err
    (tmp_path / "empty").write_bytes(b"")
    code, _, err = call("compute", tmp_path / "empty", *out)
    assert code == 1
    assert "empty: no frame in empty" in err
    (tmp_path / "other.gz").write_bytes(gzip.compress(b'1700000000000000000 {"result":null,"id":1}'))
    code, printed, _ = call("compute", tmp_path / "other.gz", *out, "--json")
    assert code == 1
    assert "no depth or trade frame of binance in other.gz" in json.loads(printed)["message"]
    assert not (tmp_path / "out.parquet").exists()


def test_several_instruments_are_listed_and_one_must_be_chosen(call, tmp_path):
    both = recording(tmp_path / "both.gz", "BTCUSDT", "ETHUSDT")
    for command in ("compute", "study"):
        out = ("--out", tmp_path / "out.parquet")
        code, _, err = call(command, both, "--market", "usdm", *out)
        assert code == 1
        assert "BTCUSDT, ETHUSDT; choose with --symbol" in err
        code, _, err = call(command, both, "--market", "usdm", "--symbol", "SOLUSDT", *out)
        assert code == 1
        assert "no SOLUSDT" in err
        assert "BTCUSDT, ETHUSDT" in err


def test_a_recording_without_a_snapshot_is_refused(call, tmp_path):
    one = recording(tmp_path / "one.gz", "BTCUSDT")
    code, _, err = call("compute", one, "--market", "spot", "--out", tmp_path / "out.parquet")
    assert code == 1
    assert "no depth snapshot" in err
    assert [path.name for path in tmp_path.iterdir()] == ["one.gz"]


def test_a_folder_for_a_report_is_no_file(call, tmp_path):
    (tmp_path / "report").write_text("")
    code, _, err = call("study", tmp_path / "x.gz", "--market", "usdm", "--out", tmp_path / "report")
    assert code == 2
    assert "--out" in err


def test_the_daemon_does_not_load_what_only_studies_need():
    script = (
        "import sys, smartmoney.cli.main, smartmoney.cli.run, smartmoney.runtime.daemon, smartmoney.runtime.codecs\n"
        "print([name for name in ('matplotlib', 'pyarrow', 'polars', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_study_is_of_one_instrument(call, tmp_path):
    code, _, err = call("study", tmp_path / "x.gz", "--market", "usdm", "--symbol", "all")
    assert code == 2
    assert "--symbol" in err
