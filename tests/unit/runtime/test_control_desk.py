"""Operating a running loop: an answer says that the effect is there and durable, or that it is not."""

import asyncio

import pytest

from smartmoney.adapters.control import ControlError, ControlRequest
from smartmoney.core.domain.entries import AccountReported, ModelActivated, Tick
from smartmoney.runtime import control
from smartmoney.runtime.control import ControlDesk
from smartmoney.runtime.models import PRIOR_NAME, ModelNotFound
from smartmoney.runtime.sender import Sender
from smartmoney.runtime.summary import summarise

from .test_loop import Running
from .test_sender import World


class Operated(Running):
    """A loop and a sender that run, and the desk in front of them."""

    async def __aenter__(self):
        self.world = World()
        self.sender = Sender(self.outbox, self.world, self.world, self.world, self.world, self.inbox.post, 0)
        summary = lambda: summarise(self.engine.view())  # noqa: E731
        self.desk = ControlDesk(self.loop, self.sender, self.inbox.post, self.engine.view, summary, self.prepare)
        self.say(AccountReported(orders=(), positions=()))
        self.say(Tick())
        self.tasks = [asyncio.ensure_future(self.loop.run(lambda: None)), asyncio.ensure_future(self.sender.run(lambda: None))]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def prepare(self, asked):
        if asked != "prior":
            raise ModelNotFound(f"no model {asked!r}")
        return PRIOR_NAME

    async def ask(self, command, reason="", **arguments):
        return await self.desk.handle(ControlRequest(command=command, reason=reason, arguments=arguments))


async def test_halt_is_answered_once_it_is_in_the_journal_and_latched():
    async with Operated() as daemon:
        answer = await daemon.ask("halt", "lunch")
        assert (answer["halted"], answer["halt_reason"]) == (True, "operator: lunch")
        assert "commit" in daemon.world.did()
        assert ("latched", "operator: lunch", 1) in daemon.world.seen
        again = await daemon.ask("halt", "second lunch")
        assert again["halt_reason"] == "operator: lunch"


async def test_resume_clears_it_and_is_refused_when_there_is_nothing_to_clear():
    async with Operated() as daemon:
        with pytest.raises(ControlError, match="not halted"):
            await daemon.ask("resume", "why")
        await daemon.ask("halt", "lunch")
        answer = await daemon.ask("resume", "back")
        assert not answer["halted"]
        assert daemon.world.seen[-1] == ("cleared",)


async def test_flatten_of_nothing_is_done_at_once_and_halts():
    async with Operated() as daemon:
        answer = await daemon.ask("flatten", "weekend")
        assert answer["halt_reason"] == "flatten: weekend"
        assert answer["positions"] == {"BTC/USDT": 0.0}
        assert answer["equity"] == 10_000


async def test_a_model_is_activated_by_an_entry_or_refused_with_what_decides_unchanged():
    async with Operated() as daemon:
        answer = await daemon.ask("activate", model="prior")
        assert (answer["model"], answer["model_hash"]) == (PRIOR_NAME, PRIOR_NAME)
        activated = [entry.payload for entry in daemon.recorder.entries if isinstance(entry.payload, ModelActivated)]
        assert activated == [ModelActivated(model=PRIOR_NAME)]
        with pytest.raises(ControlError, match="no model 'm'; the model that decides is unchanged"):
            await daemon.ask("activate", model="m")
        for nothing in ({}, {"model": ""}, {"model": 3}):
            with pytest.raises(ControlError, match="activate needs a model"):
                await daemon.ask("activate", **nothing)


async def test_status_is_the_summary():
    async with Operated() as daemon:
        found = await daemon.ask("status")
        assert found["run_id"] == "1abcdefghjk"
        assert found["halted"] is False


async def test_what_does_not_become_true_in_time_is_not_called_done(monkeypatch):
    monkeypatch.setattr(control, "EFFECT_PATIENCE_S", 0.05)
    async with Operated() as daemon:
        daemon.tasks[0].cancel()
        with pytest.raises(ControlError, match="not done within"):
            await daemon.ask("halt", "lunch")


async def test_what_is_not_durable_in_time_is_not_called_done(monkeypatch):
    import threading

    monkeypatch.setattr(control, "EFFECT_PATIENCE_S", 0.05)
    async with Operated() as daemon:
        daemon.world.gate = threading.Event()
        try:
            with pytest.raises(ControlError, match="not done within"):
                await daemon.ask("halt", "lunch")
        finally:
            daemon.world.gate.set()


async def test_resume_while_equity_is_unknown_is_refused_at_once():
    async with Operated() as daemon:
        await daemon.ask("halt", "lunch")
        daemon.engine.money.equity = None
        with pytest.raises(ControlError, match="equity is unknown"):
            await daemon.ask("resume", "hope")
