"""Keep every asset of everybody by double entry: each movement has a source and a target, so the sum over all holders is always zero.

Holders are texts: `spot:<owner>` and `usdm:<owner>` are accounts' wallets; `market` is everyone inside the simulation, `fees` the venue's
income, `insurance` its fund, `outside` the world that deposits come from. Amounts are exact decimals of 8 places.
"""

from decimal import ROUND_DOWN, Decimal

ZERO = Decimal(0)
ATOM = Decimal("0.00000001")

MARKET, FEES, INSURANCE, OUTSIDE = "market", "fees", "insurance", "outside"


def spot_wallet(owner: int) -> str:
    """Return the holder's name of an account's spot wallet."""
    return f"spot:{owner}"


def usdm_wallet(owner: int) -> str:
    """Return the holder's name of an account's USD-M wallet."""
    return f"usdm:{owner}"


def truncated(amount: Decimal) -> Decimal:
    """Return an amount cut to 8 places, toward zero."""
    return amount.quantize(ATOM, rounding=ROUND_DOWN)


class Ledger:
    """Hold balances by holder and asset. Every trade is applied once per holder (`claim`)."""

    def __init__(self) -> None:
        self._balances: dict[tuple[str, str], Decimal] = {}
        self._last_trade: dict[tuple[str, str], int] = {}

    def move(self, asset: str, amount: Decimal, *, source: str, target: str) -> None:
        """Move an amount, negative the other way round."""
        self._balances[source, asset] = self.balance(source, asset) - amount
        self._balances[target, asset] = self.balance(target, asset) + amount

    def claim(self, holder: str, symbol: str, trade_id: int) -> bool:
        """Tell whether a holder's trade is new, and remember it; a symbol's trade ids only rise, and nobody trades with himself."""
        if trade_id <= self._last_trade.get((holder, symbol), -1):
            return False
        self._last_trade[holder, symbol] = trade_id
        return True

    def balance(self, holder: str, asset: str) -> Decimal:
        """Return what a holder has of an asset; only `market`, `insurance` and `outside` may be in debt."""
        return self._balances.get((holder, asset), ZERO)

    def assets_of(self, holder: str) -> list[str]:
        """Return the assets that a holder ever had."""
        return [asset for (owner, asset) in self._balances if owner == holder]

    def totals(self) -> dict[str, Decimal]:
        """Return the sum over all holders of each asset: zero, always."""
        sums: dict[str, Decimal] = {}
        for (_, asset), amount in self._balances.items():
            sums[asset] = sums.get(asset, ZERO) + amount
        return sums

    def balances(self) -> dict[str, dict[str, Decimal]]:
        """Return every holder's balances."""
        found: dict[str, dict[str, Decimal]] = {}
        for (holder, asset), amount in self._balances.items():
            found.setdefault(holder, {})[asset] = amount
        return found
