"""Every recorded form is read; damage is said after what is whole came out."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from smartmoney.adapters.recordings import RecordedFrame, RecordingDamaged, read_recording, read_session

FRAME = b'{"stream":"a@trade","data":{"e":"trade"}}'
SNAPSHOT = b'{"lastUpdateId":7,"bids":[],"asks":[]}'
COMPRESS = {
    "": lambda raw: raw,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def write(folder: Path, name: str, raw: bytes) -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("suffix", COMPRESS)
def test_stamped_text_in_every_compression(tmp_path, suffix):
    text = b"1723161253937085768 " + FRAME + b"\n1723161253937085769 " + SNAPSHOT + b"\n"
    path = write(tmp_path, "one.txt" + suffix, COMPRESS[suffix](text))
    assert list(read_recording(path)) == [
        RecordedFrame(1723161253937085768, FRAME, False, None),
        RecordedFrame(1723161253937085769, SNAPSHOT, True, None),
    ]


def test_microseconds_are_told_by_their_size(tmp_path):
    path = write(tmp_path, "one.txt", b"1680652700423575 " + FRAME + b"\n")
    assert [one.ts_wall_ns for one in read_recording(path)] == [1680652700423575000]


def test_cryptofeed_lines_keep_depth_replies_and_received_frames_only(tmp_path):
    lines = [
        {"t": "header", "format": 2, "exchange": "BINANCE"},
        {"t": "http", "conn": "c", "ts": 1.5, "url": "https://api/api/v3/exchangeInfo", "data": "{}"},
        {"t": "http", "conn": "c", "ts": 2.25, "url": "https://api/api/v3/depth?symbol=nknusdt&limit=9", "data": SNAPSHOT.decode()},
        {"t": "send", "conn": "c", "ts": 3.0, "data": "x"},
        {"t": "recv", "conn": "c", "ts": 1633998512.0633569, "data": FRAME.decode()},
    ]
    path = write(tmp_path, "one.jsonl", "\n".join(json.dumps(one) for one in lines).encode())
    assert list(read_recording(path)) == [
        RecordedFrame(2_250_000_000, SNAPSHOT, True, "NKNUSDT"),
        RecordedFrame(1633998512063356900, FRAME, False, None),
    ]


def test_cryptofeed_text(tmp_path):
    text = (
        b"configuration: {}\nwss://x/stream?a <-> 1617566590.378895\nwss://x <- 1617566590.4: {}\n1617566591.326123: " + FRAME
        + b"\nhttps://x/api/v1/depth?symbol=DOTUSDT&limit=1000 -> 1617566592.1065369: " + SNAPSHOT + b"\n"
    )  # fmt: skip
    assert list(read_recording(write(tmp_path, "one.0", text))) == [
        RecordedFrame(1617566591326123000, FRAME, False, None),
        RecordedFrame(1617566592106536900, SNAPSHOT, True, "DOTUSDT"),
    ]


def test_bare_lines_and_a_document_over_several_lines(tmp_path):
    bare = write(tmp_path, "bare", FRAME + b"\n\n" + SNAPSHOT)
    assert [(one.frame, one.is_snapshot) for one in read_recording(bare)] == [(FRAME, False), (SNAPSHOT, True)]
    pretty = json.dumps(json.loads(SNAPSHOT), indent=2).encode()
    (document,) = read_recording(write(tmp_path, "pretty.json", pretty))
    assert document.is_snapshot
    assert json.loads(document.frame) == json.loads(SNAPSHOT)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_archive_yields_what_is_whole_and_then_says_so(tmp_path, suffix):
    import random

    noise = random.Random(1)
    text = b"".join(b'%d {"n":%d}\n' % (1723161253937085768 + k, noise.getrandbits(62)) for k in range(50_000))
    whole = COMPRESS[suffix](text)
    path = write(tmp_path, "cut" + suffix, whole[: len(whole) * 2 // 3])
    frames = []
    with pytest.raises(RecordingDamaged, match="cut"):  # noqa: PT012 - what came before the error is the point
        for one in read_recording(path):
            frames.append(one)
    assert all(one.frame.endswith(b"}") for one in frames)
    assert suffix in {".bz2", ".xz"} or len(frames) > 1000
    assert len(frames) < 50_000


def test_corrupt_bytes_and_foreign_lines_are_damage(tmp_path):
    with pytest.raises(RecordingDamaged):
        list(read_recording(write(tmp_path, "bad.gz", b"not an archive at all")))
    mixed = write(tmp_path, "mixed", b"1723161253937085768 {}\nhello\n")
    reader = read_recording(mixed)
    assert next(reader).frame == b"{}"
    with pytest.raises(RecordingDamaged, match="hello"):
        next(reader)


def test_an_empty_file_has_no_frames(tmp_path):
    assert list(read_recording(write(tmp_path, "empty", b""))) == []


def test_a_session_is_merged_by_receive_time(tmp_path):
    left = write(tmp_path, "a", b'1723161253937085761 {"n":1}\n1723161253937085765 {"n":4}\n')
    right = write(tmp_path, "b", b'1723161253937085762 {"n":2}\n1723161253937085764 {"n":3}\n')
    assert [json.loads(one.frame)["n"] for one in read_session([left, right])] == [1, 2, 3, 4]
