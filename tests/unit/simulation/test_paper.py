from decimal import Decimal

import pytest

from smartmoney.core.domain.entries import CancelRejected, OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Liquidity, OrderIntent, OrderReport, OrderType, PositionReport, Purpose, Side, TimeInForce
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_depth import CONSUMED_LEVELS_MAX, WALK_LEVELS_MAX, ConsumedDepth, LastTrade
from smartmoney.simulation.paper_parameters import PaperParameters

D = Decimal
MS = 1_000_000
CASH = D(100_000)
SPOT = Instrument(
    venue="v", market=Market.SPOT, symbol="A", name="A/Q", base="A", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"), min_notional=D(1)
)
PERP = Instrument(venue="v", market=Market.USDM, symbol="B", name="B/Q:Q", base="B", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"))


class Book:
    def __init__(self, bids, asks):
        self.sides = [dict(bids), dict(asks)]
        self.synced = True
        self.trade = LastTrade(0, 0, 0, -1)
        self.told = None

    @property
    def best_bid_ticks(self):
        return max(self.sides[0], default=-1)

    @property
    def best_ask_ticks(self):
        return min(self.sides[1], default=-1)

    def levels(self, side, limit):
        ticks = sorted(self.sides[side], reverse=side == 0)[:limit]
        return ticks, [self.sides[side][tick] for tick in ticks]

    def level_lots(self, side, ticks):
        return self.sides[side].get(ticks, 0)

    def last_trade(self):
        return self.trade

    def funding(self):
        return self.told

    def print(self, ticks, lots, sign):
        self.trade = LastTrade(ticks, lots, sign, self.trade.trade_id + 1)


class Desk:
    """Drive a venue and its book by hand: each step is one folded entry."""

    def __init__(self, instrument=SPOT, cash=CASH, latency_ms=50.0, positions=(), orders=(), **parameters):
        self.book = Book({9_999: 10, 9_998: 20, 9_990: 500}, {10_001: 10, 10_002: 20, 10_010: 500})
        self.venue = PaperVenue(
            [instrument],
            PaperParameters(latency_ms=latency_ms, maker_bps=D(2), taker_bps=D(5), **parameters),
            run_id="r",
            cash=cash,
            positions=positions,
            orders=orders,
        )
        self.now = 0

    def step(self, ms=100):
        self.now += int(ms * MS)
        return self.venue.advance(self.now, self.now + 7, [self.book])

    def send(self, name, side=Side.BUY, lots=5, price=None, type_=OrderType.LIMIT, tif=TimeInForce.GTC, purpose=Purpose.ENTRY, **fields):
        intent = OrderIntent(
            client_order_id=name,
            instrument=0,
            side=side,
            type=type_,
            lots=lots,
            purpose=purpose,
            time_in_force=tif,
            price_ticks=price,
            **fields,
        )
        self.venue.submit(intent, self.now)
        return intent

    def fills(self, replies):
        return [(r.fill.client_order_id, r.fill.price_ticks, r.fill.lots) for r in replies if isinstance(r, OrderFilled)]


def kinds(replies):
    return [type(reply).__name__ for reply in replies]


def holding(lots, cost=None):
    quantity = D("0.1") * lots
    return [PositionReport(instrument=0, quantity=quantity, cost=quantity * 100 if cost is None else cost)]


def test_an_order_meets_the_book_of_its_arrival_not_of_its_sending():
    desk = Desk()
    desk.send("a", price=10_001, tif=TimeInForce.IOC)
    assert desk.step(49) == []
    desk.book.sides[1] = {10_000: 3, 10_001: 1, 10_002: 9}
    replies = desk.step(1)
    assert kinds(replies) == ["OrderAccepted", "OrderFilled", "OrderFilled", "OrderExpired"]
    assert desk.fills(replies) == [("a", 10_000, 3), ("a", 10_001, 1)]
    fill = replies[1].fill
    assert (fill.fee, fill.fee_asset, fill.liquidity) == (D("30.0000") * D("0.0005"), "Q", Liquidity.TAKER)
    assert fill.ts_event_ns == desk.now + 7
    assert desk.venue.account.cash == D(100_000) - D("40.001") * D("1.0005")


def test_consumed_depth_stays_consumed_until_the_level_shows_another_quantity():
    desk = Desk()
    desk.send("a", price=10_001, lots=7, tif=TimeInForce.IOC)
    desk.step()
    desk.send("b", price=10_001, lots=7, tif=TimeInForce.IOC)
    assert desk.fills(desk.step()) == [("b", 10_001, 3)]
    desk.book.sides[1][10_001] = 11
    desk.send("c", price=10_001, lots=20, tif=TimeInForce.IOC)
    assert desk.fills(desk.step()) == [("c", 10_001, 11)]


def test_market_order_walks_and_its_rest_expires():
    desk = Desk()
    desk.book.sides[1] = {10_001: 10, 10_500: 10}
    desk.send("a", type_=OrderType.MARKET, lots=25)
    replies = desk.step()
    assert desk.fills(replies) == [("a", 10_001, 10), ("a", 10_500, 10)]
    assert isinstance(replies[-1], OrderExpired)


def test_an_order_walks_as_deep_as_it_must_and_no_level_twice():
    desk = Desk()
    desk.book.sides[1] = {10_001 + at: 3 for at in range(2_000)}
    desk.send("deep", lots=120, type_=OrderType.MARKET)
    assert desk.fills(desk.step()) == [("deep", 10_001 + at, 3) for at in range(40)]
    consumed = ConsumedDepth()
    walked = [ticks for ticks, _, _ in consumed.offers(desk.book, 1, None)]
    assert walked == list(range(10_001, 10_001 + WALK_LEVELS_MAX))


def test_fok_fills_whole_or_not_at_all():
    desk = Desk()
    desk.send("a", price=10_002, lots=31, tif=TimeInForce.FOK)
    assert kinds(desk.step()) == ["OrderAccepted", "OrderExpired"]
    desk.send("b", price=10_002, lots=30, tif=TimeInForce.FOK)
    assert kinds(desk.step()) == ["OrderAccepted", "OrderFilled", "OrderFilled"]


def test_post_only_is_rejected_when_it_would_cross_and_rests_otherwise():
    desk = Desk()
    desk.send("a", price=10_001, post_only=True)
    desk.send("b", price=10_000, post_only=True)
    replies = desk.step()
    assert kinds(replies) == ["OrderRejected", "OrderAccepted"]
    assert replies[0].reason == "post only would cross"


def test_resting_order_waits_for_the_queue_ahead_and_pays_the_maker_fee():
    desk = Desk()
    desk.send("a", price=9_999, lots=5)
    desk.step()
    desk.book.print(9_999, 8, -1)
    assert desk.step() == []
    desk.book.print(9_999, 4, +1)  # a buyer cannot use up the bid
    assert desk.step() == []
    desk.book.print(9_999, 4, -1)
    replies = desk.step()
    assert desk.fills(replies) == [("a", 9_999, 2)]
    assert replies[0].fill.liquidity is Liquidity.MAKER
    assert replies[0].fill.fee == D("99.99") * D("0.2") * D("0.0002")
    assert desk.step() == [], "the same trade counts once"
    desk.book.print(9_999, 50, -1)
    assert desk.fills(desk.step()) == [("a", 9_999, 3)]


def test_cancels_ahead_count_only_once_less_is_shown_than_is_ahead():
    desk = Desk()
    desk.send("a", price=9_999, lots=5)
    desk.step()
    desk.book.sides[0][9_999] = 30
    desk.step()
    desk.book.sides[0][9_999] = 12  # 18 left, all of them could have been behind us
    desk.step()
    desk.book.print(9_999, 10, -1)
    assert desk.step() == []
    desk.book.sides[0][9_999] = 0
    desk.step()
    desk.book.print(9_999, 1, -1)
    assert desk.fills(desk.step()) == [("a", 9_999, 1)]


def test_two_of_our_orders_share_one_trade_oldest_first():
    desk = Desk()
    desk.send("a", price=10_000, lots=5)
    desk.send("b", price=10_000, lots=5)
    desk.step()
    desk.book.print(10_000, 7, -1)
    assert desk.fills(desk.step()) == [("a", 10_000, 5), ("b", 10_000, 2)]


def test_a_trade_through_the_price_fills_whole():
    desk = Desk()
    desk.send("a", price=9_999, lots=50)
    desk.step()
    desk.book.print(9_998, 1, -1)
    assert desk.fills(desk.step()) == [("a", 9_999, 50)]


def test_an_opposite_touch_at_the_price_fills_with_what_is_shown_there_at_our_price():
    desk = Desk()
    desk.send("a", price=10_000, lots=50)
    desk.step()
    desk.book.sides[1] = {9_999: 4, 10_000: 3, 10_002: 100}
    assert desk.fills(desk.step()) == [("a", 10_000, 4), ("a", 10_000, 3)]
    assert desk.step() == [], "and only once"


def test_a_limit_that_took_depth_does_not_take_it_again_while_it_rests():
    desk = Desk()
    desk.send("a", price=10_001, lots=15)
    assert desk.fills(desk.step()) == [("a", 10_001, 10)]
    assert desk.step() == []


def test_nothing_fills_without_a_synced_book_and_orders_go_on_after():
    desk = Desk()
    desk.book.synced = False
    desk.send("a", price=10_001, tif=TimeInForce.IOC)
    desk.send("p", price=9_999, post_only=True)
    assert kinds(desk.step()) == ["OrderAccepted", "OrderRejected"]
    desk.book.print(9_000, 5, -1)
    assert desk.step() == []
    desk.book.synced = True
    assert desk.fills(desk.step()) == [("a", 10_001, 5)]


def test_cancel_takes_the_latency_and_a_second_one_is_refused():
    desk = Desk()
    desk.send("a", price=9_999)
    desk.step()
    desk.venue.cancel("a", desk.now)
    desk.venue.cancel("a", desk.now)
    assert desk.step(10) == []
    assert kinds(desk.step()) == ["OrderCanceled", "CancelRejected"]


def stop_of(desk, lots=10, name="stop", stop=9_900, side=Side.SELL, **fields):
    return desk.send(name, side, lots, type_=OrderType.STOP_MARKET, purpose=Purpose.STOP, stop_ticks=stop, reduce_only=True, **fields)


def test_stop_triggers_on_a_trade_at_it_and_walks_depth():
    desk = Desk(PERP, positions=holding(15))
    stop_of(desk, 15)
    desk.step()
    desk.book.print(9_901, 1, -1)
    assert desk.step() == []
    desk.book.print(9_900, 1, -1)
    replies = desk.step()
    assert desk.fills(replies) == [("stop", 9_999, 10), ("stop", 9_998, 5)]
    assert replies[0].fill.liquidity is Liquidity.TAKER


def test_stop_triggers_on_the_touch_and_expires_what_finds_no_depth():
    desk = Desk(PERP, positions=holding(15))
    stop_of(desk, 15)
    desk.step()
    desk.book.sides[0] = {9_899: 4}
    replies = desk.step()
    assert desk.fills(replies) == [("stop", 9_899, 4)]
    assert isinstance(replies[-1], OrderExpired)


def test_a_trade_before_the_stop_arrived_does_not_trigger_it():
    desk = Desk(PERP, positions=holding(15))
    desk.book.print(9_000, 1, -1)
    stop_of(desk, 15)
    assert kinds(desk.step()) == ["OrderAccepted"]
    assert desk.step() == []


def test_a_buy_stop_and_a_take_profit_trigger_the_other_way():
    desk = Desk(PERP, positions=holding(-5))
    stop_of(desk, 5, side=Side.BUY, stop=10_100)
    desk.send("tp", Side.BUY, 5, type_=OrderType.TAKE_PROFIT_MARKET, stop_ticks=9_000, reduce_only=True, purpose=Purpose.TARGET)
    desk.step()
    desk.book.print(9_001, 1, 1)
    assert desk.step() == []
    desk.book.print(9_000, 1, 1)
    replies = desk.step()
    assert desk.fills(replies) == [("tp", 10_001, 5)]
    assert replies[-1] == OrderCanceled(client_order_id="stop", reason="reduce only: nothing to reduce")


def test_a_fill_of_one_oco_order_shrinks_its_sibling_and_a_full_one_cancels_it():
    desk = Desk(positions=holding(10))
    stop_of(desk, 10, oco_group="g")
    desk.send("target", Side.SELL, 10, 10_005, reduce_only=True, purpose=Purpose.TARGET, oco_group="g")
    assert kinds(desk.step()) == ["OrderAccepted", "OrderAccepted"]
    desk.book.print(10_005, 4, 1)
    assert desk.fills(desk.step()) == [("target", 10_005, 4)]
    assert {r.intent.client_order_id: (r.intent.lots, r.filled_lots) for r in desk.venue.report().orders} == {
        "stop": (6, 0),
        "target": (10, 4),
    }
    desk.book.print(10_005, 6, 1)
    replies = desk.step()
    assert kinds(replies) == ["OrderFilled", "OrderCanceled"]
    assert desk.venue.report().orders == ()
    assert desk.venue.report().positions == ()


def test_an_oco_group_for_part_of_a_position_shrinks_all_the_same():
    desk = Desk(positions=holding(30))
    stop_of(desk, 10, oco_group="g")
    desk.send("target", Side.SELL, 10, 10_005, reduce_only=True, purpose=Purpose.TARGET, oco_group="g")
    desk.step()
    desk.book.print(10_005, 4, 1)
    desk.step()
    assert [(r.intent.client_order_id, r.intent.lots - r.filled_lots) for r in desk.venue.report().orders] == [("stop", 6), ("target", 6)]


def test_reduce_only_is_trimmed_to_what_is_held_and_rejected_when_nothing_is():
    desk = Desk(PERP, positions=holding(3))
    desk.send("x", Side.SELL, 5, type_=OrderType.MARKET, reduce_only=True, purpose=Purpose.EXIT)
    replies = desk.step()
    assert desk.fills(replies) == [("x", 9_999, 3)]
    assert isinstance(replies[-1], OrderExpired)
    desk.send("y", Side.SELL, 5, type_=OrderType.MARKET, reduce_only=True, purpose=Purpose.EXIT)
    assert desk.step()[0].reason == "reduce only: nothing to reduce"


def test_spot_locks_inventory_and_cash():
    desk = Desk(positions=holding(10), cash=D(100))
    stop_of(desk, 10, oco_group="g")
    desk.send("x", Side.SELL, 1, 10_100)
    desk.send("short", Side.SELL, 11, 10_100)
    desk.send("buy", Side.BUY, 9, 9_999)
    desk.send("more", Side.BUY, 2, 9_999)
    desk.send("market", Side.BUY, 5, type_=OrderType.MARKET)
    replies = desk.step()
    assert [(r.client_order_id, getattr(r, "reason", "ok")) for r in replies] == [
        ("stop", "ok"), ("x", "insufficient balance"), ("short", "insufficient balance"), ("buy", "ok"), ("more", "insufficient balance"),
        ("market", "insufficient balance"),
    ]  # fmt: skip


def test_derivative_entries_need_margin():
    desk = Desk(PERP, cash=D(100))
    desk.send("a", Side.SELL, 9, 9_999, tif=TimeInForce.IOC)
    desk.send("b", Side.SELL, 9, 9_998, tif=TimeInForce.IOC)
    replies = desk.step()
    assert desk.fills(replies) == [("a", 9_999, 9)]
    assert replies[-1] == OrderRejected(client_order_id="b", reason="insufficient margin")


def test_duplicate_client_ids_wrong_lots_and_small_notional_are_rejected():
    desk = Desk()
    desk.send("a", price=9_999)
    desk.send("a", price=9_999)
    desk.send("z", price=9_999, lots=0)
    desk.send("s", price=5, lots=1)
    assert [getattr(r, "reason", "ok") for r in desk.step()] == ["ok", "duplicate client order id", "lot size", "min notional"]


def test_fee_in_base_is_taken_off_the_position():
    desk = Desk(fee_in_base=True)
    desk.send("a", price=10_001, lots=10, tif=TimeInForce.IOC)
    fill = desk.step()[1].fill
    assert (fill.fee, fill.fee_asset) == (D("0.0005"), "A")
    assert desk.venue.account.position(0).quantity == D("0.9995")


def test_restored_orders_queue_anew_and_trade_ids_go_on():
    first = Desk(positions=holding(10))
    stop = stop_of(first, 10, oco_group="g")
    first.step()
    report = first.venue.report()
    second = Desk(positions=report.positions, orders=report.orders)
    second.venue._trade_count = 41
    assert second.venue.report().orders == (OrderReport(intent=stop, venue_order_id="paper-r-o1"),)
    second.book.sides[0] = {9_800: 100}
    replies = second.step()
    assert replies[0].fill.trade_id == "paper-r-42"
    assert second.venue.trade_count == 42
    second.send("stop", price=9_000)
    assert second.step()[0].reason == "duplicate client order id"


def test_consumed_depth_is_bounded():
    depth = ConsumedDepth()
    for tick in range(CONSUMED_LEVELS_MAX + 10):
        depth.take(0, tick, 5, 5)
    assert len(depth) == CONSUMED_LEVELS_MAX
    assert depth.available(0, CONSUMED_LEVELS_MAX, 5) == 0


def test_requests_beyond_the_bound_are_refused_not_lost():
    desk = Desk()
    for n in range(1025):
        desk.send(f"o{n}", price=9_000)
    desk.venue.cancel("o1", 0)
    replies = desk.step()
    assert replies[0] == OrderRejected(client_order_id="o1024", reason="too many requests")
    assert replies[1] == CancelRejected(client_order_id="o1", reason="too many requests")
    assert sum(isinstance(reply, OrderAccepted) for reply in replies) == 200


def test_an_idle_venue_answers_nothing():
    assert Desk().step() == []


@pytest.mark.parametrize("first", ["target", "stop"])
def test_an_order_that_closes_on_arrival_leaves_nothing_for_its_late_sibling(first):
    desk = Desk(PERP, positions=holding(5))
    desk.send("target", Side.SELL, 5, 9_990, reduce_only=True, purpose=Purpose.TARGET, oco_group="g")
    stop_of(desk, 5, oco_group="g", stop=9_900 if first == "target" else 10_000)
    replies = desk.step()
    assert desk.fills(replies) == [("target", 9_999, 5)]
    assert replies[-1] == OrderRejected(client_order_id="stop", reason="reduce only: nothing to reduce")


@pytest.mark.parametrize(
    "wrong", [{"latency_ms": float("nan")}, {"latency_ms": -1}, {"taker_bps": -1}, {"maker_bps": "Infinity"}, {"leverage": 0}]
)
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="paper"):
        PaperParameters(**wrong)


def test_cancels_ahead_count_as_their_share_of_the_queue_when_asked_to():
    left = {}
    for queue in ("careful", "even"):
        desk = Desk(queue=queue, latency_ms=0.0)
        desk.send("mine", price=9_998, lots=5)
        desk.step()
        desk.book.sides[0][9_998] = 35
        desk.step()
        desk.book.sides[0][9_998] = 21
        desk.step()
        # 20 stood ahead; of 35 shown then, 14 left without trading: with "even", 8 of them were ahead.
        desk.book.print(9_998, 14, -1)
        left[queue] = [reply for reply in desk.step() if isinstance(reply, OrderFilled)]
    assert not left["careful"]
    assert [reply.fill.lots for reply in left["even"]] == [2]


def test_what_traded_ahead_is_not_taken_for_cancels_once_the_level_shows_it():
    desk = Desk(queue="even", latency_ms=0.0)
    desk.book.sides[0][9_998] = 100
    desk.send("mine", price=9_998, lots=5)
    desk.step()
    desk.book.print(9_998, 50, -1)
    desk.step()
    desk.book.sides[0][9_998] = 50
    desk.step()
    desk.book.print(9_998, 49, -1)
    assert not [reply for reply in desk.step() if isinstance(reply, OrderFilled)]
    desk.book.print(9_998, 3, -1)
    assert [reply.fill.lots for reply in desk.step() if isinstance(reply, OrderFilled)] == [2]


def test_what_a_level_showed_while_the_book_could_not_be_vouched_for_is_seen_before_anything_is_passed_over():
    desk = Desk(queue="even")
    desk.send("a", price=9_999)
    desk.step()
    (price,) = desk.venue.waits([desk.book]).prices
    assert (price.shown, price.ahead) == (10, 10)
    desk.book.synced, desk.book.sides[0][9_999] = False, 4
    desk.step()
    desk.book.synced = True
    assert desk.venue.waits([desk.book]).each, "it is four that are ahead, and whoever comes now comes after us"
    desk.step()
    (price,) = desk.venue.waits([desk.book]).prices
    assert (price.shown, price.ahead) == (4, 4)


def test_an_unknown_queue_model_is_refused_by_name():
    with pytest.raises(ValueError, match=r"paper.queue must be one of careful, even"):
        PaperParameters(queue="front")


def test_a_slow_request_is_not_overtaken_by_a_quick_one():
    delays = {"slow": 300.0, "quick": 10.0}

    class Uneven(OrderLatency, frozen=True):
        def delay_ns(self, request):
            return int(delays[request] * MS)

    desk = Desk()
    desk.venue = PaperVenue([SPOT], PaperParameters(), run_id="r", cash=CASH, latency=Uneven())
    desk.send("slow", price=9_998)
    desk.send("quick", price=9_998)
    assert not desk.step(100)
    assert [reply.client_order_id for reply in desk.step(250)] == ["slow", "quick"]


def test_orders_are_met_once_in_a_market_that_is_the_same():
    desk = Desk()
    desk.send("a", price=9_999)
    desk.step()
    desk.book.print(9_998, 5, -1)
    same = {"is_same": True}
    assert desk.venue.advance(desk.now, desk.now + 7, [desk.book], **same) == [], "news of an order move no market"
    desk.venue.cancel("b", desk.now - 50 * MS)
    (unknown,) = desk.venue.advance(desk.now, desk.now + 7, [desk.book], **same)
    assert isinstance(unknown, CancelRejected), "what travels arrives at its time, whatever the entry"
    (filled,) = desk.step(0)
    assert isinstance(filled, OrderFilled)
