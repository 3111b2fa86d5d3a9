"""What is peculiar to each venue that is traded at through ccxt, as one row of data a venue: ids, forms of orders, codes, limits. Pure.

A venue that has no row is not traded live: ccxt would send the order, but nobody has said what its answers prove, where its stops live and
what its client ids may be. Codes are the venue's own, because ccxt's exception classes lose them: a Bybit time-out comes as InvalidOrder, a
duplicate client id at no venue as DuplicateOrderId, a full HTTP 200 hides refusals per order.

Invariants: a code stands in one set of its row only; what stands in none proves nothing unless it lies in a range of refusals; a client id
goes to the venue and comes back unchanged. Sources: bybit-exchange/docs (2026-07-24) order, error and user pages; okx.com docs-v5, trade,
algo trading and error pages (2026-07); binance-spot-api-docs errors.md (2026-07).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.venues.outcomes import Outcome

_OURS_IN_PARTS = re.compile(r"(.+)-(\d+)-(\d+)")
_DASHLESS = "Z"
"""Stands for the two dashes of our ids where a venue takes letters and digits only. Sequence and index are digits, so it is unambiguous."""


class Codes(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a venue's codes prove. `refused` are ranges of codes that say no; `words` tell one code's meanings apart by its text."""

    doubtful: frozenset[int] = frozenset()
    limited: frozenset[int] = frozenset()
    key: frozenset[int] = frozenset()
    clock: frozenset[int] = frozenset()
    not_found: frozenset[int] = frozenset()
    funds: frozenset[int] = frozenset()
    duplicate: frozenset[int] = frozenset()
    refused: tuple[tuple[int, int], ...] = ()
    words: tuple[tuple[int, str, Outcome], ...] = ()


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Say where an answer holds its code and text, and, of an answer about several orders, where each order's own are."""

    code: str
    text: str
    row_code: str = ""
    row_text: str = ""
    is_negative: bool = False
    """Only codes below zero are faults (Binance)."""


class MarketTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a venue's market asks for. `kinds` are ccxt's for `fetchMarkets`, `type` its default type.

    `stop_params` and `plain_params` go with a conditional and a plain order; `stops_apart`: conditional orders are listed, asked for and
    cancelled by calls of their own, with `apart_params`, and the order that they send has another identifier.
    `stop_price_param` is ccxt's name for a stop's trigger, `stop_cancel_params` go with the cancel of one that is not apart.
    `category` is the venue's word for this market in what it says of orders and trades of all of them; empty: it says none.
    """

    type: str
    kinds: tuple[str, ...]
    has_pairs: bool = False
    has_reduce_only: bool = True
    stops_apart: bool = False
    plain_params: Mapping[str, Any] = {}
    stop_params: Mapping[str, Any] = {}
    stop_price_param: str = "stopLossPrice"
    stop_cancel_params: Mapping[str, Any] = {}
    category: str = ""
    trade_kinds: tuple[Mapping[str, Any], ...] = ({},)
    """The venue lists trades of these kinds by separate calls; liquidations are trades too."""
    apart_params: Mapping[str, Any] = {}
    apart_list_params: Mapping[str, Any] = {}
    attach: Callable[[str, str], Mapping[str, Any]] | None = None
    """Returns what an entry says beside to carry a stop: of its trigger price and its name at the venue. None where entries carry none."""
    names_attached: bool = True
    """The stop that an entry carried has the name that was given to it; else the venue knows it by its own number only."""
    orders_max: int = 10
    """Orders within `orders_window_s` that the venue takes."""
    orders_window_s: float = 1.0


class VenueTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Be one venue's row.

    `client_id` is the whole alphabet and length of an id; `id_param` the name under which create, cancel and query take it, `stop_id_param`
    another one that stops apart want as well. `find_by`: calls that look for an order by our id, each tried until one knows it.
    """

    venue: str
    markets: Mapping[Market, MarketTerms]
    spot_refusal: str = ""
    codes: Codes
    faults: Faults
    client_id: re.Pattern[str]
    has_dashes: bool = True
    id_param: str = "clientOrderId"
    find_param: str = "clientOrderId"
    stop_id_param: str = ""
    find_by: tuple[str, ...] = ("fetch_order",)
    order_param: str = "orderId"
    """Names the venue's own identifier when an order's trades are asked for."""
    list_max: int = 50
    trades_max: int = 100
    next_page: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]] | None = None
    """Returns what to ask with for the rows after a page, of ccxt's rows; empty: none. None: it has no pages."""
    has_short_pages: bool = False
    """A page that is not full may be followed by another: only `next_page` tells the end."""
    trades_window_ms: int = 86_400_000
    requests_per_minute: int = 1_200
    limited_s: float = 1.0
    """How long to be quiet after a refusal for the rate, where the venue names no time."""
    forbidden_s: float = 0.0
    """How long to be quiet after HTTP 403, where that is a venue's word for too much."""
    reset_header: str = ""
    """Names the venue's time in ms at which it takes requests again."""
    deadline_header: str = ""
    """Names the header that makes an order void after a time, in ms of the venue's clock, where the signature has no window."""
    options: Mapping[str, Any] = {}
    signed_fee: str = ""
    """Names the raw field of a streamed trade whose fee is negative where it was paid, which ccxt hands on as it is."""
    paid_as: Mapping[str, str] = {}
    """The stream tells payments as executions of these types, which are no trades; the list of incomes has them under these kinds."""
    needs_passphrase: bool = False
    watches_apart: bool = False
    """Orders apart come on a stream of their own."""
    is_for_rehearsal: bool = False
    """Traded natively with money; through ccxt only against an exchange on this machine."""
    account_calls: tuple[str, ...] = ()
    """The implicit calls that say what the key may do and how the account is set up (`runtime.ccxt_door`)."""

    def to_wire(self, client_id: str) -> str:
        """Return one of our client ids as the venue takes it.

        Raises:
            ValueError: it cannot be a client id there.
        """
        parts = None if self.has_dashes else _OURS_IN_PARTS.fullmatch(client_id)
        wire = client_id if parts is None else _DASHLESS.join(parts.groups())
        if not self.client_id.fullmatch(wire):
            raise ValueError(f"{client_id!r} cannot be a client order id at {self.venue}")
        return wire

    def from_wire(self, client_id: str) -> str:
        """Return a client id of the venue in our own form, as it is where it is none of ours."""
        parts = None if self.has_dashes else re.fullmatch(f"(sm.+){_DASHLESS}(\\d+){_DASHLESS}(\\d+)", client_id)
        return client_id if parts is None else "-".join(parts.groups())


def read_fault(faults: Faults, body: object) -> tuple[int, str] | None:
    """Return code and text of an answer that says no, None of one that does not. An order's own code goes before its list's.

    It goes before a list's success, too: ccxt calls such an order rejected whatever its code, a duplicate's for one.
    """
    if not isinstance(body, dict):
        return None
    rows = body.get("data")
    for row in rows if faults.row_code and isinstance(rows, list) else ():
        own = _code(row.get(faults.row_code)) if isinstance(row, dict) else None
        if own:
            return own, str(row.get(faults.row_text, ""))
    code = _code(body.get(faults.code))
    if code is None or code == 0 or (faults.is_negative and code > 0):
        return None
    return code, str(body.get(faults.text, ""))


def is_answer(faults: Faults, body: object) -> bool:
    """Tell whether a body is the venue's own: one that names its code, where the venue always does. A firewall's page is none."""
    return isinstance(body, dict) and faults.code in body if not faults.is_negative else isinstance(body, dict | list)


def classify(terms: VenueTerms, status: int, code: int, message: str) -> Outcome:
    """Return what an answer proves.

    Args:
        terms: whose answer it is.
        status: of HTTP; 0 where no answer came.
        code: the venue's own; 0 where it gave none.
        message: the venue's own words.
    """
    codes = terms.codes
    if 200 <= status < 300 and code == 0:
        return Outcome.DONE
    for known, word, outcome in codes.words:
        if code == known and word in message.lower():
            return outcome
    for held, outcome in (
        (codes.limited, Outcome.LIMITED),
        (codes.doubtful, Outcome.UNKNOWN),
        (codes.key, Outcome.KEY),
        (codes.clock, Outcome.CLOCK),
        (codes.not_found, Outcome.NOT_FOUND),
        (codes.funds, Outcome.FUNDS),
        (codes.duplicate, Outcome.DUPLICATE),
    ):
        if code in held:
            return outcome
    if status in {418, 429}:
        return Outcome.LIMITED
    if status == 0 or status >= 500 or status == 403:
        return Outcome.UNKNOWN
    if any(first <= code <= last for first, last in codes.refused):
        return Outcome.REFUSED
    return Outcome.KEY if status == 401 else Outcome.UNKNOWN


def _code(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _attach_to_position(price: str, _name: str) -> dict[str, Any]:
    """Return Bybit's words: a stop for the whole position (Full), which it resizes, and withdraws with the position."""
    return {"stopLoss": {"triggerPrice": price}, "slTriggerBy": "LastPrice", "slOrderType": "Market", "tpslMode": "Full"}


def _attach_to_order(price: str, name: str) -> dict[str, Any]:
    """Return OKX's words: an algo order under a name of ours, made when the entry has ended (since 2026-07-01 also a cut one)."""
    stop = {"attachAlgoClOrdId": name, "slTriggerPx": price, "slOrdPx": "-1", "slTriggerPxType": "last"}
    return {"attachAlgoOrds": [stop]}


def _after_cursor(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return Bybit's cursor, which ccxt lays into one of the rows."""
    cursors = (str((row.get("info") or {}).get("nextPageCursor") or "") for row in rows)
    cursor = next(filter(None, cursors), "")
    return {"cursor": cursor} if cursor else {}


def _after_oldest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return OKX's words for what is older than a page: numbers grow, trades are numbered by their bills. Raises: ValueError, TypeError."""
    numbers = (int((row.get("info") or {}).get("billId") or row["id"]) for row in rows)
    return {"after": str(min(numbers))}


_BYBIT = VenueTerms(
    venue="bybit",
    markets={
        Market.USDM: MarketTerms(
            type="swap",
            kinds=("linear",),
            # One-way mode is position 0. The stop is an order like another: same list, same id before and after its trigger.
            plain_params={"positionIdx": 0},
            stop_params={"positionIdx": 0, "triggerBy": "LastPrice"},
            attach=_attach_to_position,
            names_attached=False,
            category="linear",
            trade_kinds=({"execType": "Trade"}, {"execType": "BustTrade"}, {"execType": "AdlTrade"}),
            orders_max=10,
            orders_window_s=1.0,
        ),
        Market.SPOT: MarketTerms(
            type="spot",
            kinds=("spot",),
            has_reduce_only=False,
            # Holds what it is to sell from the first, keeps its id when it acts, and has no direction: the market's side of it says that.
            stop_params={"orderFilter": "tpslOrder"},
            stop_price_param="triggerPrice",
            stop_cancel_params={"orderFilter": "tpslOrder"},
            category="spot",
            trade_kinds=({"execType": "Trade"},),
            orders_max=20,
            orders_window_s=1.0,
        ),
    },
    codes=Codes(
        doubtful=frozenset({10000, 10016, 10019, 110079, 170005, 170007, 170032, 170146, 170147, 170810}),
        limited=frozenset({10006, 10018, 10429}),
        key=frozenset({10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, 10028, 33004, 100028}),
        clock=frozenset({10002}),
        not_found=frozenset({110001, 110008, 110010, 170139, 170142, 170143, 170213}),
        funds=frozenset({110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051, 110052, 110053, 170131, 170033}),
        duplicate=frozenset({10014, 110030, 110072, 170141}),
        refused=((10001, 10001), (10017, 10017), (10020, 10020), (10029, 10029), (110002, 119999), (130000, 139999), (170001, 179999)),
    ),
    faults=Faults(code="retCode", text="retMsg"),
    client_id=re.compile(r"[A-Za-z0-9_-]{1,36}"),
    find_param="orderLinkId",
    id_param="orderLinkId",
    find_by=("fetch_open_orders", "fetch_canceled_and_closed_orders"),
    next_page=_after_cursor,
    has_short_pages=True,
    trades_window_ms=7 * 86_400_000,
    requests_per_minute=3_000,
    limited_s=1.0,
    forbidden_s=600.0,
    reset_header="x-bapi-limit-reset-timestamp",
    options={
        "recvWindow": 3_000,
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "unifiedMarginStatus": 6,
        "brokerId": "",
        "watchMyTrades": {"execType": ["Trade", "AdlTrade", "BustTrade", "Settle", "Funding"]},
    },
    paid_as={"Funding": "SETTLEMENT"},
    account_calls=("privateGetV5UserQueryApi", "privateGetV5AccountInfo"),
)

_OKX = VenueTerms(
    venue="okx",
    markets={
        Market.USDM: MarketTerms(
            type="swap",
            kinds=("swap",),
            stops_apart=True,
            plain_params={"tdMode": "isolated"},
            stop_params={"tdMode": "isolated"},
            apart_params={"trigger": True},
            apart_list_params={"ordType": "conditional"},
            attach=_attach_to_order,
            orders_max=60,
            orders_window_s=2.0,
        )
    },
    spot_refusal="its spot holds a stop and a target as one order under one name, and in which mode it takes a stop alone is not known",
    codes=Codes(
        doubtful=frozenset({50001, 50004, 50005, 50013, 50026, 51149, 51410}),
        limited=frozenset({50011, 50040, 50061, 51113}),
        key=frozenset(
            {
                50007,
                50008,
                50027,
                50030,
                50100,
                50101,
                50103,
                50104,
                50105,
                50106,
                50107,
                50108,
                50110,
                50111,
                50113,
                50114,
                50119,
                50120,
                60009,
            }
        ),
        clock=frozenset({50102, 50112}),
        not_found=frozenset({51400, 51401, 51402, 51405, 51503, 51509, 51510, 51603}),
        funds=frozenset({51008, 51119, 51127, 51131, 51502, 51736}),
        duplicate=frozenset({51011, 51016, 51065}),
        refused=(
            (50000, 50000),
            (50002, 50002),
            (50006, 50006),
            (50010, 50010),
            (50012, 50012),
            (50014, 50025),
            (50028, 50028),
            (51000, 51999),
            (54000, 54999),
            (59000, 59999),
        ),
        words=((51000, "clordid", Outcome.DUPLICATE),),
    ),
    faults=Faults(code="code", text="msg", row_code="sCode", row_text="sMsg"),
    client_id=re.compile(r"[A-Za-z0-9]{1,32}"),
    has_dashes=False,
    id_param="clOrdId",
    find_param="clOrdId",
    stop_id_param="algoClOrdId",
    order_param="ordId",
    list_max=100,
    next_page=_after_oldest,
    requests_per_minute=1_200,
    limited_s=2.0,
    deadline_header="expTime",
    options={"createOrder": "privatePostTradeOrder", "defaultMarginMode": "isolated"},
    signed_fee="fillFee",
    needs_passphrase=True,
    watches_apart=True,
    account_calls=("privateGetAccountConfig",),
)

_BINANCE_CODES = Codes(
    doubtful=frozenset({-1000, -1001, -1006, -1007, -1008, -1016}),
    limited=frozenset({-1003, -1015}),
    key=frozenset({-1002, -1022, -2014, -2015}),
    clock=frozenset({-1021}),
    not_found=frozenset({-2011, -2013}),
    funds=frozenset({-2018, -2019, -4050, -4051}),
    duplicate=frozenset({-4116}),
    refused=((-9999, -1),),
    words=((-2010, "duplicate order", Outcome.DUPLICATE), (-2010, "insufficient balance", Outcome.FUNDS)),
)
_BINANCE = VenueTerms(
    venue="binance",
    markets={
        Market.SPOT: MarketTerms(type="spot", kinds=("spot",), has_pairs=True, has_reduce_only=False, orders_max=100, orders_window_s=10.0)
    },
    codes=_BINANCE_CODES,
    faults=Faults(code="code", text="msg", is_negative=True),
    client_id=re.compile(r"[A-Za-z0-9_-]{1,36}"),
    find_param="origClientOrderId",
    list_max=1_000_000,
    trades_max=1_000,
    requests_per_minute=1_200,
    options={"recvWindow": 3_000, "watchPositions": {"fetchPositionsSnapshot": False}, "watchBalance": {"fetchBalanceSnapshot": False}},
    is_for_rehearsal=True,
    account_calls=("sapiGetAccountApiRestrictions", "privateGetAccount"),
)
_BINANCE_USDM = msgspec.structs.replace(
    _BINANCE,
    venue="binanceusdm",
    markets={
        Market.USDM: MarketTerms(
            type="swap",
            kinds=("linear",),
            stops_apart=True,
            apart_params={"trigger": True},
            apart_list_params={"trigger": True},
            orders_max=300,
            orders_window_s=10.0,
        )
    },
    account_calls=("sapiGetAccountApiRestrictions", "fapiPrivateV2GetBalance"),
)

VENUES: Mapping[str, VenueTerms] = {terms.venue: terms for terms in (_BYBIT, _OKX, _BINANCE, _BINANCE_USDM)}


def why_not_live(venue: str, market: Market, *, is_rehearsal: bool) -> str | None:
    """Say why a venue of ccxt is not traded live in a market; None where it is. Paper is open to all of them.

    Args:
        venue: ccxt's name of the exchange.
        market: spot or USD-margined perpetuals.
        is_rehearsal: whether only this machine is reached.
    """
    terms = VENUES.get(venue)
    if terms is None:
        known = ", ".join(sorted(f"ccxt:{name}" for name, row in VENUES.items() if not row.is_for_rehearsal))
        return (
            f"nobody has said what the answers of ccxt:{venue} prove and where its stops live, so no order goes there; live there are "
            f"binance and {known}; run it with --paper"
        )
    if terms.is_for_rehearsal and not is_rehearsal:
        return f"with money write `venue: binance`, which proves more than ccxt:{venue} does"
    if market in terms.markets:
        return None
    if market is Market.SPOT and terms.spot_refusal:
        return f"ccxt:{venue} is traded live on `market: usdm` only: {terms.spot_refusal}"
    return f"ccxt:{venue} has no `market: {market.value}` here"
