"""The supervisor: what each kind of end leads to, how often, and that nothing is left behind."""

import asyncio

import pytest

from smartmoney.runtime.supervisor import ChildFailed, ChildSpec, ChildStalled, Restart, RestartIntensityExceeded, Supervisor


class Expected(Exception):
    exit_code = 78


def child(body, restart=Restart.PERMANENT, name="child", **more):
    return ChildSpec(name=name, start=body, restart=restart, delay_s=0.0, **more)


class Lives:
    """A child that lives as often as it is told how to end, then forever."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.started = 0
        self.is_cancelled = False
        self.settled = asyncio.Event()

    async def __call__(self, beat):
        self.started += 1
        beat()
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
            return
        self.settled.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def stopped_once(supervisor, event):
    running = asyncio.ensure_future(supervisor.run())
    waiting = asyncio.ensure_future(event.wait())
    # A supervisor that ends by itself must fail the test, not leave it waiting.
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    supervisor.stop()
    await running


def only(group):
    (error,) = group.value.exceptions
    return error


async def test_a_permanent_child_is_restarted_after_any_end():
    lives = Lives(ValueError("x"), None)
    supervisor = Supervisor((child(lives),))
    await stopped_once(supervisor, lives.settled)
    assert lives.started == 3
    assert lives.is_cancelled
    assert supervisor.restarts == {"child": 2}


async def test_a_transient_child_is_restarted_after_a_failure_only():
    failing, finishing, other = Lives(ValueError("x")), Lives(None), Lives()
    supervisor = Supervisor((child(failing, Restart.TRANSIENT, "f"), child(finishing, Restart.TRANSIENT, "g"), child(other, name="o")))
    await stopped_once(supervisor, failing.settled)
    assert (failing.started, finishing.started) == (2, 1)


async def test_a_temporary_child_is_never_restarted_and_takes_nobody_down():
    failing, other = Lives(ValueError("x")), Lives()
    supervisor = Supervisor((child(failing, Restart.TEMPORARY, "f"), child(other, name="o")))
    await stopped_once(supervisor, other.settled)
    assert failing.started == 1


@pytest.mark.parametrize(
    ("end", "raised", "words"),
    [
        (ValueError("broken"), ChildFailed, "broken"),
        (None, ChildFailed, "returned"),
        (Expected("journal is full"), Expected, "journal is full"),
    ],
)
async def test_the_end_of_an_essential_child_ends_everything(end, raised, words):
    lives, other = Lives(end), Lives()
    with pytest.raises(ExceptionGroup) as group:
        await Supervisor((child(lives, Restart.ESSENTIAL, "loop"), child(other, name="o"))).run()
    error = only(group)
    assert type(error) is raised
    assert words in str(error)
    assert error.exit_code in {1, 78}
    assert lives.started == 1
    assert other.started == 0 or other.is_cancelled


async def test_too_many_failures_within_the_time_take_the_supervisor_down():
    lives = Lives(*(ValueError(str(number)) for number in range(99)))
    with pytest.raises(ExceptionGroup) as group:
        await Supervisor((child(lives, restarts_max=3),)).run()
    error = only(group)
    assert isinstance(error, RestartIntensityExceeded)
    assert error.exit_code == 1
    assert lives.started == 4
    assert "failed 4 times" in str(error)


async def test_failures_that_lie_far_apart_are_forgiven():
    now = [0.0]
    lives = Lives(*(ValueError("x") for _ in range(20)))

    async def slow(beat):
        now[0] += 400.0
        await lives(beat)

    supervisor = Supervisor((child(slow, restarts_max=2, within_s=600.0),), clock=lambda: now[0])
    await stopped_once(supervisor, lives.settled)
    assert lives.started == 21


async def test_a_child_that_stops_beating_is_cancelled_and_restarted():
    now = [0.0]
    lives = Lives()
    stalled = asyncio.Event()

    async def start(beat):
        await lives(beat) if stalled.is_set() else await stall()

    async def stall():
        now[0] += 100.0
        try:
            await asyncio.Event().wait()
        finally:
            stalled.set()

    supervisor = Supervisor((child(start, beat_s_max=0.01),), clock=lambda: now[0])
    running = asyncio.ensure_future(supervisor.run())
    await stalled.wait()
    await lives.settled.wait()
    supervisor.stop()
    await running
    assert supervisor.restarts == {"child": 1}


async def test_an_essential_child_that_stalls_is_named():
    now = [0.0]

    async def stall(_beat):
        now[0] += 100.0
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as group:
        await Supervisor((child(stall, Restart.ESSENTIAL, beat_s_max=0.01),), clock=lambda: now[0]).run()
    assert isinstance(only(group), ChildStalled)


async def test_a_child_that_beats_is_left_alone_and_its_age_is_known():
    now = [0.0]
    rounds = asyncio.Event()

    async def diligent(beat):
        for number in range(5):
            now[0] += 0.005
            beat()
            await asyncio.sleep(0)
            if number == 4:
                rounds.set()
        await asyncio.Event().wait()

    supervisor = Supervisor((child(diligent, beat_s_max=60.0),), clock=lambda: now[0])
    running = asyncio.ensure_future(supervisor.run())
    await rounds.wait()
    now[0] += 7.0
    assert supervisor.beat_ages() == {"child": pytest.approx(7.0)}
    supervisor.stop()
    await running
    assert supervisor.is_stopping
    assert supervisor.beat_ages() == {}


async def test_stopping_or_cancelling_leaves_no_task_behind():
    before = asyncio.all_tasks()
    for _ in range(2):
        lives = [Lives() for _ in range(3)]
        supervisor = Supervisor(tuple(child(life, name=str(number)) for number, life in enumerate(lives)))
        running = asyncio.ensure_future(supervisor.run())
        for life in lives:
            await life.settled.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert all(life.is_cancelled for life in lives)
    assert asyncio.all_tasks() == before


async def test_a_child_that_is_cancelled_from_within_counts_as_failed():
    lives = Lives(asyncio.CancelledError())
    supervisor = Supervisor((child(lives),))
    await stopped_once(supervisor, lives.settled)
    assert lives.started == 2
