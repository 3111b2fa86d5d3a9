"""What is kept of runs, listed and verified from the command line."""

import json

import pytest

from smartmoney.adapters.capture import CaptureWriter
from smartmoney.core.domain.entries import Entry, EntryKind, Tick


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


def test_a_capture_that_is_not_there_is_named(call, state):
    code, out, _ = call("record", "verify", "1zzzzzzzzzz", "--state-dir", state)
    assert code == 1
    assert "holds no capture" in out
