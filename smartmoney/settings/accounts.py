"""Read the accounts of the built-in exchange from a YAML or JSON file; an unknown key is an error.

The secrets in such a file open nothing but a made-up market. They are never shown in a message.
"""

from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from smartmoney.settings.advanced import Section
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.sources import read_yaml
from smartmoney.simulation.exchange.accounts import ACCOUNTS_MAX, AccountSpec, ApiKey, Fees, Permissions

_BPS = Decimal(10_000)
Amount = Annotated[Decimal, Field(ge=0, le=Decimal(10) ** 12, decimal_places=8)]
Asset = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
Rate = Annotated[Decimal, Field(ge=0, le=1000)]


class KeyEntry(Section):
    """One API key and what it may do."""

    key: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    """The key, letters and digits."""
    secret: str = Field(min_length=1, max_length=256)
    """What its requests are signed with."""
    read: bool = True
    """May ask for balances, orders and trades, and listen to them."""
    trade: bool = True
    """May place and cancel orders."""
    withdraw: bool = False
    """Says that it may withdraw; nothing can be withdrawn through it."""
    addresses: list[str] = Field(default_factory=list, max_length=30)
    """Addresses that it may be used from; empty: any."""


class FeeEntry(Section):
    """Commission rates in bps of what is traded."""

    spot_maker_bps: Rate = Decimal(10)
    """Spot orders that rested."""
    spot_taker_bps: Rate = Decimal(10)
    """Spot orders that met the book at once."""
    usdm_maker_bps: Rate = Decimal(2)
    """USD-M orders that rested."""
    usdm_taker_bps: Rate = Decimal(5)
    """USD-M orders that met the book at once."""


class AccountEntry(Section):
    """One account."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """What it is called in the exchange's own ledger."""
    keys: list[KeyEntry] = Field(min_length=1, max_length=30)
    """Its API keys."""
    spot: dict[Asset, Amount] = Field(default_factory=dict)
    """Spot balances at the opening, by asset."""
    usdm: dict[Asset, Amount] = Field(default_factory=dict)
    """USD-M wallet at the opening; USDT is what margins are made of."""
    fees: FeeEntry = Field(default_factory=FeeEntry)
    """Its commission rates."""


class _File(Section):
    accounts: list[AccountEntry] = Field(min_length=1, max_length=ACCOUNTS_MAX)


def load_accounts(path: Path) -> tuple[AccountSpec, ...]:
    """Return the accounts in a file.

    Raises:
        ConfigurationError: anything at all is wrong, with the key and what to do; secrets are not part of the message.
    """
    try:
        file = _File.model_validate(read_yaml(path, "accounts"))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "accounts"
        raise ConfigurationError(where, str(first["msg"]), f"correct it in {path}; docs/exchange.md shows an account") from None
    names = [entry.name for entry in file.accounts]
    keys = [key.key for entry in file.accounts for key in entry.keys]
    if len(set(names)) < len(names):
        raise ConfigurationError("accounts.name", "a name is used twice", "give each account a name of its own")
    if len(set(keys)) < len(keys):
        raise ConfigurationError("accounts.keys.key", "a key is used twice", "give each key to one account")
    return tuple(_spec(entry) for entry in file.accounts)


def demo_account(seed: int) -> AccountSpec:
    """Return the account that an exchange has when nobody names others; its keys follow from the seed."""

    def word(what: str) -> str:
        return sha256(f"smartmoney demo {what} {seed}".encode()).hexdigest()

    balances = {"USDT": Decimal(100_000), "BTC": Decimal(1), "ETH": Decimal(20)}
    keys = (ApiKey(key=word("key"), secret=word("secret")),)
    return AccountSpec(name="demo", keys=keys, spot=balances, usdm={"USDT": Decimal(100_000)})


def _spec(entry: AccountEntry) -> AccountSpec:
    fees = entry.fees
    return AccountSpec(
        name=entry.name,
        keys=tuple(
            ApiKey(
                key=key.key,
                secret=key.secret,
                permissions=Permissions(read=key.read, trade=key.trade, withdraw=key.withdraw, addresses=tuple(key.addresses)),
            )
            for key in entry.keys
        ),
        spot=dict(entry.spot),
        usdm=dict(entry.usdm),
        fees=Fees(
            spot_maker=fees.spot_maker_bps / _BPS,
            spot_taker=fees.spot_taker_bps / _BPS,
            usdm_maker=fees.usdm_maker_bps / _BPS,
            usdm_taker=fees.usdm_taker_bps / _BPS,
        ),
    )
