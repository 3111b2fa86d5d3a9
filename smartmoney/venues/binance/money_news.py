"""What Binance says about money that moves without a trade: USD-M's list of incomes, and the events that say that something happened. Pure.

An event has no number of its own, so nothing is booked by it: it says that the list is worth a look. A row of the list has one
(`tranId`) that is unique within its kind for ever. Sources: USD-M "Get Income History" and "Event: Balance and Position Update" (2026-07);
binance-spot-api-docs user-data-stream.md, balanceUpdate (2026-07).
"""

from typing import Any

import msgspec

from smartmoney.venues.incomes import Income, amount_of, oldest_first
from smartmoney.venues.order_news import NewsError

FUNDING = "FUNDING_FEE"
BOOKED = (FUNDING, "INSURANCE_CLEAR")
"""Kinds of income that are profit or loss and that no trade tells: funding, and what a liquidation cost beside its trade."""
MOVED = ("TRANSFER",)
"""Kinds that are a person's, not the market's."""
_OF_TRADES = frozenset({"ORDER", "MARGIN_TYPE_CHANGE", "MARGIN_TRANSFER", "WITHDRAW_REJECT"})
"""Reasons of an account's update that move no money by themselves, or money that a trade's own news tells."""


class MoneyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Say that money moved: why, in the venue's words."""

    reason: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of income among which it will be listed."""
        return (self.reason,) if self.reason in BOOKED else MOVED


def read_incomes(body: object) -> tuple[Income, ...]:
    """Return the rows of the list, oldest first.

    Raises:
        NewsError: they cannot be read.
    """
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise NewsError("not a list of incomes")
    try:
        rows = [_income(one) for one in body]
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an income: {type(failure).__name__} {failure}") from None
    return oldest_first(rows)


def read_money_event(kind: str, raw: bytes) -> MoneyEvent | None:
    """Return what a private event of a kind says about money, None where it says nothing.

    Raises:
        NewsError: it cannot be read.
    """
    if kind == "balanceUpdate":
        return MoneyEvent(reason=kind)
    if kind != "ACCOUNT_UPDATE":
        return None
    try:
        reason = msgspec.json.decode(raw, type=_AccountUpdate).a.m
    except msgspec.MsgspecError as failure:
        raise NewsError(f"not an ACCOUNT_UPDATE: {failure}") from None
    return None if reason in _OF_TRADES else MoneyEvent(reason=reason)


class _Changed(msgspec.Struct):
    m: str


class _AccountUpdate(msgspec.Struct):
    a: _Changed


def _income(one: dict[str, Any]) -> Income:
    return Income(
        kind=str(one["incomeType"]),
        symbol=str(one.get("symbol") or ""),
        amount=amount_of(one["income"]),
        asset=str(one["asset"]),
        time_ms=int(one["time"]),
        number=str(int(one["tranId"])),
    )
