"""Clock, backoff and budgets: nothing waits too little, nothing waits for ever."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.backoff import Backoff, BackoffPolicy
from smartmoney.adapters.clock import JumpClock, first_of, within
from smartmoney.adapters.connection_budget import ConnectionBudget, WeightBudget


@given(st.integers(), st.integers(1, 2000))
def test_backoff_stays_between_half_its_nominal_delay_and_the_cap(seed: int, failures: int) -> None:
    policy = BackoffPolicy(first_s=0.5, factor=2.0, cap_s=30.0)
    backoff = Backoff(policy, Random(seed))
    for n in range(failures):
        nominal = min(30.0, 0.5 * 2.0 ** min(n, 60))
        assert nominal / 2 <= backoff.next_delay_s() <= nominal


def test_backoff_forgets_failures_after_a_stable_life_only() -> None:
    backoff = Backoff(BackoffPolicy(), Random(1))
    for _ in range(6):
        backoff.next_delay_s()
    backoff.note_lived(59.9)
    assert backoff.failures == 6
    backoff.note_lived(60.0)
    assert backoff.next_delay_s() <= 0.5


def test_backoff_with_the_same_seed_repeats_itself() -> None:
    one, two = (Backoff(BackoffPolicy(), Random(3)) for _ in range(2))
    assert [one.next_delay_s() for _ in range(20)] == [two.next_delay_s() for _ in range(20)]


@given(st.lists(st.floats(0, 40), min_size=1, max_size=40), st.integers(1, 5))
def test_connection_budget_never_lets_more_than_its_attempts_into_any_window(pauses: list[float], attempts: int) -> None:
    async def scenario() -> list[int]:
        clock = JumpClock()
        budget = ConnectionBudget(clock, attempts=attempts, window_s=60.0)
        times: list[int] = []

        async def attempt(pause_s: float) -> None:
            await clock.sleep(pause_s)
            await budget.acquire()
            times.append(clock.monotonic_ns())

        tasks = [asyncio.ensure_future(attempt(pause)) for pause in pauses]
        await clock.advance(60.0 * (len(pauses) // attempts + 2))
        assert all(task.done() for task in tasks), "a waiting attempt must get its turn"
        return times

    times = asyncio.run(scenario())
    assert len(times) == len(pauses)
    for start in range(len(times) - attempts):
        assert times[start + attempts] - times[start] >= 60_000_000_000


@given(st.lists(st.integers(1, 250), min_size=1, max_size=40))
def test_weight_spent_never_exceeds_the_bucket_and_its_refill(weights: list[int]) -> None:
    async def scenario() -> list[tuple[int, int]]:
        clock = JumpClock()
        budget = WeightBudget(clock, per_minute=600, share=1.0)
        start_ns = clock.monotonic_ns()
        spent: list[tuple[int, int]] = []

        async def spend() -> None:
            for weight in weights:
                await budget.acquire(weight)
                spent.append((clock.monotonic_ns() - start_ns, weight))

        task = asyncio.ensure_future(spend())
        await clock.advance(sum(weights) / 10 + 1)
        assert task.done()
        return spent

    total = 0
    for elapsed_ns, weight in asyncio.run(scenario()):
        total += weight
        assert total <= 600 + 10 * elapsed_ns / 1e9 + 1e-6


async def test_weight_beyond_the_capacity_waits_for_a_full_bucket_instead_of_for_ever() -> None:
    clock = JumpClock()
    budget = WeightBudget(clock, per_minute=60, share=1.0)
    await budget.acquire(10)
    task = asyncio.ensure_future(budget.acquire(100))
    await clock.advance(9)
    assert not task.done()
    await clock.advance(2)
    assert task.done()
    assert budget.available == pytest.approx(-39, abs=1.1)


async def test_within_gives_the_result_or_times_out_and_cancels_the_work() -> None:
    clock = JumpClock()
    cancelled = asyncio.Event()

    async def quick() -> int:
        return 7

    async def endless() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    assert await within(clock, 1.0, quick()) == 7
    task = asyncio.ensure_future(within(clock, 1.0, endless()))
    await clock.advance(1.0)
    with pytest.raises(TimeoutError):
        await task
    assert cancelled.is_set()


async def test_first_of_raises_what_the_winner_raises_and_cancels_the_others() -> None:
    clock = JumpClock()

    async def fail() -> int:
        await clock.sleep(1.0)
        raise LookupError("winner")

    async def slower() -> int:
        await clock.sleep(2.0)
        raise AssertionError("must have been cancelled")

    task = asyncio.ensure_future(first_of(slower(), fail()))
    await clock.advance(5.0)
    with pytest.raises(LookupError, match="winner"):
        await task


async def test_jump_clock_wakes_sleepers_in_the_order_of_their_deadlines_at_their_own_time() -> None:
    clock = JumpClock(start_ns=0)
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            seen.append((name, clock.monotonic_ns()))

    tasks = [asyncio.ensure_future(sleeper("a", 2, 2)), asyncio.ensure_future(sleeper("b", 1, 2))]
    await clock.advance(10)
    assert seen == [("b", 1_000_000_000), ("a", 2_000_000_000), ("b", 3_000_000_000), ("a", 4_000_000_000)]
    assert all(task.done() for task in tasks)
    assert clock.monotonic_ns() == 10_000_000_000
