"""Driven in simulated time, the same seed and the same requests give the same bytes, and how time is cut changes nothing that was done."""

import pytest

from smartmoney.adapters.exchange_private import Arrived
from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket
from tests.integration.tradable import DEMO, KEY, sign

MS = 1_000_000
ORIGIN = 1_700_000_000_000 * MS


class Listener:
    """Collect what a connection would be sent."""

    def __init__(self):
        self.is_combined = False
        self.channel = ""
        self.streams = {}
        self.frames = []

    def offer(self, frame):
        self.frames.append(frame)


def request(server, which, method, call, **params):
    family, version = ("api", "v3") if which is Market.SPOT else ("fapi", "v1")
    query = "&".join(f"{name}={value}" for name, value in {**params, "timestamp": server.now_ns() // MS}.items())
    arrived = Arrived(
        method=method, family=family, version=version, call=call, query=f"{query}&signature={sign(query)}", key=KEY, address="127.0.0.1"
    )
    return server.sites[which].answer(arrived, {})


def life(steps_ms):
    """Live for fifty seconds in steps, trading at the same moments, and return every byte that left the exchange."""
    server = ExchangeServer(SyntheticMarket(11, symbols=("BTCUSDT",)), ORIGIN, accounts=(DEMO,))
    public, private = Listener(), Listener()
    answers = []

    def until(ms):
        place = 0
        while (now := server.now_ns() - ORIGIN) < ms * MS:
            server.advance(min(ms * MS, now + steps_ms[place % len(steps_ms)] * MS))
            place += 1

    until(5_000)
    answers.append(request(server, Market.USDM, "POST", "listenKey").body)
    key = answers[0][14:78]
    server.sites[Market.USDM].private.attach(private, 1, [key], "")
    for stream in ("btcusdt@trade", "btcusdt@depth@100ms"):
        server.sites[Market.USDM].subscribe(public, stream)
    bid = server.market.books[Market.USDM, "BTCUSDT"].touch[0]
    common = {"symbol": "BTCUSDT", "quantity": "0.050"}
    limit = {**common, "type": "LIMIT", "timeInForce": "GTC"}
    stop = {**common, "algoType": "CONDITIONAL", "reduceOnly": "true"}
    for ms, which, call, params in (
        (6_000, Market.USDM, "order", {**common, "side": "BUY", "type": "MARKET"}),
        (6_000, Market.USDM, "algoOrder", {**stop, "side": "SELL", "type": "STOP_MARKET", "triggerPrice": f"{bid / 10 - 3:.1f}"}),
        (6_500, Market.USDM, "order", {**limit, "side": "BUY", "price": f"{bid / 10 - 1:.1f}"}),
        (9_000, Market.USDM, "order", {**limit, "side": "SELL", "price": f"{bid / 10 + 2:.1f}"}),
        (9_000, Market.SPOT, "order", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "500"}),
        (20_000, Market.USDM, "countdownCancelAll", {"symbol": "BTCUSDT", "countdownTime": "10000"}),
        (21_000, Market.USDM, "order", {**common, "side": "BUY", "type": "MARKET", "quantity": "0.002"}),
    ):
        until(ms)
        answers.append(request(server, which, "POST", call, **params).body)
    until(50_000)
    for call in ("userTrades", "allOrders", "allAlgoOrders"):
        answers.append(request(server, Market.USDM, "GET", call, symbol="BTCUSDT").body)
    answers.append(request(server, Market.USDM, "GET", "income").body)
    return answers, private.frames, public.frames


@pytest.fixture(scope="module")
def first():
    return life((20,))


def test_the_same_requests_give_the_same_bytes(first):
    again = life((20,))
    # Counted, not compared whole: the difference of thousands of frames would take longer to show than to find.
    assert [place for place in range(3) if again[place] != first[place]] == []
    answers, private, public = first
    assert len(private) > 8
    assert len(public) > 300
    assert any('"ALGO_UPDATE"' in frame for frame in private)
    assert all('"code":-' not in answer for answer in answers), answers


@pytest.mark.parametrize("steps_ms", [(7,), (10, 3, 250), (1000,)])
def test_how_time_is_cut_changes_no_order_no_fill_and_no_time_of_one(first, steps_ms):
    answers, private, _ = life(steps_ms)
    assert [place for place, answer in enumerate(answers) if answer != first[0][place]] == []
    assert set(private) ^ set(first[1]) == set()
