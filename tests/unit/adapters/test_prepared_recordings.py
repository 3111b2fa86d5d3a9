"""A prepared recording is what the recording is, and is never believed where it is anything else."""

import gzip
import json
import os
import shutil
import threading
import time
from itertools import chain

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters import prepared_recordings, recorded_session
from smartmoney.adapters.bounded_folder import USED_NS
from smartmoney.adapters.prepared_recordings import SUFFIX, PreparedChanged, PreparedRecordings
from smartmoney.adapters.recorded_session import FRAMES_PREPARED, FRAMES_READ, RecordedSession
from smartmoney.adapters.recording_blocks import read_blocks
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.recorded_lines import PACKED, SNAPSHOTS, WALLS

T0 = 1_700_000_000_000_000_000


def lines(frames=300, symbol="BTCUSDT", start=0):
    yield f'{T0 + start} {{"lastUpdateId":10,"E":1,"T":1,"bids":[["100.0","5.000"]],"asks":[["100.5","5.000"]]}}'
    for number in range(frames):
        at = T0 + start + number * 1_000_000
        ids = f'"E":{1_700_000_000_000 + number},"T":{1_700_000_000_000 + number},"s":"{symbol}"'
        levels = ",".join(f'["{100 + (number + k) % 7}.{k % 10}0","{number % 9}.{k:03}"]' for k in range(8))
        yield f'{at} {{"e":"depthUpdate",{ids},"U":{11 + number},"u":{11 + number},"pu":{10 + number},"b":[{levels}],"a":[]}}'
        yield f'{at} {{"e":"trade",{ids},"t":{number + 1},"p":"100.1","q":"1.5","m":true}}'
        yield f'{at} {{"u":{number},"s":"{symbol}","b":"100.0","B":"1","a":"100.5","A":"1"}}'


def write(path, *parts):
    text = "".join(f"{line}\n" for line in chain(*parts)).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def recording(tmp_path):
    return write(tmp_path / "day.gz", lines())


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Begin as a process does: no digest is known."""
    monkeypatch.setattr(prepared_recordings, "_digests", {})


def told(blocks):
    """Return what any reader must say of frames: their times, which are snapshots, whose those are, and how many."""
    walls, snapshots, symbols, count = [], [], {}, 0
    for block in blocks:
        walls += block.rows[WALLS].tolist()
        snapshots += block.rows[SNAPSHOTS].tolist()
        symbols |= {count + row: name for row, name in block.symbols.items()}
        count += len(block)
    return walls, snapshots, symbols


def of_one(store, path):
    prepared = store.open(path)
    assert prepared is not None
    return prepared


def is_ready(store, path):
    """Tell whether it was prepared before, having seen to it that it is now."""
    prepared = of_one(store, path)
    prepared.close()
    return prepared.was_ready


def session_of(files, store=None, damage=None):
    noted = [] if damage is None else damage
    return RecordedSession(files, store, lambda path, problem: noted.append((path.name, str(problem))))


def grid(*files, store=None):
    session = session_of(files, store)
    found = session.instruments(Market.USDM)
    session.close()
    return found


@pytest.mark.parametrize("block_bytes", [1 << 12, 4 << 20])
@pytest.mark.parametrize("name", ["day.gz", "day.txt"])
def test_it_holds_what_the_recording_holds_and_is_made_once(tmp_path, folder, name, block_bytes, monkeypatch):
    monkeypatch.setattr(prepared_recordings, "_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(prepared_recordings, "_WORDS", block_bytes >> 4)
    path = write(tmp_path / name, lines(), lines(symbol="ETHUSDT", start=10**12))
    store = PreparedRecordings(folder)
    first, second = of_one(store, path), of_one(store, path)
    assert (first.was_ready, second.was_ready) == (False, True)
    assert first.needs == second.needs
    assert grid(path, store=store) == grid(path)
    blocks = list(second.blocks())
    assert told(blocks) == told(read_blocks(path)) == told(first.blocks())
    assert (len(blocks) > 5) == (block_bytes < 1 << 20)
    # Depth and trades but for the first frame of each symbol.
    assert sum(int(block.rows[PACKED].sum()) for block in blocks) == 2 * (2 * 300 - 1)
    text = {(at, row) for at, block in enumerate(blocks) for row in np.flatnonzero(block.rows[PACKED] == 0)}
    frames = {blocks[at].frame(row) for at, row in text}
    assert frames < {block.frame(row) for block in read_blocks(path) for row in range(len(block))}


def test_a_session_of_several_files_has_one_grid_and_one_order(tmp_path, folder):
    def named(number, symbol, start):
        for line in lines(50, symbol, start):
            stamp, _, frame = line.partition(" ")
            where = {"t": "http", "url": f"https://a/depth?symbol={symbol}"} if "lastUpdateId" in frame else {"t": "recv"}
            yield json.dumps({**where, "conn": str(number), "ts": int(stamp) / 1e9, "data": frame})

    files = [write(tmp_path / "a.jsonl", named(1, "ETHUSDT", 10**9)), write(tmp_path / "b.gz", named(2, "BTCUSDT", 0))]
    store = PreparedRecordings(folder)
    assert grid(*files, store=store) == grid(*files)
    assert [one.symbol for one in grid(*files)] == ["BTCUSDT", "ETHUSDT"]
    session = session_of(files, store)
    assert session.origin == FRAMES_PREPARED
    assert told(session.blocks()) == told(session_of(files).blocks())


def test_beside_others_a_snapshot_is_of_the_symbol_that_its_file_speaks_of(tmp_path, folder, monkeypatch):
    one = [write(tmp_path / "a.gz", lines(50, "ETHUSDT", 500)), write(tmp_path / "b.gz", lines(50, "BTCUSDT"))]
    both = write(tmp_path / "both.gz", lines(50, "XRPUSDT"), lines(50, "ADAUSDT", 10**9))
    alone = write(tmp_path / "snapshot.txt", [next(lines())])
    files, store = [*one, both, alone], PreparedRecordings(folder)
    for kept in (1 << 30, 20_000, 0):
        monkeypatch.setattr(recorded_session, "KEPT_BYTES_MAX", kept)
        for session in (session_of(files), session_of(files, store)):
            found = session.instruments(Market.USDM)
            assert [one.symbol for one in found] == ["BTCUSDT", "XRPUSDT", "ETHUSDT", "ADAUSDT"]
            walls, snapshots, symbols = told(session.blocks())
            assert len(walls) == 4 * 151 + 1
            names = [symbols.get(at) for at in np.flatnonzero(snapshots)]
            assert names == ["BTCUSDT", None, None, "ETHUSDT", None]
    assert session.origin == FRAMES_PREPARED
    # Alone, whoever reads a file knows what it is about.
    assert told(session_of(one[:1]).blocks())[2] == {}


def test_a_damaged_file_of_a_session_is_read_as_it_is_and_told_once(tmp_path, folder, monkeypatch):
    files = [write(tmp_path / "a.gz", lines(50, "ETHUSDT")), write(tmp_path / "b.gz", lines(50, "BTCUSDT", 500))]
    files[1].write_bytes(files[1].read_bytes()[:-100])
    for kept in (1 << 30, 0):
        monkeypatch.setattr(recorded_session, "KEPT_BYTES_MAX", kept)
        damage = []
        session = session_of(files, PreparedRecordings(folder), damage)
        assert [one.symbol for one in session.instruments(Market.USDM)] == ["ETHUSDT", "BTCUSDT"]
        assert session.origin == FRAMES_READ
        assert told(session.blocks()) == told(session_of(files).blocks())
        assert [name for name, _ in damage] == ["b.gz"]
    assert is_ready(PreparedRecordings(folder), files[0])


def test_what_a_user_may_do_to_a_recording_is_noticed(recording, folder, tmp_path):
    store = PreparedRecordings(folder)
    is_ready(store, recording)
    state = recording.stat()

    def is_seen():
        prepared = of_one(store, recording)
        assert told(prepared.blocks()) == told(read_blocks(recording))
        return prepared.was_ready

    os.utime(recording, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert is_seen(), "touched"
    write(tmp_path / "other.gz", lines(200)).replace(recording)
    os.utime(recording, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not is_seen(), "replaced"
    with recording.open("ab") as file:
        file.write(gzip.compress(b"".join(line.encode() + b"\n" for line in lines(3, start=10**12))))
    assert not is_seen(), "appended"
    raw = bytearray(write(tmp_path / "plain.txt", lines(20)).read_bytes())
    plain = tmp_path / "plain.txt"
    is_ready(store, plain)
    raw[raw.index(b'"5.000"') + 1] = ord("6")
    before = plain.stat()
    plain.write_bytes(raw)
    os.utime(plain, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_ready(store, plain), "changed in place, its size and time as before"
    plain.write_bytes(raw[: raw.rindex(b"\n", 0, len(raw) // 2) + 1])
    assert not is_ready(store, plain), "truncated"
    plain.rename(tmp_path / "plain.other")
    assert not is_ready(store, tmp_path / "plain.other"), "another suffix may be another way to read it"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.data())
def test_a_file_that_is_torn_or_tampered_with_is_made_anew(recording, folder, data):
    store = PreparedRecordings(folder)
    is_ready(store, recording)
    [made] = folder.glob(f"*{SUFFIX}")
    whole = bytearray(made.read_bytes())
    if data.draw(st.booleans()):
        bent = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1) | st.integers(len(whole) - 400, len(whole) - 1))
        bent = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    made.write_bytes(bent)
    again = of_one(store, recording)
    assert not again.was_ready
    assert told(again.blocks()) == told(read_blocks(recording))
    assert made.read_bytes() == whole
    assert is_ready(store, recording)


def test_a_digest_is_remembered_only_of_a_file_that_stays_as_it_is(recording, folder, monkeypatch):
    store = PreparedRecordings(folder)
    monkeypatch.setattr(time, "time_ns", lambda: recording.stat().st_ctime_ns)  # however long ago it was
    is_ready(store, recording)
    assert not prepared_recordings._digests, "what changed a moment ago may change again within the same tick of the clock"
    monkeypatch.undo()
    monkeypatch.setattr(prepared_recordings, "_digests", {})
    later = time.time_ns() + 10**10
    monkeypatch.setattr(time, "time_ns", lambda: later)
    is_ready(store, recording)
    known = dict(prepared_recordings._digests)
    assert len(known) == 2
    monkeypatch.setattr("hashlib.sha256", None)
    monkeypatch.setattr(prepared_recordings, "_name", lambda digest, suffix: next(folder.glob(f"*{SUFFIX}")).stem)
    assert is_ready(store, recording)
    monkeypatch.undo()
    [made] = folder.glob(f"*{SUFFIX}")
    state = made.stat()
    made.write_bytes(bytes(100))
    os.truncate(made, state.st_size)
    os.utime(made, ns=(state.st_atime_ns, state.st_mtime_ns))
    prepared_recordings._digests.update(known)
    assert not is_ready(store, recording), "its change time tells"


def test_what_changes_while_it_is_read_ends_the_run(recording, folder):
    store = PreparedRecordings(folder)
    prepared = of_one(store, recording)
    [made] = folder.glob(f"*{SUFFIX}")
    with made.open("r+b") as file:
        file.write(b"torn")
    with pytest.raises(PreparedChanged, match="run again"):
        list(prepared.blocks())


def test_several_at_once_come_to_one_file(recording, folder):
    found, start = [], threading.Barrier(4)

    def prepare():
        start.wait()
        found.append(told(of_one(PreparedRecordings(folder), recording).blocks()))

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [told(read_blocks(recording))] * 4
    assert [path.suffix for path in folder.iterdir()] == [SUFFIX]


def test_a_damaged_recording_is_not_prepared(recording, folder):
    recording.write_bytes(recording.read_bytes()[:-100])
    assert PreparedRecordings(folder).open(recording) is None
    assert not list(folder.iterdir())


def test_where_nothing_can_be_written_nothing_is_prepared(recording, tmp_path):
    (tmp_path / "file").write_text("")
    assert PreparedRecordings(tmp_path / "file" / "cache").open(recording) is None


def test_the_folder_stays_within_its_size(tmp_path, folder):
    files = [write(tmp_path / f"{number}.gz", lines(100 + number)) for number in range(4)]
    is_ready(PreparedRecordings(folder), files[0])
    [first] = folder.iterdir()
    room = PreparedRecordings(folder, int(first.stat().st_size * 2.5))
    is_ready(room, files[1])
    # All was used just now: a third one serves this run and goes, else each run would take away what the next one needs.
    assert told(of_one(room, files[2]).blocks()) == told(read_blocks(files[2]))
    assert not is_ready(room, files[2])
    assert len(list(folder.iterdir())) == 2
    old = time.time_ns() - 2 * USED_NS
    os.utime(first, ns=(old, old))
    (folder / ".killed_1.part").write_bytes(b"x")
    os.utime(folder / ".killed_1.part", ns=(old * 0, old * 0))
    is_ready(room, files[3])
    assert not first.exists()
    assert not (folder / ".killed_1.part").exists()
    assert is_ready(room, files[3])
    assert is_ready(room, files[1])
    assert PreparedRecordings(folder, 100).open(files[0]) is None, "larger than all there is"


def test_use_is_noted(recording, folder):
    store = PreparedRecordings(folder)
    is_ready(store, recording)
    [made] = folder.iterdir()
    old = time.time_ns() - 2 * USED_NS
    os.utime(made, ns=(old, old))
    assert is_ready(store, recording)
    assert made.stat().st_mtime_ns > old + USED_NS


def test_what_is_forgotten_is_made_anew(recording, folder):
    store = PreparedRecordings(folder)
    for _ in range(2):
        assert not is_ready(store, recording)
        assert is_ready(store, recording)
        store.forget(recording)
        store.forget(recording)
    assert not list(folder.iterdir())


def test_a_folder_that_may_only_be_read_serves_what_it_has(recording, folder, monkeypatch):
    store = PreparedRecordings(folder)
    is_ready(store, recording)
    [made] = folder.iterdir()
    old = time.time_ns() - 2 * USED_NS
    os.utime(made, ns=(old, old))

    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    assert is_ready(store, recording)


def test_half_of_what_is_free_is_left(recording, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 100))
    assert PreparedRecordings(folder).open(recording) is None
    assert not list(folder.iterdir())


def test_the_sources_that_a_file_depends_on_are_there():
    for name in prepared_recordings._MADE_BY:
        assert (prepared_recordings._PACKAGE / name).is_file(), name
