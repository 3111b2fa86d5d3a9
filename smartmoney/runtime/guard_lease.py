"""Whether the daemon's word still counts: a pure judgement of its last heartbeat."""

from enum import StrEnum

import msgspec

from smartmoney.adapters.heartbeat import Heartbeat


class Lease(StrEnum):
    """Name what the last heartbeat is worth."""

    NONE = "none"
    """There is no daemon to stand by: it never ran, or it stopped in order."""
    STARTING = "starting"
    FRESH = "fresh"
    EXPIRED = "expired"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a heartbeat is worth, its age in s (infinite where its clock is another's), and why in words."""

    lease: Lease
    age_s: float
    why: str


def judge(beat: Heartbeat | None, boot: str, mono_ns: int, lease_s: float, start_s: float) -> Judgement:
    """Return what the last heartbeat is worth now. A daemon that starts gets `start_s`: it warms up before it can beat regularly."""
    if beat is None:
        return Judgement(lease=Lease.NONE, age_s=0.0, why="no daemon has run here")
    if beat.state == "ended":
        return Judgement(lease=Lease.NONE, age_s=0.0, why=f"run {beat.run_id} stopped in order")
    age_s = (mono_ns - beat.mono_ns) / 1e9
    if beat.boot != boot or age_s < 0:
        return Judgement(lease=Lease.EXPIRED, age_s=float("inf"), why="the machine was started anew, and the daemon was not")
    allowed_s = start_s if beat.state == "starting" else lease_s
    if age_s <= allowed_s:
        return Judgement(lease=Lease.STARTING if beat.state == "starting" else Lease.FRESH, age_s=age_s, why="")
    return Judgement(lease=Lease.EXPIRED, age_s=age_s, why=f"the daemon (pid {beat.pid}) has not shown progress for {age_s:.1f} s")
