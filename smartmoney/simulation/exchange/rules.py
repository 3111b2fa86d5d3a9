"""Check an order against an instrument's filters, as published in exchangeInfo, with the venue's own codes and words.

Sources: binance-spot-api-docs, filters.md (2026-07); USD-M "Common Definition: filters" and error codes (2026-07).
"""

from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.simulation.exchange.refusals import Refusal, filter_failure, mandatory, too_precise

_MAX_DECIMALS = 8


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Be what an instrument's filters say. Multipliers are of the reference price; counts are per account and symbol."""

    instrument: Instrument
    max_price: Decimal
    max_market_lots: int
    max_notional: Decimal = Decimal(0)
    price_up: Decimal = Decimal(5)
    price_down: Decimal = Decimal("0.2")
    max_orders: int = 200
    max_algo_orders: int = 5
    max_lists: int = 20
    iceberg_parts: int = 100
    market_take_bound: Decimal = Decimal("0.05")
    is_trading: bool = True

    @property
    def is_spot(self) -> bool:
        """Tell which market's words are used."""
        return self.instrument.market is Market.SPOT


def price_ticks(rules: Rules, name: str, text: str) -> int:
    """Return the ticks of a price as sent.

    Raises:
        Refusal: it is no positive number (-1102, -4001), off the grid (-1013, -4014), too precise (-1111) or too high.
    """
    value = decimal_of(name, text)
    tick = rules.instrument.tick_size
    if value <= 0:
        raise filter_failure("PRICE_FILTER") if rules.is_spot else Refusal(-4001, "Price less than 0.")
    if decimals_of(value) > (_MAX_DECIMALS if rules.is_spot else max(2, decimals_of(tick))):
        raise too_precise(name, is_spot=rules.is_spot)
    if value > rules.max_price:
        raise filter_failure("PRICE_FILTER") if rules.is_spot else Refusal(-4002, "Price greater than max price.")
    if value % tick:
        raise filter_failure("PRICE_FILTER") if rules.is_spot else Refusal(-4014, "Price not increased by tick size.")
    return int(value / tick)


def quantity_lots(rules: Rules, name: str, text: str, *, at_market: bool) -> int:
    """Return the lots of a quantity as sent.

    Raises:
        Refusal: it is no positive number, off the grid, too precise, too small or too large.
    """
    value = decimal_of(name, text)
    lot = rules.instrument.lot_size
    if value <= 0:
        raise filter_failure("LOT_SIZE") if rules.is_spot else Refusal(-4003, "Quantity less than or equal to zero.")
    if decimals_of(value) > (_MAX_DECIMALS if rules.is_spot else decimals_of(lot)):
        raise too_precise(name, is_spot=rules.is_spot)
    if value % lot:
        raise filter_failure("LOT_SIZE") if rules.is_spot else Refusal(-4023, "Quantity not increased by step size.")
    lots = int(value / lot)
    if lots < rules.instrument.min_lots:
        raise filter_failure("LOT_SIZE") if rules.is_spot else Refusal(-4003, "Quantity less than or equal to zero.")
    if lots > rules.instrument.max_lots:
        raise filter_failure("LOT_SIZE") if rules.is_spot else Refusal(-4005, "Quantity greater than max quantity.")
    if at_market and lots > rules.max_market_lots:
        raise filter_failure("MARKET_LOT_SIZE") if rules.is_spot else Refusal(-4005, "Quantity greater than max quantity.")
    return lots


def check_spot_price(rules: Rules, tick: int, reference: Decimal) -> None:
    """Refuse a spot price that is too far from the average price (PERCENT_PRICE_BY_SIDE)."""
    price = rules.instrument.price(tick)
    if not reference * rules.price_down <= price <= reference * rules.price_up:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def check_usdm_price(rules: Rules, tick: int, mark: Decimal, *, is_buy: bool) -> None:
    """Refuse a USD-M limit price on the far side of the mark price's band (PERCENT_PRICE)."""
    price = rules.instrument.price(tick)
    high, low = mark * rules.price_up, mark * rules.price_down
    if is_buy and price > high:
        raise Refusal(-4016, f"Limit price can't be higher than {on_grid(rules, high)}.")
    if not is_buy and price < low:
        raise Refusal(-4024, f"Limit price can't be lower than {on_grid(rules, low)}.")


def check_notional(rules: Rules, notional: Decimal, *, may_be_small: bool = False) -> None:
    """Refuse an order that is worth too little, or, on spot, too much."""
    if rules.is_spot:
        if notional < rules.instrument.min_notional or (rules.max_notional and notional > rules.max_notional):
            raise filter_failure("NOTIONAL")
    elif notional < rules.instrument.min_notional and not may_be_small:
        least = f"{rules.instrument.min_notional.normalize():f}"
        raise Refusal(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")


def decimal_of(name: str, text: str) -> Decimal:
    """Return a number as sent.

    Raises:
        Refusal: it is no plain decimal number (-1102 if empty, -1100 otherwise).
    """
    if not text:
        raise mandatory(name)
    whole, _, fraction = text.removeprefix("-").partition(".")
    digits = whole + fraction
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20 or not whole:
        pattern = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")
    return Decimal(text)


def decimals_of(value: Decimal) -> int:
    """Return how many decimals a number needs."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def on_grid(rules: Rules, price: Decimal) -> Decimal:
    """Return a price cut to the grid, for a message."""
    return price // rules.instrument.tick_size * rules.instrument.tick_size
