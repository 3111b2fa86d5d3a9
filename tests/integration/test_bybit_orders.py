"""Bybit linear through ccxt.pro's own class, on a venue that answers in the documented payloads: each known trap, one by one."""

from decimal import Decimal

import pytest

from smartmoney.adapters import ccxt_orders, ccxt_stream
from smartmoney.core.domain.entries import (
    CancelRejected,
    HaltRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
    SendRefused,
)
from smartmoney.core.domain.orders import TimeInForce
from smartmoney.runtime.live_account import ReadFailed
from smartmoney.venues.outcomes import Outcome
from tests.waiting import until

from .bybit_venue import BybitVenue
from .ccxt_gateways import CcxtUnder, trading
from .scripted_venue import SECRET, Order, Script, serving

CREATE, CANCEL = "v5/order/create", "v5/order/cancel"


def bybit(**more):
    return trading(BybitVenue, "bybit", **more)


async def test_what_is_sent_is_what_the_venue_wants_and_bears_our_id():
    async with bybit() as under:
        entry, maker, stop, leave = under.entry(), under.entry(post_only=True), under.stop(), under.exit()
        under.submit(entry, maker, stop, leave)
        await under.until(lambda: len(under.venue.orders) == 4)
        sent = {each["orderLinkId"]: each for each in under.venue.asked(CREATE)}
        assert set(sent) == {each.client_order_id for each in (entry, maker, stop, leave)}
        common = {"symbol": "BTCUSDT", "category": "linear", "positionIdx": 0, "qty": "0.012"}
        assert all(common.items() <= each.items() for each in sent.values())
        limit = sent[entry.client_order_id]
        assert (limit["orderType"], limit["price"], limit["timeInForce"]) == ("Limit", "59000.1", "GTC")
        assert "reduceOnly" not in limit
        assert sent[maker.client_order_id]["timeInForce"] == "PostOnly"
        conditional = sent[stop.client_order_id]
        assert (conditional["orderType"], conditional["triggerPrice"], conditional["triggerDirection"]) == ("Market", "58000", 2)
        assert (conditional["reduceOnly"], conditional["triggerBy"]) == (True, "LastPrice")
        assert (sent[leave.client_order_id]["orderType"], sent[leave.client_order_id]["reduceOnly"]) == ("Market", True)
        assert "price" not in sent[leave.client_order_id], "it would be read as an amount of quote currency"


async def test_an_acknowledgement_is_no_acceptance_and_what_became_of_it_is_asked():
    async with bybit() as under:
        under.venue.is_muted = True
        order = await under.resting()
        assert any(each.get("orderLinkId") == order.client_order_id for each in under.venue.asked("v5/order/realtime"))
        # One that is taken note of and then refused ends as a refusal, with the venue's reason.
        refused = under.entry(post_only=True)
        under.submit(refused)
        await under.until(lambda: under.venue.made(refused.client_order_id))
        record = under.venue.named(refused.client_order_id)
        record.is_live, record.status, record.reason = False, "Rejected", "EC_PostOnlyWillTakeLiquidity"
        under.venue.is_muted = False
        await under.venue.tell_order(refused.client_order_id)
        await under.until(lambda: under.said.of(refused.client_order_id, OrderRejected))
        assert under.said.of(refused.client_order_id)[-1].reason == "EC_PostOnlyWillTakeLiquidity"


@pytest.mark.parametrize(
    "script",
    [
        Script(10000, "Server Timeout", does=True),
        Script(10016, "Internal system error", does=True),
        Script(170146, "Order creation timeout", does=True),
        Script(170007, "Timeout waiting for response from backend server.", does=True),
        Script(status=502, body="<html>bad gateway</html>", does=True),
        Script(status=200, body="<html>nothing of use</html>", does=True),
    ],
    ids=["10000", "10016", "170146", "170007", "HTTP 502", "no JSON"],
)
async def test_a_time_out_proves_nothing_and_the_order_is_found_by_its_id(script):
    async with bybit() as under:
        under.venue.script(CREATE, script)
        order = await under.resting()
        assert under.kinds(order.client_order_id)[:2] == ["OutcomeUnknown", "OrderAccepted"]
        assert under.venue.made(order.client_order_id) == 1
        assert len(under.venue.asked(CREATE)) == 1, "an entry is never sent twice"


async def test_an_order_that_never_came_is_not_called_rejected_and_not_sent_again():
    async with bybit() as under:
        under.venue.script(CREATE, Script(170146, "Order creation timeout"))
        order = under.entry()
        under.submit(order)
        await under.until(
            lambda: len([p for p in under.venue.asked("v5/order/history") if p.get("orderLinkId") == order.client_order_id]) >= 3
        )
        assert set(under.kinds(order.client_order_id)) == {"OutcomeUnknown"}
        assert len(under.venue.asked(CREATE)) == 1


async def test_a_stop_of_unknown_outcome_leaves_again_under_the_same_id_and_is_one_stop():
    async with bybit() as under:
        under.venue.script(CREATE, Script(10000, "Server Timeout"))
        stop = under.stop()
        await under.accepted(stop)
        assert under.venue.made(stop.client_order_id) == 1
        assert [each["orderLinkId"] for each in under.venue.asked(CREATE)] == [stop.client_order_id] * 2


async def test_a_duplicate_client_id_is_our_own_order_from_before():
    async with bybit() as under:
        order = await under.resting()
        under.submit(order)
        await under.until(lambda: under.said.of(order.client_order_id, OutcomeUnknown))
        assert "110072" in under.said.of(order.client_order_id, OutcomeUnknown)[0].reason
        await under.report()
        assert not under.said.of(order.client_order_id, OrderRejected)
        assert under.venue.made(order.client_order_id) == 1


async def test_partial_fills_pushed_twice_and_out_of_order_are_booked_once_and_the_end_comes_last():
    async with bybit() as under:
        order = await under.resting()
        name, venue = order.client_order_id, under.venue
        venue.is_muted = True
        first = venue.execute(venue.named(name), "0.005", "59000.1")
        early = venue.order_frame(venue.named(name))
        second = venue.execute(venue.named(name), "0.007", "59000.0")
        venue.is_muted = False
        # Filled before its executions, twice; then the second trade, the state of long ago, the first trade, and everything again.
        await venue.tell_order(name, times=2)
        await venue.push("execution", venue.execution_frame(second))
        await venue.push("order", early)
        await venue.push("execution", venue.execution_frame(first, second), times=2)
        await under.until(lambda: under.said.filled(name) == 12)
        await under.report()
        fills = [each.fill for each in under.said.of(name, OrderFilled)]
        assert sorted((fill.trade_id, fill.lots, fill.price_ticks) for fill in fills) == sorted(
            [(first["execId"], 5, 590_001), (second["execId"], 7, 590_000)]
        )
        assert all(fill.fee > 0 and fill.fee_asset == "USDT" for fill in fills)
        assert under.kinds(name).count("OrderAccepted") == 1
        assert under.said.reports()[-1].orders == ()
        assert [str(each.quantity) for each in under.said.reports()[-1].positions] == ["0.012"]


async def test_fills_that_the_stream_lost_are_found_by_reading():
    async with bybit() as under:
        order = await under.resting()
        under.venue.is_muted = True
        await under.venue.fill(order.client_order_id, "0.004")
        report = await under.report()
        assert under.said.filled(order.client_order_id) == 4
        assert [(each.intent.client_order_id, each.filled_lots) for each in report.orders] == [(order.client_order_id, 4)]


async def test_an_immediate_order_that_finds_nothing_expires():
    async with bybit() as under:
        order = under.entry(time_in_force=TimeInForce.IOC)
        under.submit(order)
        await under.until(lambda: under.venue.made(order.client_order_id))
        record = under.venue.named(order.client_order_id)
        record.is_live, record.status = False, "Cancelled"
        await under.venue.tell_order(order.client_order_id)
        await under.until(lambda: under.said.of(order.client_order_id, OrderExpired))


async def test_a_cancel_is_over_when_the_order_says_so_and_one_that_came_too_late_is_looked_up():
    async with bybit() as under:
        order, filled = await under.resting(), await under.resting()
        under.cancel(order.client_order_id)
        await under.until(lambda: under.said.of(order.client_order_id, OrderCanceled))
        under.venue.is_muted = True
        await under.venue.fill(filled.client_order_id, "0.012")
        under.cancel(filled.client_order_id)
        await under.until(lambda: under.said.filled(filled.client_order_id) == 12)
        assert not under.said.of(filled.client_order_id, OrderCanceled, CancelRejected)
        under.cancel("smnobody-1-0")
        await under.until(lambda: under.said.of("smnobody-1-0", CancelRejected))


async def test_a_triggered_stop_is_the_same_order_and_its_fills_are_its_own():
    async with bybit() as under:
        await under.venue.fill((await under.resting()).client_order_id, "0.012")
        stop = under.stop()
        await under.accepted(stop)
        record = under.venue.named(stop.client_order_id)
        record.status = "Triggered"
        await under.venue.tell_order(stop.client_order_id)
        record.status = "New"
        await under.venue.fill(stop.client_order_id, "0.012", "57990")
        await under.until(lambda: under.said.filled(stop.client_order_id) == 12)
        report = await under.report()
        assert report.orders == ()
        assert all(each.quantity == 0 for each in report.positions)


async def test_the_clock_is_measured_again_whenever_the_venue_complains():
    async with bybit() as under:
        assert abs(under.account.clock_offset_ms) < 1_000
        for skew_ms in (700, 9_000):
            under.venue.skew_ms = skew_ms
            assert (await under.side.sync_clock()).is_done
            assert abs(under.account.clock_offset_ms - skew_ms) < 500
        assert not under.account.is_clock_good, "two measurements that differ by seconds are a clock that nobody trades by"
        under.venue.skew_ms = -20_000  # … and it jumps without a word
        stop = under.stop()
        await under.accepted(stop)
        assert under.venue.made(stop.client_order_id) == 1
        assert abs(under.account.clock_offset_ms + 20_000) < 500


async def test_a_refusal_for_the_rate_is_waited_out_by_a_stop_and_ends_an_entry():
    async with bybit() as under:
        under.venue.script(CREATE, Script(10006, "Too many visits!"))
        under.venue.limit_reset_ms = under.venue.clock_ms() + 800
        entry = under.entry()
        under.submit(entry)
        await under.until(lambda: under.said.of(entry.client_order_id, OrderRejected))
        under.venue.script(CREATE, Script(10006, "Too many visits!"))
        stop = under.stop()
        await under.accepted(stop)
        assert under.venue.made(stop.client_order_id) == 1
        assert under.venue.made(entry.client_order_id) == 0


async def test_a_ban_of_the_address_is_respected_for_ten_minutes():
    async with bybit() as under:
        under.venue.script(CREATE, Script(status=403, body="<html>access too frequent</html>"))
        order = under.entry()
        under.submit(order)
        await under.until(lambda: under.said.of(order.client_order_id, OutcomeUnknown))
        count = len(under.venue.calls)
        answer = await under.side.open_orders(under.instrument, is_urgent=True)
        assert (answer.outcome.value, answer.is_local) == ("limited", True)
        assert 590 < float(answer.message.split("another ")[1].split(" s")[0]) <= 600
        assert (await under.side.sync_clock()).outcome is Outcome.LIMITED, "the clock's probes are requests, too"
        assert len(under.venue.calls) == count, "nothing leaves meanwhile"


async def test_money_that_does_not_suffice_pauses_entries_and_nothing_else():
    async with bybit() as under:
        under.venue.script(CREATE, Script(110007, "ab not enough for new order"))
        first, second, stop = under.entry(), under.entry(), under.stop()
        under.submit(first)
        await under.until(lambda: under.said.of(first.client_order_id, OrderRejected))
        under.submit(second, stop)
        await under.until(lambda: under.said.of(second.client_order_id, SendRefused) and under.said.of(stop.client_order_id, OrderAccepted))
        assert under.venue.made(second.client_order_id) == 0


async def test_a_key_that_is_refused_halts_and_no_message_holds_the_secret(caplog):
    async with bybit() as under:
        under.venue.script(CREATE, Script(10003, "API key is invalid."))
        order = under.entry()
        under.submit(order)
        await under.until(lambda: any(isinstance(each, HaltRequested) for each in under.said.all))
        assert SECRET not in str(under.said.all)
        assert SECRET not in caplog.text
        await under.report()  # The key works again, and a person has resumed …
        under.venue.script(CREATE, Script(10003, "API key is invalid."))
        under.submit(under.entry())
        await under.until(lambda: sum(isinstance(each, HaltRequested) for each in under.said.all) == 2)


async def test_what_somebody_else_and_what_the_venue_itself_trades_is_booked_as_such():
    async with bybit() as under:
        venue = under.venue
        await venue.fill((await under.resting()).client_order_id, "0.012")
        by_hand = Order(
            "", number="by-hand", side="Sell", kind="Market", quantity=1, price="", trigger="", force="IOC", reduces=False, status="New"
        )
        venue.orders["by-hand"] = by_hand
        venue.execute(by_hand, "0.002", "60000")
        closed = Order(
            "", number="bust", side="Sell", kind="Market", quantity=1, price="", trigger="", force="IOC", reduces=True, status="New"
        )
        venue.orders["bust"] = closed
        venue.execute(closed, "0.010", "50000", kind="BustTrade")
        report = await under.report()
        strange = [each.fill for each in under.said.all if isinstance(each, OrderFilled) and each.fill.client_order_id == ""]
        assert sorted(fill.lots for fill in strange) == [2, 10]
        assert all(each.quantity == 0 for each in report.positions)


async def test_a_fallen_stream_is_noticed_and_comes_back():
    async with bybit() as under:
        await under.venue.drop_sockets()
        await under.until(lambda: not under.gateway.is_stream_up)
        await under.venue.subscribed(2)
        await under.until(lambda: under.gateway.is_stream_up)
        order = await under.resting()
        await under.venue.fill(order.client_order_id, "0.012")
        await under.until(lambda: under.said.filled(order.client_order_id) == 12)


async def test_a_login_that_the_venue_cannot_serve_is_no_refused_key(monkeypatch):
    monkeypatch.setattr(ccxt_stream, "LOGIN_REFUSED_S", 0.05)
    async with bybit() as under:
        under.venue.login_fault = "error:USVC1111"
        await under.venue.drop_sockets()
        await under.until(lambda: under.venue.logins_refused >= 4)
        assert not under.gateway.is_stream_up
        assert not any(isinstance(each, HaltRequested) for each in under.said.all)
        under.venue.login_fault = ""
        await under.until(lambda: under.gateway.is_stream_up)
        under.venue.script("v5/order/realtime", *[Script(10003, "API key is invalid.") for _ in range(8)])
        under.gateway.request_account(0)
        await under.until(lambda: any(isinstance(each, HaltRequested) for each in under.said.all))


async def test_more_trades_than_a_page_holds_are_all_found():
    async with serving(BybitVenue()) as venue:
        under = CcxtUnder(venue, "bybit")
        old = Order(
            "sma-1-0",
            number="old",
            side="Buy",
            kind="Limit",
            quantity=10**6,
            price="1",
            trigger="",
            force="GTC",
            reduces=False,
            status="New",
        )
        venue.orders["old"] = old
        start_ms = venue.clock_ms() - 3_600_000
        for number in range(730):
            venue.execute(old, "0.001", "60000")["execTime"] = str(start_ms + number * number)
        await under.make(since_ms=start_ms - 10_000)
        async with under.running():
            assert sum(each.fill.lots for each in under.said.all if isinstance(each, OrderFilled)) == 730


async def test_a_report_holds_what_stands_behind_a_page_of_other_peoples_orders(monkeypatch):
    async with bybit() as under:
        ours = await under.resting()
        for number in range(100):
            name = f"byhand-{number}"
            under.venue.orders[name] = Order(
                name, number=name, side="Buy", kind="Limit", quantity=1, price="1", trigger="", force="GTC", reduces=False, status="New"
            )
        report = await under.report()
        assert [each.intent.client_order_id for each in report.orders] == [ours.client_order_id]
        pages = [each.get("cursor", "")[:10] for each in under.venue.asked("v5/order/realtime") if "orderLinkId" not in each]
        # The last page has a cursor, too: only an empty one says that nothing follows.
        assert pages[-4:] == ["", "page_args=", "page_args=", "page_args="]
        # A list that cannot be read to its end is no report.
        monkeypatch.setattr(ccxt_orders, "PAGES_MAX", 2)
        with pytest.raises(ReadFailed, match="longer than can be read"):
            await under.gateway._reader.read(is_urgent=True)


class Overtaken(BybitVenue):
    """Let something happen, and be told, after an answer about trades was made and before it arrives."""

    meanwhile = None

    async def _any(self, request):
        response = await super()._any(request)
        if self.meanwhile is not None and request.path == "/v5/execution/list" and self.asked("v5/order/realtime")[self.listed :]:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return response


@pytest.mark.parametrize("end", ["fill", "cancel"])
async def test_a_report_does_not_bring_back_what_the_stream_has_ended_while_it_was_read(end):
    async with trading(Overtaken, "bybit") as under:
        order = await under.resting()
        venue = under.venue

        async def happens():
            if end == "fill":
                await venue.fill(order.client_order_id, "0.012")
            else:
                venue._order_cancel({"orderId": under.record(order).number})
                await venue.tell_order(order.client_order_id)
            await until(lambda: under.said.filled(order.client_order_id) or "OrderCanceled" in under.kinds(order.client_order_id))

        venue.listed, venue.meanwhile = len(venue.asked("v5/order/realtime")), happens
        report = await under.report()
        assert venue.meanwhile is None
        assert report.orders == ()
        assert report.positions[0].quantity == (Decimal("0.012") if end == "fill" else 0)


async def test_a_short_page_is_not_taken_for_the_last():
    async with bybit() as under:
        ours = await under.resting()
        under.venue.is_muted, under.venue.page_max = True, 2
        record = under.record(ours)
        record.quantity = 24
        for _ in range(5):
            under.venue.execute(record, "0.001", "59000")
        for number in range(3):
            name = f"byhand-{number}"
            under.venue.orders[name] = Order(
                name, number=name, side="Buy", kind="Limit", quantity=1, price="1", trigger="", force="GTC", reduces=False, status="New"
            )
        report = await under.report()
        assert [each.intent.client_order_id for each in report.orders] == [ours.client_order_id]
        assert sum(each.fill.lots for each in under.said.all if isinstance(each, OrderFilled)) == 5
        assert len((await under.side.order_trades(under.instrument, record.number)).trades) == 5


async def test_an_order_of_more_trades_than_a_page_is_read_whole():
    async with bybit() as under:
        order = await under.resting()
        under.venue.is_muted = True
        record = under.record(order)
        record.quantity = 12
        for _ in range(120):
            under.venue.execute(record, "0.0001", "59000")
        answer = await under.side.order_trades(under.instrument, record.number)
        assert len({each.trade_id for each in answer.trades}) == 120
