"""Use every door of the matching engine once, on a market of its own, so that its kernels are loaded before an order needs them."""

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.client_orders import NewOrder
from smartmoney.simulation.ladder import ASK, BID, FIRST_CLIENT
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_table import FALLS_TO

_SECOND_NS = 1_000_000_000


def trade_a_little() -> None:
    """Let a market live for a second and place, replace, amend and cancel in it. Cost: seconds, or half a minute where kernels compile."""
    market = SyntheticMarket(1, symbols=("BTCUSDT",), markets=(Market.SPOT,))
    market.advance(_SECOND_NS)
    book = market.books[Market.SPOT, "BTCUSDT"]
    bid, _, ask, _ = book.touch
    first = NewOrder(owner=FIRST_CLIENT, side=ASK, tick=ask + 99, lots=4, display_lots=2)
    above = NewOrder(owner=FIRST_CLIENT, side=ASK, tick=ask + 99, lots=2, post_only=True)
    below = NewOrder(owner=FIRST_CLIENT, side=ASK, lots=2, trigger=FALLS_TO, trigger_tick=bid - 99)
    placed = book.replace(book.place(first).order_id, NewOrder(owner=FIRST_CLIENT, side=BID, tick=bid - 99, lots=2)).placed
    if placed is not None:
        book.amend(placed.order_id, 1)
    book.place_oco(above, below)
    book.place_otoco(NewOrder(owner=FIRST_CLIENT, side=BID, tick=bid - 99, lots=2), above, below)
    book.place(NewOrder(owner=FIRST_CLIENT, side=BID, tick=ask, lots=1))
