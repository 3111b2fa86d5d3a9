"""The door to live trading at a venue through ccxt: the same questions as `live_door`, in each venue's own calls.

What the key may do and how the account is set up is told by every venue in a form of its own, so each has a row of three functions here:
whose account it is, what is wrong with the key, what is wrong with the margin. A venue without a row is not traded at.

Invariants: nothing is sent that moves money; of an account's settings only a symbol's leverage (and, where it is the symbol's, its margin
type) is changed, to what was configured, and believed only when it was read back; what could not be asked is a problem too. Sources:
bybit-exchange/docs "Get API Key Information", "Get Account Info", "Set Leverage" (2026-07-24); okx.com docs-v5 "Get account configuration",
"Set leverage" (2026-07); binance-spot-api-docs and USD-M pages as in `venues.binance.order_calls`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from smartmoney.adapters.ccxt_account import CcxtAccount
from smartmoney.adapters.order_side import Answer
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.runtime.live_door import DoorTerms, Problem, clock_problems, key_problems, money_problem, size_problems, unanswered
from smartmoney.venues.ccxt_news import read_balances
from smartmoney.venues.order_news import Held, NewsError
from smartmoney.venues.outcomes import Outcome

_BYBIT_TRANSFERS = frozenset({"AccountTransfer", "SubMemberTransfer", "SubMemberTransferList"})
_BYBIT_TRADES = {
    Market.USDM: ("ContractTrade", frozenset({"Order", "Position"}), "contracts", "orders and positions of contracts"),
    Market.SPOT: ("Spot", frozenset({"SpotTrade"}), "spot", "trading of spot"),
}
"""Per market: under which heading a key is permitted to trade, what, and both in words."""
_BYBIT_UNIFIED = frozenset({3, 4, 5, 6})
"""Unified accounts 1.0 and 2.0, plain and Pro."""
_BYBIT_NO_CHANGE = frozenset({110043})
_OKX_LEVELS = frozenset({"2", "3"})
"""Futures mode and multi-currency margin: swaps on isolated margin."""
_BINANCE_NO_CHANGE = frozenset({-4046, -4059})


async def ccxt_door(account: CcxtAccount, instruments: Sequence[Instrument], key: Sequence[Problem], terms: DoorTerms) -> list[Problem]:
    """Return everything that keeps the door shut; empty means that orders may leave.

    Args:
        account: whose clock has been measured and whose key was asked about.
        instruments: what is going to be traded.
        key: what `identify` found wrong with the key.
        terms: what they are going to be traded with.
    """
    problems = [*clock_problems(account.clock_offset_ms), *key, *size_problems(instruments, terms)]
    problems += await _money(account, instruments[0].quote, terms)
    if account.market is Market.USDM:
        for instrument in instruments:
            problems += await DOORS[account.terms.venue].margin(account, instrument, terms.leverage)
    return problems


async def _money(account: CcxtAccount, quote: str, terms: DoorTerms) -> list[Problem]:
    answer = await DOORS[account.terms.venue].wallet(account)
    if not answer.is_done:
        return [unanswered("money", "the balance could not be asked", answer)]
    has = next((one.quantity for one in answer.held if one.name == quote), Decimal(0))
    return money_problem(has, quote, terms)


async def _wallet(account: CcxtAccount) -> Answer:
    """Return the whole balance of each asset."""
    answer = await account.ask(account.client.fetch_balance, is_urgent=True)
    try:
        return msgspec.structs.replace(answer, held=read_balances(answer.body)) if answer.is_done else answer
    except NewsError as failure:
        return Answer(outcome=Outcome.UNKNOWN, message=str(failure))


class VenueDoor(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one venue is asked. `identify` returns the account's own number, and the problems of its key."""

    identify: Callable[[CcxtAccount], Awaitable[tuple[str, list[Problem]]]]
    margin: Callable[[CcxtAccount, Instrument, int], Awaitable[list[Problem]]]
    wallet: Callable[[CcxtAccount], Awaitable[Answer]] = _wallet


async def _ask(account: CcxtAccount, name: str, params: Mapping[str, Any] | None = None) -> Answer:
    """Make an implicit call of ccxt's."""
    return await account.ask(partial(getattr(account.client, name), dict(params or {})), is_urgent=True)


def _wrong(check: str, judged: Sequence[tuple[bool, str, str]]) -> list[Problem]:
    return [Problem(check=check, problem=problem, remedy=remedy) for is_wrong, problem, remedy in judged if is_wrong]


def _unreadable(check: str, failure: Exception) -> Problem:
    said = f"what the venue says of it cannot be read ({type(failure).__name__} {failure})"
    return Problem(check=check, problem=said, remedy="see whether the exchange has changed its answers")


# ---- Bybit


async def _bybit_identify(account: CcxtAccount) -> tuple[str, list[Problem]]:
    answer = await _ask(account, "privateGetV5UserQueryApi")
    if not answer.is_done:
        return "", [unanswered("key", "what the key may do could not be asked", answer)]
    try:
        may = answer.body["result"]
        permissions = may["permissions"]
        # A permission that is not named at all was not asked about: that is a problem, and no proof that the key has it not.
        heading, wanted, what, remedy = _BYBIT_TRADES[account.market]
        trade, wallet = set(permissions[heading]), set(permissions["Wallet"])
        addresses = [str(one) for one in may.get("ips") or ()]
        number = str(may["userID"])
        judged = [
            (int(may["readOnly"]) != 0, "the key may only read", "make one that may trade"),
            (not wanted <= trade, f"the key may not trade {what}", f"allow {remedy} for it"),
            ("Withdraw" in wallet, "the key may withdraw", "make one that cannot: trading needs no withdrawals"),
            (bool(_BYBIT_TRANSFERS & wallet), "the key may transfer money away", "make one that cannot"),
            (not addresses or "*" in addresses, "the key may be used from any address", "restrict it to this machine's address"),
            (int(may.get("uta", 0)) != 1, "the account is no unified one", "upgrade it at the exchange"),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as failure:
        return "", [_unreadable("key", failure)]
    return number, _wrong("key", judged)


async def _bybit_margin(account: CcxtAccount, instrument: Instrument, leverage: int) -> list[Problem]:
    """Look at the account's margin mode, which is one for all, and set the symbol's leverage."""
    mode = await _ask(account, "privateGetV5AccountInfo")
    if not mode.is_done:
        return [unanswered("margin", "the account's margin mode could not be asked", mode)]
    client = account.client
    told = await account.ask(partial(client.set_leverage, leverage, instrument.name), is_urgent=True)
    found = await account.ask(partial(client.fetch_positions, [instrument.name]), is_urgent=True)
    if not found.is_done:
        return [unanswered("margin", f"{instrument.name}: leverage and position mode could not be asked", found)]
    try:
        rows = [one["info"] for one in found.body]
        is_now = str(mode.body["result"]["marginMode"])
        is_unified = int(mode.body["result"]["unifiedMarginStatus"]) in _BYBIT_UNIFIED
        is_one_way = all(int(row["positionIdx"]) == 0 for row in rows)
        is_set = bool(rows) and all(Decimal(str(row["leverage"])) == leverage for row in rows)
    except (KeyError, TypeError, ValueError, ArithmeticError) as failure:
        return [_unreadable("margin", failure)]
    why = "" if told.is_done or told.code in _BYBIT_NO_CHANGE else f" (the venue says: {told.why()})"
    remedy = "switch the account to isolated margin at the exchange; it is one for all its positions"
    return _wrong(
        "margin",
        [
            (not is_unified, "the account is no unified one", "upgrade it at the exchange"),
            (is_now != "ISOLATED_MARGIN", f"the account is in {is_now}", remedy),
            (not is_one_way, f"{instrument.name} is in hedge mode", "switch it to one-way mode at the exchange"),
            (not is_set, f"{instrument.name} has not leverage {leverage}", f"close what stands there and set it{why}"),
        ],
    )


# ---- OKX


async def _okx_identify(account: CcxtAccount) -> tuple[str, list[Problem]]:
    answer = await _ask(account, "privateGetAccountConfig")
    if not answer.is_done:
        return "", [unanswered("key", "what the key may do could not be asked", answer)]
    try:
        row = answer.body["data"][0]
        may = {part.strip() for part in str(row["perm"]).split(",")}
        judged = [
            ("read_only" not in may, "the key may not read the account", "enable reading for it"),
            ("trade" not in may, "the key may not trade", "enable trading for it"),
            ("withdraw" in may, "the key may withdraw", "make one that cannot: trading needs no withdrawals"),
            (not str(row.get("ip") or "").strip(), "the key may be used from any address", "link it to this machine's address"),
        ]
        mode = [
            (row["posMode"] != "net_mode", "the account is in long/short mode, where a reduce-only order is none", "switch it to net mode"),
            (str(row["acctLv"]) not in _OKX_LEVELS, "the account's mode has no isolated swaps", "choose futures mode at the exchange"),
            (
                row.get("ctIsoMode", "automatic") not in {"automatic", ""},
                "the margin of isolated positions is moved by hand, so that no order finds any",
                "switch isolated margin of contracts to automatic transfers at the exchange",
            ),
        ]
        return str(row["uid"]), _wrong("key", judged) + _wrong("margin", mode)
    except (KeyError, IndexError, TypeError, AttributeError) as failure:
        return "", [_unreadable("key", failure)]


async def _okx_margin(account: CcxtAccount, instrument: Instrument, leverage: int) -> list[Problem]:
    told = await account.ask(partial(account.client.set_leverage, leverage, instrument.name, {"mgnMode": "isolated"}), is_urgent=True)
    asked = {"instId": instrument.symbol, "mgnMode": "isolated"}
    found = await _ask(account, "privateGetAccountLeverageInfo", asked)
    held = await _ask(account, "privateGetAccountPositions", {"instType": "SWAP", "instId": instrument.symbol})
    for answer in (found, held):
        if not answer.is_done:
            return [unanswered("margin", f"{instrument.name}: leverage and positions could not be asked", answer)]
    try:
        rows = found.body["data"]
        is_set = bool(rows) and all(Decimal(str(row["lever"])) == leverage for row in rows)
        is_crossed = any(row["mgnMode"] != "isolated" and Decimal(str(row["pos"] or 0)) != 0 for row in held.body["data"])
    except (KeyError, TypeError, ArithmeticError) as failure:
        return [_unreadable("margin", failure)]
    why = "" if told.is_done else f" (the venue says: {told.why()})"
    said = f"{instrument.name} has not leverage {leverage} on isolated margin"
    return _wrong(
        "margin",
        [
            (not is_set, said, f"close what stands there and set it{why}"),
            (is_crossed, f"{instrument.name} is held on cross margin, where no stop of ours would reach it", "close it first"),
        ],
    )


# ---- Binance, in a rehearsal


async def _binance_identify(account: CcxtAccount) -> tuple[str, list[Problem]]:
    answer = await _ask(account, "sapiGetAccountApiRestrictions")
    problems = key_problems(answer.body, account.market) if answer.is_done else []
    if not answer.is_done:
        problems = [unanswered("key", "what the key may do could not be asked", answer)]
    name = "privateGetAccount" if account.market is Market.SPOT else "fapiPrivateV2GetBalance"
    who = await _ask(account, name)
    if not who.is_done:
        return "", [*problems, unanswered("account", "whose it is could not be asked", who)]
    try:
        return str(who.body["uid"] if account.market is Market.SPOT else who.body[0]["accountAlias"]), problems
    except (KeyError, IndexError, TypeError) as failure:
        return "", [*problems, _unreadable("account", failure)]


async def _binance_wallet(account: CcxtAccount) -> Answer:
    """Return USD-M's wallet: ccxt leaves out what has not moved yet, and counts open profit."""
    answer = await _ask(account, "fapiPrivateV2GetBalance")
    if not answer.is_done:
        return answer
    try:
        held = tuple(Held(name=str(one["asset"]), quantity=Decimal(str(one["balance"]))) for one in answer.body)
    except (KeyError, TypeError, ArithmeticError) as failure:
        return Answer(outcome=Outcome.UNKNOWN, message=f"the balance cannot be read ({type(failure).__name__})")
    return msgspec.structs.replace(answer, held=held)


async def _binance_margin(account: CcxtAccount, instrument: Instrument, leverage: int) -> list[Problem]:
    client = account.client
    for call in (
        partial(client.set_margin_mode, "isolated", instrument.name),
        partial(client.set_leverage, leverage, instrument.name),
    ):
        told = await account.ask(call, is_urgent=True)
        if not told.is_done and told.code not in _BINANCE_NO_CHANGE:
            break
    found = await _ask(account, "fapiPrivateGetSymbolConfig", {"symbol": instrument.symbol})
    sides = await _ask(account, "fapiPrivateGetPositionSideDual")
    assets = await _ask(account, "fapiPrivateGetMultiAssetsMargin")
    for answer in (found, sides, assets):
        if not answer.is_done:
            return [unanswered("margin", f"{instrument.name}: margin and modes could not be asked", answer)]
    row: dict[str, Any] = next((one for one in found.body if one.get("symbol") == instrument.symbol), {})
    is_set = str(row.get("marginType", "")).upper() == "ISOLATED" and str(row.get("leverage")) == str(leverage)
    said = f"{instrument.name} has {row.get('marginType')} margin, leverage {row.get('leverage')}"
    off = "switch it off at the exchange"
    return _wrong(
        "margin",
        [
            (sides.body.get("dualSidePosition") is not False, "the account is in hedge mode", off),
            (assets.body.get("multiAssetsMargin") is not False, "the account is in multi-assets mode", off),
            (not is_set, said, f"close what stands there and set isolated margin, leverage {leverage} (the venue says: {told.why()})"),
        ],
    )


DOORS: Mapping[str, VenueDoor] = {
    "bybit": VenueDoor(identify=_bybit_identify, margin=_bybit_margin),
    "okx": VenueDoor(identify=_okx_identify, margin=_okx_margin),
    "binance": VenueDoor(identify=_binance_identify, margin=_binance_margin),
    "binanceusdm": VenueDoor(identify=_binance_identify, margin=_binance_margin, wallet=_binance_wallet),
}
