"""What a heartbeat is worth, and that a torn or foreign one is worth nothing."""

import asyncio
import time
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.heartbeat import Carried, Heartbeat, HeartbeatFile, boot_id, read_heartbeat
from smartmoney.adapters.service import ServiceNotifier, read_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.runtime.guard import Guard, GuardTerms
from smartmoney.runtime.guard_lease import Lease, judge
from tests.grids import USDM_BTC as BTC
from tests.waiting import until

S = 1_000_000_000
CARRIED = Carried(instrument=BTC, position=Decimal("-0.25"), stop=Decimal("61000.5"), bid=Decimal(60000), ask=None)
BEAT = Heartbeat(state="running", pid=7, run_id="r", mode="live", boot="b", mono_ns=100 * S, wall_ns=1, seq=5, carried=(CARRIED,))


@pytest.mark.parametrize(
    ("state", "boot", "at_s", "lease"),
    [
        ("running", "b", 100, Lease.FRESH),
        ("running", "b", 105, Lease.FRESH),
        ("running", "b", 105.01, Lease.EXPIRED),
        ("running", "other", 101, Lease.EXPIRED),
        ("running", "b", 99, Lease.EXPIRED),
        ("starting", "b", 105.01, Lease.STARTING),
        ("starting", "b", 161, Lease.EXPIRED),
        ("ended", "b", 9999, Lease.NONE),
    ],
)
def test_a_heartbeat_counts_while_it_is_young_on_this_boots_clock(state, boot, at_s, lease):
    beat = msgspec.structs.replace(BEAT, state=state)
    assert judge(beat, boot, round(at_s * S), 5.0, 60.0).lease is lease


def test_without_a_daemon_there_is_nothing_to_guard():
    assert judge(None, "b", 1, 5.0, 60.0).lease is Lease.NONE


def test_what_was_written_is_read_exactly_and_a_shorter_beat_leaves_nothing_of_a_longer_one(tmp_path):
    path = tmp_path / "heartbeat"
    assert read_heartbeat(path) is None
    file = HeartbeatFile(path)
    file.write(msgspec.structs.replace(BEAT, carried=(CARRIED,) * 50))
    file.write(BEAT)
    assert read_heartbeat(path) == BEAT
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
    file.close()


async def test_a_heartbeat_that_cannot_be_read_any_more_grows_old_and_is_no_sign_that_there_was_no_daemon(tmp_path):
    layout = StateLayout(tmp_path)
    file, journal = HeartbeatFile(layout.heartbeat), GuardJournal(layout.guard_journal)
    guard = Guard(GuardTerms(lease_s=600.0), layout, None, journal, lambda _: None, timer="")
    notifier = ServiceNotifier()
    file.write(msgspec.structs.replace(BEAT, boot=boot_id(), mono_ns=time.monotonic_ns()))
    watching = asyncio.create_task(guard.run(notifier))
    try:
        await until(lambda: guard._status()["lease"] == "fresh", seen=guard._status)
        layout.heartbeat.unlink()
        guard._terms = GuardTerms(lease_s=0.1)
        await until(lambda: guard._status()["lease"] != "fresh", seen=guard._status)
        assert guard._status()["lease"] == "expired"
        assert "has not shown progress" in read_latch(layout.latch).reason
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for one in (file, journal, notifier):
            one.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_torn_beat_is_none_or_the_whole_one(tmp_path, data):
    path = tmp_path / "heartbeat"
    file = HeartbeatFile(path)
    file.write(BEAT)
    file.close()
    raw = bytearray(path.read_bytes())
    cut = data.draw(st.integers(0, len(raw)))
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)), max_size=3))
    for at, bits in flips:
        raw[at] ^= bits
    path.write_bytes(bytes(raw[:cut]))
    assert read_heartbeat(path) in {None, BEAT}
