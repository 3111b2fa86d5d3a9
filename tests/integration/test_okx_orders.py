"""OKX swaps through ccxt.pro's own class, on a venue that answers in the documented payloads: each known trap, one by one."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.entries import (
    CancelRejected,
    HaltRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
)
from smartmoney.core.domain.orders import TimeInForce

from .ccxt_gateways import trading
from .okx_venue import OkxVenue
from .scripted_venue import PASSPHRASE, SECRET, Script

PLACE, PLACE_STOP = "api/v5/trade/order", "api/v5/trade/order-algo"


def okx(**more):
    return trading(OkxVenue, "okx", **more)


def sent(venue, path):
    return [params for params in venue.asked(path) if "sz" in params]


async def resting(under, **more):
    order = await under.resting(**more)
    return order, under.record(order)


async def test_ids_are_ours_in_letters_and_digits_and_sizes_are_contracts():
    async with okx() as under:
        assert (under.instrument.lot_size, under.instrument.tick_size) == (Decimal("0.001"), Decimal("0.1"))
        entry, maker, immediate, stop, leave = (
            under.entry(),
            under.entry(post_only=True),
            under.entry(time_in_force=TimeInForce.IOC),
            under.stop(),
            under.exit(),
        )
        under.submit(entry, maker, immediate, stop, leave)
        await under.until(lambda: len(under.venue.orders) == 5)
        plain = {under.terms.from_wire(each["clOrdId"]): each for each in sent(under.venue, PLACE)}
        assert set(plain) == {each.client_order_id for each in (entry, maker, immediate, leave)}
        assert all(each["clOrdId"].isalnum() and len(each["clOrdId"]) <= 32 and not each.get("tag") for each in plain.values())
        assert all((each["sz"], each["tdMode"], each["instId"]) == ("1.2", "isolated", "BTC-USDT-SWAP") for each in plain.values())
        kinds = [plain[each.client_order_id]["ordType"] for each in (entry, maker, immediate, leave)]
        assert kinds == ["limit", "post_only", "ioc", "market"]
        assert "px" not in plain[leave.client_order_id]
        assert plain[leave.client_order_id]["reduceOnly"] is True
        (conditional,) = sent(under.venue, PLACE_STOP)
        assert under.terms.from_wire(conditional["algoClOrdId"]) == stop.client_order_id
        assert conditional["clOrdId"] == conditional["algoClOrdId"], "left to itself ccxt puts a broker's name there"
        assert (conditional["ordType"], conditional["slTriggerPx"], conditional["slOrdPx"]) == ("conditional", "58000", "-1")
        assert (conditional["sz"], conditional["reduceOnly"], conditional["side"]) == ("1.2", True, "sell")


async def test_an_order_is_void_after_the_same_time_as_elsewhere():
    async with okx() as under:
        await resting(under)
        headers = next(headers for path, params, headers in under.venue.calls if path == PLACE and "sz" in params)
        assert 2_000 < int(headers["expTime"]) - under.venue.clock_ms() + 1_000 <= 4_100


@pytest.mark.parametrize(
    "script",
    [
        Script(50004, "API endpoint request timeout (does not indicate success or failure of order)", does=True),
        Script(50026, "System error. Try again later", does=True),
        Script(50013, "Systems are busy. Please try again later.", does=True),
        Script(status=504, body="<html>gateway time-out</html>", does=True),
    ],
    ids=["50004", "50026", "50013", "HTTP 504"],
)
async def test_a_time_out_proves_nothing_and_the_order_is_found_by_its_id(script):
    async with okx() as under:
        under.venue.script(PLACE, script)
        order, _ = await resting(under)
        assert under.kinds(order.client_order_id)[:2] == ["OutcomeUnknown", "OrderAccepted"]
        assert len(sent(under.venue, PLACE)) == 1


@pytest.mark.parametrize(("code", "message"), [(51016, "Client order ID already exists."), (51000, "Parameter clOrdId error")])
async def test_a_duplicate_client_id_is_our_own_order_from_before(code, message):
    async with okx() as under:
        under.venue.script(PLACE, Script(code, message, does=True))
        order, _ = await resting(under)
        assert str(code) in under.said.of(order.client_order_id, OutcomeUnknown)[0].reason
        assert not under.said.of(order.client_order_id, OrderRejected)


@pytest.mark.parametrize(
    ("code", "message"),
    [(51008, "Insufficient margin"), (51020, "Your order should meet or exceed the minimum"), (51000, "Parameter sz error")],
)
async def test_a_refusal_in_an_answer_of_http_200_is_a_refusal(code, message):
    async with okx() as under:
        under.venue.script(PLACE, Script(code, message))
        order = under.entry()
        under.submit(order)
        await under.until(lambda: under.said.of(order.client_order_id, OrderRejected))
        assert message in under.said.of(order.client_order_id, OrderRejected)[0].reason


async def test_partial_fills_pushed_twice_and_out_of_order_are_booked_once_with_their_fees():
    async with okx() as under:
        order, record = await resting(under)
        name = order.client_order_id
        early = under.venue.row(record)
        _, first = under.venue.execute(record, "0.5", "59000.1")
        _, second = under.venue.execute(record, "0.7", "59000")
        for row in (second, first, early, first, second):
            await under.venue.push("orders", under.venue.frame(row), times=2)
        await under.until(lambda: under.said.filled(name) == 12)
        await under.report()
        fills = sorted((each.fill for each in under.said.of(name, OrderFilled)), key=lambda fill: fill.lots)
        assert [(fill.lots, fill.price_ticks) for fill in fills] == [(5, 590_001), (7, 590_000)]
        assert [fill.fee for fill in fills] == [Decimal("0.147500250"), Decimal("0.206500")], "a fee is paid, not received"
        assert [str(each.quantity) for each in under.said.reports()[-1].positions] == ["0.012"]


async def test_fees_are_the_same_from_the_stream_and_from_reading():
    async with okx() as under:
        (told, told_record), (read, read_record) = await resting(under), await resting(under)
        await under.venue.fill(told_record, "1.2")
        under.venue.is_muted = True
        await under.venue.fill(read_record, "1.2")
        await under.report()
        await under.until(lambda: under.said.filled(told.client_order_id) == under.said.filled(read.client_order_id) == 12)
        fees = {each.fill.fee for name in (told, read) for each in under.said.of(name.client_order_id, OrderFilled)}
        assert fees == {Decimal("0.36000")}


async def test_a_stop_lives_apart_and_what_it_sends_is_told_as_its_own_fill():
    async with okx() as under:
        _, record = await resting(under)
        await under.venue.fill(record, "1.2")
        stop = under.stop()
        await under.accepted(stop)
        assert under.said.of(stop.client_order_id, OrderAccepted)[0].venue_order_id.startswith("algo-")
        assert [each.intent.client_order_id for each in (await under.report()).orders] == [stop.client_order_id]
        algo, child = under.venue.trigger(under.terms.to_wire(stop.client_order_id))
        await under.venue.tell_order(algo)
        await under.venue.fill(child, "1.2", "57990")
        await under.until(lambda: under.said.filled(stop.client_order_id) == 12)
        report = await under.report()
        assert report.orders == ()
        assert all(each.quantity == 0 for each in report.positions)


async def test_a_triggered_stop_of_which_the_stream_told_nothing_is_found_by_reading():
    async with okx() as under:
        _, record = await resting(under)
        await under.venue.fill(record, "1.2")
        stop = under.stop()
        await under.accepted(stop)
        under.venue.is_muted = True
        _, child = under.venue.trigger(under.terms.to_wire(stop.client_order_id))
        under.venue.execute(child, "1.2", "57990")
        await under.report()
        await under.until(lambda: under.said.filled(stop.client_order_id) == 12)


async def test_cancels_plain_and_apart_and_one_that_came_too_late():
    async with okx() as under:
        (order, _), (late, record), stop = await resting(under), await resting(under), under.stop()
        await under.accepted(stop)
        under.cancel(order.client_order_id, stop.client_order_id)
        await under.until(lambda: all(under.said.of(each.client_order_id, OrderCanceled) for each in (order, stop)))
        under.venue.is_muted = True
        await under.venue.fill(record, "1.2")
        under.cancel(late.client_order_id, "smnobody-1-0")
        await under.until(lambda: under.said.filled(late.client_order_id) == 12)
        await under.until(lambda: under.said.of("smnobody-1-0", CancelRejected))


async def test_a_stop_of_unknown_outcome_leaves_again_under_the_same_id_and_is_one_stop():
    async with okx() as under:
        under.venue.script(PLACE_STOP, Script(50004, "API endpoint request timeout"))
        stop = under.stop()
        await under.accepted(stop)
        assert len({each["algoClOrdId"] for each in sent(under.venue, PLACE_STOP)}) == 1
        assert len(sent(under.venue, PLACE_STOP)) == 2
        assert len(under.venue.orders) == 1


async def test_an_immediate_order_that_finds_nothing_expires_and_a_maker_that_would_take_is_over():
    async with okx() as under:
        (order, record), (maker, other) = await resting(under, time_in_force=TimeInForce.IOC), await resting(under, post_only=True)
        record.is_live, record.state = False, "canceled"
        other.is_live, other.state, other.reason = False, "canceled", "31"
        await under.venue.tell_order(record)
        await under.venue.tell_order(other)
        await under.until(lambda: under.said.of(order.client_order_id, OrderExpired))
        await under.until(lambda: under.said.of(maker.client_order_id, OrderExpired))
        assert under.said.of(maker.client_order_id, OrderExpired)[0].reason == "31"


async def test_a_clock_that_jumps_is_measured_again_and_the_order_goes():
    async with okx() as under:
        under.venue.skew_ms = 60_000
        stop = under.stop()
        await under.accepted(stop)
        assert abs(under.account.clock_offset_ms - 60_000) < 500


async def test_a_key_or_passphrase_that_is_refused_halts_and_is_not_shown(caplog):
    async with okx() as under:
        under.venue.script(PLACE, Script(50105, "Request header OK-ACCESS-PASSPHRASE incorrect."))
        under.submit(under.entry())
        await under.until(lambda: any(isinstance(each, HaltRequested) for each in under.said.all))
        shown = str(under.said.all) + caplog.text
        assert SECRET not in shown
        assert PASSPHRASE not in shown


async def test_reports_and_trades_are_read_behind_a_full_page():
    async with okx() as under:
        (entry, record), stop = await resting(under), under.stop()
        await under.accepted(stop)
        for number in range(100):
            side = {"side": "buy", "sz": "1", "ordType": "limit"}
            under.venue._trade_order({**side, "clOrdId": f"byhand{number}", "px": "1"})
            under.venue._trade_order_algo({**side, "algoClOrdId": f"bystop{number}", "slTriggerPx": "1"})
        report = await under.report()
        assert {each.intent.client_order_id for each in report.orders} == {entry.client_order_id, stop.client_order_id}
        under.venue.is_muted = True
        for _ in range(110):
            under.venue.execute(record, "0.01", "60000")
        answer = await under.side.order_trades(under.instrument, record.number)
        assert len({each.trade_id for each in answer.trades}) == 110
