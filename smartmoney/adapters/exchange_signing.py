"""Check that a private request is who it says, when it says: Binance's HMAC-SHA256 signatures, to the letter.

What is signed is the query string followed, without separator, by the body, both as sent and without `signature`. Sources:
binance-spot-api-docs, rest-api.md "Request security" and web-socket-api.md "Request security" (2026-07).
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from smartmoney.simulation.exchange.accounts import Account, Accounts, Permissions
from smartmoney.simulation.exchange.refusals import Refusal, mandatory

_MS = 1_000_000
_KEY = re.compile(r"[A-Za-z0-9]{1,64}")
_WINDOW_MS = 5_000
_WINDOW_MAX_MS = 60_000
_MICROSECONDS_FROM = 10**14
_OWN = frozenset({"signature", "timestamp", "recvWindow", "apiKey"})

MAY: dict[str, Callable[[Permissions], bool]] = {
    "TRADE": lambda p: p.trade,
    "USER_DATA": lambda p: p.read,
    "USER_STREAM": lambda p: p.read,
}
"""Which permission a security type asks for."""


class Parameters:
    """Read a request's parameters and remember which were asked for."""

    def __init__(self, values: Mapping[str, str], permissions: Permissions) -> None:
        self.permissions = permissions
        self._values = {name: value for name, value in values.items() if name not in _OWN}
        self._read: set[str] = set()

    def text(self, name: str) -> str:
        """Return a parameter, or an empty text."""
        self._read.add(name)
        return self._values.get(name, "")

    def has(self, name: str) -> bool:
        """Tell whether a parameter was sent."""
        self._read.add(name)
        return name in self._values

    def needed(self, name: str) -> str:
        """Return a parameter that must be there.

        Raises:
            Refusal: it is not (-1102).
        """
        value = self.text(name)
        if not value:
            raise mandatory(name)
        return value

    def whole(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number, or the default.

        Raises:
            Refusal: it is none (-1100).
        """
        value = self.text(name)
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or len(value) > 19:
            raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a yes-or-no parameter.

        Raises:
            Refusal: it is neither (-1102).
        """
        value = self.text(name).lower()
        if value not in {"", "true", "false"}:
            raise mandatory(name)
        return value == "true"

    def choice(self, name: str, allowed: tuple[str, ...], refusal: tuple[int, str], default: str = "") -> str:
        """Return one of some words, or the default if it was not sent.

        Raises:
            Refusal: it is another word, or it is missing and has no default.
        """
        value = self.text(name) or default
        if not value:
            raise mandatory(name)
        if value not in allowed:
            raise Refusal(*refusal)
        return value

    def refuse_unread(self) -> None:
        """Refuse a request with parameters that nothing read (-1104), as spot does."""
        if set(self._values) - self._read:
            own = len(_OWN) - 1
            sent, read = len(self._values) + own - 1, len(set(self._values) & self._read) + own - 1
            raise Refusal(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def fields_of(query: str, body: str) -> dict[str, str]:
    """Return the parameters of query and body; the query's count where both have one.

    Raises:
        Refusal: a name is sent twice in one of them (-1101).
    """
    found: dict[str, str] = {}
    for text in (body, query):
        pairs = parse_qsl(text, keep_blank_values=True)
        if len({name for name, _ in pairs}) < len(pairs):
            raise Refusal(-1101, "Duplicate values for a parameter detected.")
        found.update(pairs)
    return found


def signed_text(query: str, body: str) -> str:
    """Return what a REST request's signature covers."""
    return "".join("&".join(part for part in text.split("&") if not part.startswith("signature=")) for text in (query, body))


def signed_params(params: Mapping[str, str]) -> str:
    """Return what a WebSocket API request's signature covers: its parameters in the order of their names."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def identify(accounts: Accounts, key: str, address: str, security: str) -> tuple[Account, Permissions]:
    """Return the account and the permissions of a key that may do what is asked, from where it is asked.

    Raises:
        Refusal: -2014 or -2015, with status 401.
    """
    if not _KEY.fullmatch(key):
        raise Refusal(-2014, "API-key format invalid.", 401)
    found = accounts.of_key(key)
    if found is None or not MAY[security](found[1].permissions):
        raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    if found[1].permissions.addresses and address not in found[1].permissions.addresses:
        raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return found[0], found[1].permissions


def check_signature(accounts: Accounts, key: str, signed: str, fields: Mapping[str, str], now_ns: int) -> None:
    """Refuse a request that is not signed with a key's secret, or not from now.

    Raises:
        Refusal: -1102, -1131, -1021 or -1022.
    """
    check_time(fields, now_ns)
    if not fields.get("signature"):
        raise mandatory("signature")
    found = accounts.of_key(key)
    secret = found[1].secret if found is not None else ""
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, fields["signature"].lower()):
        raise Refusal(-1022, "Signature for this request is not valid.")


def check_time(fields: Mapping[str, str], now_ns: int) -> None:
    """Refuse a request without a timestamp, or outside its window of time."""
    text = fields.get("timestamp", "")
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise mandatory("timestamp")
    number = int(text)
    timestamp_us = number if number >= _MICROSECONDS_FROM else number * 1000
    window_us = int(_window_ms(fields) * 1000)
    now_us = now_ns // 1000
    if timestamp_us >= now_us + 1_000_000:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_us - timestamp_us > window_us:
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")


def _window_ms(fields: Mapping[str, str]) -> float:
    text = fields.get("recvWindow", "") or str(_WINDOW_MS)
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,3})?", text):
        raise mandatory("recvWindow")
    window = float(text)
    if window > _WINDOW_MAX_MS:
        raise Refusal(-1131, "recvWindow must be less than 60000.")
    return window
