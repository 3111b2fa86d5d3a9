"""The door to live trading: what must be true of key, clock, market, money and margin before an order may leave.

A rehearsal passes the same door. Every check says what is wrong and what to do; one that could not be made is a problem too.

Invariants: nothing is sent that moves money; of USD-M's settings only margin type and leverage are changed, to what was configured, and
read back afterwards.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.money_list import MoneyList
from smartmoney.adapters.order_side import Answer
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.exchange_info import ExchangeInfoError, protection_missing
from smartmoney.venues.binance.order_news import read_balances
from smartmoney.venues.order_news import NewsError
from smartmoney.venues.outcomes import Outcome

CLOCK_OFFSET_MAX_MS = 5_000
"""What this machine's clock may be off; the offset itself is corrected, but one so large says that nobody keeps the clock."""
_PAYMENTS_MS = 60_000
_NO_CHANGE = frozenset({-4046, -4059})


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Say what keeps the door shut: which check, what is wrong, what to do. `is_passing`: it may be gone at the next try."""

    check: str
    problem: str
    remedy: str
    is_passing: bool = False

    def __str__(self) -> str:
        return f"{self.check}: {self.problem}; {self.remedy}"


class DoorClosed(Exception):
    """Say why live trading does not start. A service manager tries again only where the problem may pass by itself."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; also ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.exit_code = 1 if all(problem.is_passing for problem in problems) else 78


class DoorTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the configuration and the journal ask of the account.

    Units: quote currency; `largest_position` is the most that a signal may ask for.
    """

    capital: Decimal
    money_needed: Decimal
    largest_position: Decimal
    leverage: int


async def live_door(account: BinanceAccount, instruments: Sequence[Instrument], exchange_info: bytes, terms: DoorTerms) -> list[Problem]:
    """Return everything that keeps the door shut; empty means that orders may leave.

    Args:
        account: whose clock has been measured.
        instruments: what is going to be traded.
        exchange_info: the venue's own description of them.
        terms: what they are going to be traded with.
    """
    asked = [_key(account), _money(account, instruments[0].quote, terms)]
    if account.market is Market.USDM:
        asked += [_modes(account), *(_margin(account, instrument, terms.leverage) for instrument in instruments)]
    # Side by side: each question travels to the venue and back, and until they are answered nobody looks after what is held.
    key, *others = await asyncio.gather(*asked)
    found = (clock_problems(account.clock_offset_ms), key, _market(instruments, exchange_info, terms), *others)
    return [problem for problems in found for problem in problems]


def clock_problems(offset_ms: int | None) -> list[Problem]:
    """Judge how far this machine's clock is off the venue's, in ms; None: it was not measured."""
    if offset_ms is not None and abs(offset_ms) <= CLOCK_OFFSET_MAX_MS:
        return []
    said = "was not measured" if offset_ms is None else f"is {offset_ms / 1000:+.1f} s off the venue's"
    return [Problem(check="clock", problem=f"this machine's clock {said}", remedy="let it be kept by NTP (timedatectl set-ntp true)")]


async def _ask(account: BinanceAccount, call: calls.Call) -> Answer:
    """Ask out of what the budgets keep for protection: until the door is open nobody looks after what is held."""
    return await account.ask(msgspec.structs.replace(call, is_urgent=True))


async def _key(account: BinanceAccount) -> list[Problem]:
    answer = await _ask(account, calls.restrictions())
    if not answer.is_done:
        return [unanswered("key", "what the key may do could not be asked", answer)]
    return key_problems(answer.body, account.market)


def key_problems(may: Any, market: Market) -> list[Problem]:
    """Judge what Binance says that a key may do."""
    trade = "enableSpotAndMarginTrading" if market is Market.SPOT else "enableFutures"
    wrong = [
        (may.get("enableReading") is not True, "the key may not read the account", "enable reading for it"),
        (may.get(trade) is not True, f"the key may not trade here ({trade})", "enable trading in this market for it"),
        (may.get("enableWithdrawals") is not False, "the key may withdraw", "make one that cannot: trading needs no withdrawals"),
        (may.get("enableInternalTransfer") is True, "the key may transfer money away", "make one that cannot"),
        (may.get("permitsUniversalTransfer") is True, "the key may transfer money between wallets", "make one that cannot"),
        (may.get("ipRestrict") is not True, "the key may be used from any address", "restrict it to this machine's address"),
    ]
    return [Problem(check="key", problem=problem, remedy=remedy) for is_wrong, problem, remedy in wrong if is_wrong]


def _market(instruments: Sequence[Instrument], exchange_info: bytes, terms: DoorTerms) -> list[Problem]:
    problems = []
    try:
        missing = protection_missing(exchange_info, instruments)
    except ExchangeInfoError as failure:
        return [Problem(check="market", problem=str(failure), remedy="see whether endpoints.rest is the exchange", is_passing=True)]
    for name, what in missing.items():
        problems.append(Problem(check="market", problem=f"{name} cannot be protected there: no {what}", remedy="choose another instrument"))
    return problems + size_problems(instruments, terms)


def size_problems(instruments: Sequence[Instrument], terms: DoorTerms) -> list[Problem]:
    """Judge whether the largest position reaches each instrument's smallest order."""
    problems = []
    for instrument in instruments:
        if terms.largest_position < instrument.min_notional:
            size = (
                f"the largest position is {terms.largest_position:f} {instrument.quote}, and the smallest order {instrument.min_notional:f}"
            )
            problems.append(
                Problem(check="market", problem=f"{instrument.name}: {size}", remedy="raise capital or strategy.max_position_size")
            )
    return problems


async def _money(account: BinanceAccount, quote: str, terms: DoorTerms) -> list[Problem]:
    answer = await _ask(account, calls.wallet(account.market))
    if not answer.is_done:
        return [unanswered("money", "the balance could not be asked", answer)]
    try:
        has = _balance(account.market, answer.body, quote)
    except (NewsError, KeyError, ArithmeticError, TypeError) as failure:
        return [Problem(check="money", problem=f"the balance cannot be read ({failure})", remedy="try again", is_passing=True)]
    return money_problem(has, quote, terms)


def money_problem(has: Decimal, quote: str, terms: DoorTerms) -> list[Problem]:
    """Judge whether the money is there that the journal says should be."""
    if has >= terms.money_needed:
        return []
    needed = f"{terms.money_needed:f} of its capital of {terms.capital:f} {quote} should be there, and {has:f} is"
    return [Problem(check="money", problem=needed, remedy="lower `capital`, or put the money there")]


def _balance(market: Market, body: Any, quote: str) -> Decimal:
    if market is Market.SPOT:
        return next((one.quantity for one in read_balances(body) if one.name == quote), Decimal(0))
    return next((Decimal(one["balance"]) for one in body if one["asset"] == quote), Decimal(0))


async def _modes(account: BinanceAccount) -> list[Problem]:
    problems = []
    answers = await asyncio.gather(_ask(account, calls.position_mode()), _ask(account, calls.assets_mode()))
    what_for = (
        ("dualSidePosition", "hedge mode, where a reduce-only order cannot be sent"),
        ("multiAssetsMargin", "multi-assets mode, where a position cannot be isolated"),
    )
    for answer, (name, what) in zip(answers, what_for, strict=True):
        if not answer.is_done:
            problems.append(unanswered("margin", f"{name} could not be asked", answer))
        elif answer.body.get(name) is not False:
            problems.append(Problem(check="margin", problem=f"the account is in {what}", remedy="switch it off at the exchange"))
    return problems


async def _margin(account: BinanceAccount, instrument: Instrument, leverage: int) -> list[Problem]:
    """Set isolated margin and the leverage, and believe only what is read back."""
    for call in (calls.set_isolated(instrument), calls.set_leverage(instrument, leverage)):
        answer = await _ask(account, call)
        if answer.outcome is not Outcome.DONE and answer.code not in _NO_CHANGE:
            break
    found = await _ask(account, calls.symbol_settings(instrument))
    if not found.is_done:
        return [unanswered("margin", f"{instrument.name}: margin type and leverage could not be asked", found)]
    row: dict[str, Any] = next((one for one in found.body if one.get("symbol") == instrument.symbol), {})
    if str(row.get("marginType", "")).upper() == "ISOLATED" and row.get("leverage") == leverage:
        return []
    is_now = f"{row.get('marginType')} margin, leverage {row.get('leverage')}"
    remedy = f"close what stands there, set isolated margin and leverage {leverage} (the venue says: {answer.why()})"
    return [Problem(check="margin", problem=f"{instrument.name} has {is_now}", remedy=remedy)]


async def payments_problems(money: MoneyList | None) -> list[Problem]:
    """Judge whether the key may read what is paid without a trade, funding above all: drawdown and the day's loss hold it.

    It is asked for as it will be; what a key's description says of it proves less.
    """
    if money is None:
        return []
    now_ms = money.venue_ms()
    try:
        listed = await money.incomes(money.booked[0], now_ms - _PAYMENTS_MS, now_ms, is_urgent=True)
    except NewsError as failure:
        said = f"the list of payments cannot be read ({failure})"
        return [Problem(check="payments", problem=said, remedy="see whether the exchange has changed its answers")]
    answer = listed.answer
    if answer.is_done:
        return []
    if answer.outcome in {Outcome.KEY, Outcome.REFUSED}:
        said = f"the key may not read payments, so that funding would be in no equity and no drawdown (the venue says: {answer.why()})"
        return [Problem(check="payments", problem=said, remedy=money.permission)]
    return [unanswered("payments", "the list of payments could not be asked", answer)]


def unanswered(check: str, what: str, answer: Answer) -> Problem:
    """Say that a check could not be made."""
    remedy = "check key, secret, permissions and address at the exchange" if answer.outcome is Outcome.KEY else "try again"
    return Problem(check=check, problem=f"{what} ({answer.why()})", remedy=remedy, is_passing=answer.outcome is not Outcome.KEY)
