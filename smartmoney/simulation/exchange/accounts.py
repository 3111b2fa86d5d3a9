"""Name the accounts of a venue: keys, permissions, fees, opening balances. An account is an owner in the books, 192 to 255."""

from decimal import Decimal

import msgspec

from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.ladder import FIRST_CLIENT

ACCOUNTS_MAX = 64
_SECOND_NS = 1_000_000_000


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """Be an account's commission rates, as fractions of what is traded."""

    spot_maker: Decimal = Decimal("0.001")
    spot_taker: Decimal = Decimal("0.001")
    usdm_maker: Decimal = Decimal("0.0002")
    usdm_taker: Decimal = Decimal("0.0005")


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a key may do. `addresses` limits from where it may be used; empty means from anywhere."""

    read: bool = True
    trade: bool = True
    withdraw: bool = False
    addresses: tuple[str, ...] = ()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """Be one key of an account."""

    key: str
    secret: str
    permissions: Permissions = Permissions()


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Describe an account at its opening: names are unique, balances are by asset."""

    name: str
    keys: tuple[ApiKey, ...]
    spot: dict[str, Decimal] = {}
    usdm: dict[str, Decimal] = {}
    fees: Fees = Fees()


class OrderRate:
    """Count an account's new orders in a venue's windows and refuse above the limit."""

    def __init__(self, windows: tuple[tuple[str, int, int, int], ...]) -> None:
        self.windows = windows
        self._counts = [0] * len(windows)
        self._started = [-1] * len(windows)

    def charge(self, now_ns: int, orders: int = 1) -> None:
        """Count new orders.

        Raises:
            Refusal: a window is full (-1015); nothing is counted.
        """
        counts = self.counts(now_ns)
        for (interval, number, _, limit), count in zip(self.windows, counts, strict=True):
            if count + orders > limit:
                message = f"Too many new orders; current limit is {limit} orders per {number} {interval}."
                raise Refusal(-1015, message, 429)
        self._counts = [count + orders for count in counts]

    def counts(self, now_ns: int) -> list[int]:
        """Return the orders of each window that is running now."""
        for place, (_, _, seconds, _) in enumerate(self.windows):
            window = now_ns // (seconds * _SECOND_NS)
            if window != self._started[place]:
                self._started[place], self._counts[place] = window, 0
        return list(self._counts)


SPOT_WINDOWS = (("SECOND", 10, 10, 100), ("DAY", 1, 86_400, 200_000))
USDM_WINDOWS = (("SECOND", 10, 10, 300), ("MINUTE", 1, 60, 1_200))
"""(interval, how many, seconds, limit) of the order counters; the same numbers stand in exchangeInfo."""


class Account:
    """Be one account while the venue runs."""

    def __init__(self, owner: int, spec: AccountSpec) -> None:
        self.owner = owner
        self.spec = spec
        self.fees = spec.fees
        self.spot_rate = OrderRate(SPOT_WINDOWS)
        self.usdm_rate = OrderRate(USDM_WINDOWS)
        self.locked: dict[str, Decimal] = {}
        self.updated_ns = 0
        self.opened_ns = 0


class Accounts:
    """Find accounts by key, name and owner."""

    def __init__(self, specs: tuple[AccountSpec, ...]) -> None:
        if len(specs) > ACCOUNTS_MAX:
            raise ValueError(f"accounts: {len(specs)} are too many; at most {ACCOUNTS_MAX} can trade in one market")
        self.all = [Account(int(FIRST_CLIENT) + place, spec) for place, spec in enumerate(specs)]
        self._by_key: dict[str, tuple[Account, ApiKey]] = {}
        names: set[str] = set()
        for account in self.all:
            if account.spec.name in names:
                raise ValueError(f"accounts: the name {account.spec.name} is used twice; choose another")
            names.add(account.spec.name)
            for key in account.spec.keys:
                if key.key in self._by_key:
                    raise ValueError(f"accounts: {account.spec.name} has a key that another account has too; keys are unique")
                self._by_key[key.key] = (account, key)

    def of_key(self, key: str) -> tuple[Account, ApiKey] | None:
        """Return the account of an API key that is in force."""
        return self._by_key.get(key)

    def revoke(self, key: str) -> bool:
        """Take a key out of force and tell whether it was."""
        return self._by_key.pop(key, None) is not None

    def named(self, name: str) -> Account | None:
        """Return the account of a name."""
        return next((account for account in self.all if account.spec.name == name), None)

    def of_owner(self, owner: int) -> Account:
        """Return the account of an owner in the books."""
        return self.all[owner - int(FIRST_CLIENT)]
