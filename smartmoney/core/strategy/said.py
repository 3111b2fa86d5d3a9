"""What a strategy said, checked and copied: nothing that a user's code returns is trusted or kept by reference.

Invariants: the copy's numbers are finite floats and its metadata is plain (text, numbers, truth values, lists and mappings of them), so
that the journal takes it and two runs write the same bytes.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.signals import Signal, SignalType

_TEXT_MAX = 500
_ITEMS_MAX = 64
_DEPTH_MAX = 3
_INTEGER_MAX = 2**63


class UnusableSignalError(ValueError):
    """Report what is wrong with a signal that a strategy returned."""


def strongest(said: Any, instrument: Instrument) -> Signal | None:
    """Return a checked copy of the most confident signal in a strategy's answer, the first among equals; None when it gave none.

    Raises:
        UnusableSignalError: the answer is not a list of usable signals for this instrument.
    """
    if said is None:
        return None
    if not isinstance(said, (list, tuple)):
        raise UnusableSignalError(f"generate_signals must return a list of signals, not {type(said).__name__}")
    signals = [_checked(signal, instrument) for signal in said[:_ITEMS_MAX]]
    return max(signals, key=lambda signal: signal.confidence, default=None)


def _checked(signal: Any, instrument: Instrument) -> Signal:
    if not isinstance(signal, Signal):
        raise UnusableSignalError(f"a signal must be a smartmoney Signal, not {type(signal).__name__}")
    if not isinstance(signal.signal_type, SignalType):
        raise UnusableSignalError(f"signal_type must be a SignalType, not {signal.signal_type!r:.60}")
    if signal.symbol not in {instrument.name, instrument.symbol}:
        raise UnusableSignalError(f"symbol must be {instrument.name}, not {signal.symbol!r:.60}")
    number = {name: _number(name, getattr(signal, name)) for name in ("price", "quantity", "confidence", "stop_loss", "take_profit")}
    if not 0.0 < number["quantity"] <= 1.0:
        raise UnusableSignalError(f"quantity must be a fraction of equity in (0, 1], not {number['quantity']:g}")
    if not 0.0 <= number["confidence"] <= 1.0:
        raise UnusableSignalError(f"confidence must lie in [0, 1], not {number['confidence']:g}")
    below, above = number["stop_loss"], number["take_profit"]
    if signal.signal_type is SignalType.SELL:
        below, above = above, below
    if not 0.0 < below < number["price"] < above:
        raise UnusableSignalError("stop_loss and take_profit must lie on their sides of price")
    return Signal(
        signal_type=signal.signal_type,
        symbol=instrument.name,
        price=number["price"],
        quantity=number["quantity"],
        confidence=number["confidence"],
        stop_loss=number["stop_loss"],
        take_profit=number["take_profit"],
        metadata=_plain_mapping(signal.metadata, 0),
    )


def _number(name: str, value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value  # most are: the question below is twenty times dearer
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UnusableSignalError(f"{name} must be a finite number, not {value!r:.60}")
    return float(value)


def _plain_mapping(value: Any, depth: int) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnusableSignalError(f"metadata must be a mapping, not {type(value).__name__}")
    return {str(key)[:_TEXT_MAX]: _plain(item, depth + 1) for key, item in list(value.items())[:_ITEMS_MAX]}


def _plain(value: Any, depth: int) -> Any:
    if value is None or type(value) is float or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)[:_TEXT_MAX]
    if isinstance(value, int) and abs(value) < _INTEGER_MAX:
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if depth < _DEPTH_MAX and isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value[:_ITEMS_MAX]]
    # Anything else is named, not printed: a repr may hold an address, and then no two runs would agree.
    return f"<{type(value).__name__}>"
