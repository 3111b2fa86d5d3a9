"""What Bybit and OKX list of money that moved without a trade: which call, which window, which words, and how a row is read. Pure.

Invariants: a row has a name that is unique for ever; what cannot be read raises. Sources: bybit-exchange/docs "Get Transaction Log" and its
types (2026-07-24); okx.com docs-v5 "Get bills details" (2026-07). At OKX the funding of an isolated position goes through the position's
balance (`posBalChg`) and not the account's (`balChg`).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.venues.incomes import Income, amount_of, oldest_first
from smartmoney.venues.order_news import NewsError

_DAY_MS = 86_400_000


class MoneyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Be one venue's list. Kinds map to the venue's word for them; the first of `booked` is funding.

    `permission` says what a key needs that may not read it.
    `recent_ms`: what is younger is asked of `recent_call`, where there is one. `params` are those of every call, of a kind, and of a
    window; `cursor` returns what to ask with for the next page, None at the last.
    """

    booked: Mapping[str, str]
    moved: Mapping[str, str]
    call: str
    recent_call: str = ""
    recent_ms: int = 0
    window_ms: int
    history_ms: int
    permission: str
    params: Callable[[str, int, int], Mapping[str, str]]
    rows: Callable[[Any], list[Any]]
    cursor: Callable[[Any], Mapping[str, str] | None]
    read: Callable[[str, Mapping[str, Any]], Income]


def read_incomes(terms: MoneyTerms, kind: str, body: Any) -> tuple[Income, ...]:
    """Return the rows of an answer about one kind, oldest first.

    Raises:
        NewsError: they cannot be read.
    """
    try:
        return oldest_first(terms.read(kind, row) for row in terms.rows(body))
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as failure:
        raise NewsError(f"not an income: {type(failure).__name__} {failure}") from None


def _bybit_params(word: str, start_ms: int, end_ms: int) -> dict[str, str]:
    window = {"startTime": str(start_ms), "endTime": str(end_ms), "limit": "50"}
    return {"accountType": "UNIFIED", "type": word, **({"category": "linear"} if word == "SETTLEMENT" else {}), **window}


def _bybit_cursor(body: Any) -> dict[str, str] | None:
    cursor = str(body["result"].get("nextPageCursor") or "")
    return {"cursor": cursor} if cursor else None


def _bybit_income(kind: str, row: Mapping[str, Any]) -> Income:
    """Read a row: funding apart from what the same row may hold of a session's profit, which our own trades tell."""
    if row["type"] != kind:
        raise NewsError(f"{row['type']} among {kind}")
    text = row["funding"] or row["change"] if kind == "SETTLEMENT" else row["change"]
    at_ms = int(row["transactionTime"])
    number = f"{row['id']}-{at_ms}"
    return Income(
        kind=kind, symbol=str(row.get("symbol") or ""), amount=amount_of(text), asset=str(row["currency"]), time_ms=at_ms, number=number
    )


def _okx_params(word: str, start_ms: int, end_ms: int) -> dict[str, str]:
    window = {"begin": str(start_ms), "end": str(end_ms), "limit": "100"}
    return {"type": word, **({"instType": "SWAP"} if word == _OKX_FUNDING else {}), **window}


def _okx_cursor(body: Any) -> dict[str, str] | None:
    return {"after": str(body["data"][-1]["billId"])} if len(body["data"]) >= _OKX_PAGE else None


def _okx_income(kind: str, row: Mapping[str, Any]) -> Income:
    """Read a bill: what the venue says was won or lost, else what account and position have more."""
    amount = amount_of(row.get("balChg") or 0)
    if kind == "FUNDING":
        won = amount_of(row.get("pnl") or 0)
        amount = won or amount + amount_of(row.get("posBalChg") or 0)
    return Income(
        kind=kind,
        symbol=str(row.get("instId") or ""),
        amount=amount,
        asset=str(row["ccy"]),
        time_ms=int(row["ts"]),
        number=str(int(Decimal(str(row["billId"])))),
    )


_OKX_FUNDING, _OKX_PAGE = "8", 100

MONEY: Mapping[str, MoneyTerms] = {
    "bybit": MoneyTerms(
        booked={"SETTLEMENT": "SETTLEMENT"},
        moved={"TRANSFER_IN": "TRANSFER_IN", "TRANSFER_OUT": "TRANSFER_OUT"},
        call="privateGetV5AccountTransactionLog",
        window_ms=7 * _DAY_MS,
        history_ms=700 * _DAY_MS,
        permission="let it read the unified account's transaction log: Unified Trading, orders and positions, read and write",
        params=_bybit_params,
        rows=lambda body: list(body["result"]["list"]),
        cursor=_bybit_cursor,
        read=_bybit_income,
    ),
    "okx": MoneyTerms(
        booked={"FUNDING": _OKX_FUNDING},
        moved={"TRANSFER": "1"},
        call="privateGetAccountBillsArchive",
        recent_call="privateGetAccountBills",
        recent_ms=6 * _DAY_MS,
        window_ms=7 * _DAY_MS,
        history_ms=89 * _DAY_MS,
        permission="let it read the account's bills: the permission Read beside Trade",
        params=_okx_params,
        rows=lambda body: list(body["data"]),
        cursor=_okx_cursor,
        read=_okx_income,
    ),
}
