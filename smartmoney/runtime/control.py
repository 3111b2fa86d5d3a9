"""What an operator can ask of a running daemon, over the control socket.

It may halt, re-arm, take another model and book money that was moved; it cannot trade or raise a limit.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from smartmoney.adapters.control import ControlError, ControlRequest
from smartmoney.core.domain.entries import (
    FlattenRequested,
    HaltRequested,
    ModelActivated,
    Payload,
    ResumeRequested,
    TransferRequested,
)
from smartmoney.core.engine.view import EngineView
from smartmoney.runtime.loop import Loop
from smartmoney.runtime.models import BundleRefused, ModelNotFitForLive, ModelNotFound
from smartmoney.runtime.sender import Sender
from smartmoney.runtime.summary import Summary

EFFECT_PATIENCE_S = 5.0
FLAT_PATIENCE_S = 30.0
_TRY_LATER = "the daemon goes on trying: see `smartmoney status`"


class ControlDesk:
    """Answer requests of `ControlRequest.command`. An answer says that the effect is there, and durable."""

    def __init__(
        self,
        loop: Loop,
        sender: Sender,
        post: Callable[[Payload], None],
        view: Callable[[], EngineView],
        summary: Callable[[], Summary],
        prepare_model: Callable[[str], str],
    ) -> None:
        self._loop = loop
        self._sender = sender
        self._post = post
        self._view = view
        self._summary = summary
        self._prepare_model = prepare_model

    async def handle(self, request: ControlRequest) -> Mapping[str, Any]:
        """Carry one request out.

        Raises:
            ControlError: it cannot be, or did not happen in time.
        """
        reason = request.reason.strip()
        match request.command:
            case "status":
                return dict(msgspec.to_builtins(self._summary()))
            case "halt":
                by = f"operator: {reason}" if reason else "operator"
                return await self._do(HaltRequested(reason=by), lambda view: view.account.halted, EFFECT_PATIENCE_S)
            case "flatten":
                return await self._do(FlattenRequested(reason=reason or "operator"), _is_flat, FLAT_PATIENCE_S)
            case "activate":
                return await self.activate(request.arguments.get("model"))
            case "resume":
                account = self._view().account
                if not account.halted:
                    raise ControlError("the daemon is not halted", "there is nothing to resume")
                if account.equity is None:
                    problem = "equity is unknown: a position is held in a book that is not synced"
                    raise ControlError(problem, "wait for the feed, or flatten")
                return await self._do(ResumeRequested(reason=reason), lambda view: not view.account.halted, EFFECT_PATIENCE_S)
            case "transfer":
                return await self._transfer(request.arguments, reason)

    async def _transfer(self, arguments: Mapping[str, Any], reason: str) -> Mapping[str, Any]:
        amount = _amount(arguments.get("amount"))
        account = self._view().account
        if account.equity is None:
            raise ControlError("equity is unknown: a position is held in a book that is not synced", "wait for the feed")
        if account.equity + amount <= 0 or account.cash + amount < 0:
            raise ControlError(f"{amount} is more than there is: cash {account.cash:.2f}", "take out less, or flatten first")
        after = account.transferred + amount
        request = TransferRequested(amount=amount, reason=reason)
        return await self._do(request, lambda view: view.account.transferred == after, EFFECT_PATIENCE_S)

    async def activate(self, asked: Any) -> Mapping[str, Any]:
        """Make another model decide.

        Raises:
            ControlError: it cannot be had, is not fit, or does not decide in time.
        """
        if not isinstance(asked, str) or not asked:
            raise ControlError("activate needs a model", "give its name or hash in the argument `model`")
        try:
            # Off the loop: a bundle is read and checked in full.
            model = await asyncio.to_thread(self._prepare_model, asked)
        except (ModelNotFound, BundleRefused, ModelNotFitForLive, OSError) as error:
            raise ControlError(str(error), "the model that decides is unchanged") from None
        done = await self._do(ModelActivated(model=model), lambda view: view.model_hash == model, EFFECT_PATIENCE_S)
        return {**done, "model": self._view().model, "model_hash": model}

    async def _do(self, payload: Payload, is_done: Callable[[EngineView], bool], patience_s: float) -> Mapping[str, Any]:
        self._post(payload)
        try:
            async with asyncio.timeout(patience_s):
                await self._loop.next_turn()
                while not is_done(self._view()):
                    await self._loop.next_turn()
                await self._sender.settled()
        except TimeoutError:
            raise ControlError(f"not done within {patience_s:.0f} s", _TRY_LATER) from None
        view = self._view()
        return {
            "halted": view.account.halted,
            "halt_reason": view.account.halt_reason,
            "positions": {item.name: float(item.position) for item in view.instruments},
            "equity": None if view.account.equity is None else float(view.account.equity),
            "high_water_mark": None if view.account.high_water_mark is None else float(view.account.high_water_mark),
        }


def _amount(given: object) -> Decimal:
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount == 0:
        raise ControlError(f"{given!r} is no amount", "write a number of quote currency; what was taken out is negative")
    return amount


def _is_flat(view: EngineView) -> bool:
    return view.account.halted and view.is_flat
