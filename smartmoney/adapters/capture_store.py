"""Keeping captures: verify them, repair what a crash left, and make room.

Invariants: the segment that is being written is never touched; a repair keeps every entry that can be read, and is atomic.
"""

import hashlib
import os
import struct
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from smartmoney.adapters.capture_format import GAP_KIND, CaptureDamaged, Damage, Gap, TornTail, read_records
from smartmoney.adapters.capture_reader import CaptureReader
from smartmoney.adapters.capture_segment import SegmentIndex, SegmentWriter, index_path, read_index, segments_of
from smartmoney.adapters.state_directory import write_durably

DAY_NS = 86_400 * 1_000_000_000
_HASH_BYTES = 1 << 20
_REPAIR = "repair-"


class CaptureVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Say what verifying a capture found; `problems` is empty for one that is whole."""

    segments: int
    entries: int
    lost: int
    bytes_cut: int
    problems: tuple[str, ...]


class StoredCapture(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one run's capture on disk; `size` in bytes, `changed_wall_ns` is when its last segment was written to."""

    run_id: str
    segments: int
    size: int
    changed_wall_ns: int


class RetentionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Say what `apply_retention` removed, and what is left, in bytes."""

    segments_removed: int
    bytes_removed: int
    bytes_left: int


def list_captures(captures: Path) -> list[StoredCapture]:
    """Return the captures in a folder that has one folder per run, oldest first."""
    found = []
    for folder in _folders(captures):
        stats = [segment.stat() for segment in segments_of(folder)]
        if stats:
            changed = max(stat.st_mtime_ns for stat in stats)
            size = sum(stat.st_size for stat in stats)
            found.append(StoredCapture(run_id=folder.name, segments=len(stats), size=size, changed_wall_ns=changed))
    return sorted(found, key=lambda one: (one.changed_wall_ns, one.run_id))


def verify_capture(path: Path) -> CaptureVerdict:
    """Read a capture completely and check every checksum there is; problems are reported, not raised.

    Raises:
        CaptureDamaged: there is no capture there.
        OSError: it cannot be read.
    """
    reader = CaptureReader(path)
    problems = [problem for segment in reader.segments if (problem := _check_segment(segment)) is not None]
    try:
        for _ in reader:
            pass
    except (CaptureDamaged, msgspec.MsgspecError, struct.error) as error:
        problems.append(str(error))
    if reader.torn is not None:
        cut = (
            f"its last {reader.torn.file_bytes:,} bytes are not whole; the next start cuts them off"
            if reader.entries
            else "it is no capture"
        )
        problems.append(f"{reader.torn.path.name} was not closed, and {cut}")
    problems.extend(f"{gap.count} entries before {gap.before_seq} were lost" for gap in reader.gaps)
    return CaptureVerdict(
        segments=len(reader.segments),
        entries=reader.entries,
        lost=sum(gap.count for gap in reader.gaps),
        bytes_cut=reader.bytes_cut,
        problems=tuple(problems),
    )


def close_torn_segments(folder: Path, turn: Callable[[], None] = lambda: None) -> list[TornTail]:
    """Close what a killed writer left open in a run's folder: keep every whole entry, drop the torn end, write the index.

    Only for a run that has ended. Whoever reads it meanwhile reads the segment as it was, or as it is then. Returns what was cut, one item
    for each segment that was closed here.

    Args:
        folder: the run's.
        turn: called after each second's worth of entries; what it raises ends the closing, and the folder is as it was.

    Raises:
        CaptureDamaged: such a file is not a segment.
        OSError: the disk failed; the folder is as it was.
    """
    for left in (*folder.glob(f"{_REPAIR}*"), *folder.glob(".*.new")):
        # What a process that was killed at this very work left behind: the segment itself is untouched, or whole already.
        left.unlink(missing_ok=True)
    return [_close_torn(segment, turn) for segment in segments_of(folder) if read_index(segment) is None]


def apply_retention(
    captures: Path, *, days: float, bytes_max: int, now_wall_ns: int, keep: AbstractSet[str] = frozenset()
) -> RetentionReport:
    """Remove the oldest closed segments until none is older than `days` and all together hold at most `bytes_max`.

    A run's first segment stays as long as a later one does: without it nobody knows what the run was.

    Args:
        captures: the folder with one folder per run.
        days: age of a segment's last entry.
        bytes_max: size of all segments together, those that must stay included.
        now_wall_ns: the present, on the wall clock.
        keep: run ids of which nothing is removed. The running one need not be among them: its open segment stays anyway.

    Raises:
        OSError: a file could not be removed.
    """
    segments = [segment for run in _folders(captures) for segment in segments_of(run)]
    left = sum(segment.stat().st_size for segment in segments)
    aged = sorted((segment.stat().st_mtime_ns, segment) for segment in segments)
    removed_bytes = removed = 0
    for changed_wall_ns, segment in aged:
        is_old = now_wall_ns - changed_wall_ns > days * DAY_NS
        if not (is_old or left > bytes_max) or segment.parent.name in keep or not _may_go(segment, is_old):
            continue
        if (of_run := segments_of(segment.parent))[0] == segment and len(of_run) > 1:
            continue
        size = segment.stat().st_size
        segment.unlink()
        index_path(segment).unlink(missing_ok=True)
        left -= size
        removed_bytes += size
        removed += 1
        if not any(segment.parent.iterdir()):
            segment.parent.rmdir()
    return RetentionReport(segments_removed=removed, bytes_removed=removed_bytes, bytes_left=left)


def _may_go(segment: Path, is_old: bool) -> bool:
    # A writer ends a segment after an hour at most: one without index that is days old belongs to nobody any more.
    return is_old or index_path(segment).exists()


def _folders(captures: Path) -> list[Path]:
    return [entry for entry in captures.iterdir() if entry.is_dir()] if captures.is_dir() else []


def _check_segment(segment: Path) -> str | None:
    try:
        index = read_index(segment)
    except msgspec.MsgspecError as error:
        return f"{segment.name}: its index cannot be read ({error})"
    if index is not None and _sha256(segment) != index.sha256:
        return f"{segment.name}: its SHA-256 is not the one in its index"
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _close_torn(segment: Path, turn: Callable[[], None]) -> TornTail:
    found: list[Damage] = []
    fresh = segment.with_name(f"{_REPAIR}{segment.name}")
    writer = SegmentWriter(fresh)
    wall_ns = 0
    try:
        for records in read_records(segment, may_be_torn=True, on_damage=found.append):
            wall_ns = records.rows[0][7] if records.rows else wall_ns
            for gap in _take_gaps(found):
                writer.note(GAP_KIND, gap.before_seq, wall_ns, gap.count)
            for row in records.rows:
                writer.note(row[2], row[5], row[7])
            # As they are, gaps among them: an hour of a busy market is a quarter of a million records.
            writer.add(records.plain)
            turn()
        index = writer.close()
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        writer.abandon()
    _put_in_place(fresh, segment, index)
    torn = [damage for damage in found if isinstance(damage, TornTail)]
    return torn[0] if torn else TornTail(segment, 0, 0)


def _take_gaps(found: list[Damage]) -> list[Gap]:
    gaps = [damage for damage in found if isinstance(damage, Gap)]
    found[:] = [damage for damage in found if not isinstance(damage, Gap)]
    return gaps


def _put_in_place(fresh: Path, segment: Path, index: SegmentIndex) -> None:
    # It is as old as what it holds: retention goes by that, and so does a warm start where a crash comes before the index.
    written = segment.stat()
    os.utime(fresh, ns=(written.st_atime_ns, written.st_mtime_ns))
    # The file first: a crash in between leaves an unclosed segment that is whole, and the next repair finishes it.
    fresh.replace(segment)
    named = msgspec.structs.replace(index, segment=segment.name)
    write_durably(index_path(segment), msgspec.json.format(msgspec.json.encode(named), indent=1) + b"\n")
    index_path(fresh).unlink()
