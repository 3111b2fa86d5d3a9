"""What is kept of runs, listed and verified from the command line."""

import json

import msgspec
import pytest

from smartmoney.adapters.capture import CaptureWriter
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.cli.record import capture_folder
from smartmoney.core.domain.entries import Entry, EntryKind, Tick
from smartmoney.runtime.storage import new_run_id, open_run
from smartmoney.settings.load import load_settings
from tests.grids import SPOT_BTC as INSTRUMENT


@pytest.fixture
def state(tmp_path):
    with CaptureWriter(tmp_path / "captures" / "1abcdefghjk") as writer:
        for seq in range(1, 501):
            writer.append(Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=seq, ts_mono_ns=seq, payload=Tick()))
    return tmp_path


def test_captures_are_listed(call, state):
    code, out, _ = call("record", "ls", "--state-dir", state, "--json")
    assert code == 0
    [one] = json.loads(out)
    assert (one["run_id"], one["segments"]) == ("1abcdefghjk", 1)
    assert "1abcdefghjk" in call("record", "ls", "--state-dir", state)[1]
    assert "no captures in" in call("record", "ls", "--state-dir", state / "elsewhere")[1]


def test_a_whole_capture_is_called_whole(call, state):
    code, out, _ = call("record", "verify", "1abcdefghjk", "--state-dir", state)
    assert code == 0
    assert "1 segments, 500 entries, whole" in out


def test_one_flipped_byte_is_found_and_named(call, state):
    [segment] = (state / "captures" / "1abcdefghjk").glob("*.zst")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    code, out, _ = call("record", "verify", state / "captures" / "1abcdefghjk", "--json")
    found = json.loads(out)
    assert (code, found["whole"]) == (1, False)
    [verdict] = found["captures"].values()
    assert any("SHA-256" in problem for problem in verdict["problems"])


@pytest.mark.parametrize("order", [("", "record"), ("record", "")])
def test_last_is_the_newest_of_the_daemon_and_the_recorder(tmp_path, order):
    began = []
    for second, place in enumerate(order):
        layout = StateLayout(tmp_path / place)
        layout.root.mkdir(exist_ok=True)
        with open_run(load_settings(overrides={"model": "prior"}), layout, (INSTRUMENT,)) as run:
            # Names sort by whole seconds.
            name = new_run_id((1_700_000_000 + second) * 10**9)
            header = msgspec.structs.replace(run.journal.reader.run(run.started.run_id), run_id=name)
            run.journal.begin_run(header, (INSTRUMENT,))
        layout.capture(name).mkdir(parents=True)
        began.append(layout.capture(name))
    assert capture_folder("last", tmp_path) == began[-1]


def test_a_capture_that_is_not_there_is_named(call, state):
    code, out, _ = call("record", "verify", "1zzzzzzzzzz", "--state-dir", state)
    assert code == 1
    assert "holds no capture" in out
