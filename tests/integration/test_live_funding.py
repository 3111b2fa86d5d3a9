"""Funding and moved money over real sockets: what the exchange's ledger has of them is told, once, whatever becomes of stream and list."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.entries import FundingPaid, MoneyMoved
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime import live_money
from smartmoney.runtime.live_money import MoneyBeginning
from smartmoney.venues.binance.money_news import BOOKED, MOVED
from tests.contract.venues import live_under
from tests.integration.moments import far_from_funding
from tests.integration.tradable import DEMO

pytestmark = pytest.mark.slow


def paid(venue):
    return [each for each in venue.said.all if isinstance(each, FundingPaid)]


def moved(venue):
    return [(each.asset, each.amount) for each in venue.said.all if isinstance(each, MoneyMoved)]


async def charged(venue):
    account = await venue.ledger()
    return {f"FUNDING_FEE-{one['number']}": Decimal(one["amount"]) for one in account["income"] if one["kind"] == "FUNDING_FEE"}


async def move(venue, amount):
    """Deposit or withdraw at the exchange."""
    import aiohttp

    body = {"account": DEMO.name, "wallet": venue.market.value, "asset": "USDT", "amount": str(abs(amount))}
    path = "/sim/deposit" if amount > 0 else "/sim/withdraw"
    async with aiohttp.ClientSession() as session, session.post(venue.where[Market.SPOT].rest + path, json=body) as answer:
        assert answer.status == 200, await answer.text()


async def all_told(venue, count):
    await venue.until(lambda: len(paid(venue)) >= count)
    told = {each.reference: each.amount for each in paid(venue)}
    assert len(told) == len(paid(venue)), "a payment was told twice"
    assert told == await charged(venue)


async def test_funding_is_told_once_by_stream_and_list_together():
    async with live_under(Market.USDM, begins=far_from_funding) as venue:
        venue.make()
        async with venue.running():
            await venue.bought(1000)
            for count in (1, 2, 3):
                async with venue.fault("funding", rate=0.001 * count, count=1) as acted:
                    await venue.until(acted)
                await all_told(venue, count)
            await venue.money.look(BOOKED)
            await all_told(venue, 3)
            assert all(each.amount < 0 and each.instrument == 0 for each in paid(venue))


@pytest.mark.parametrize("without", ["stream", "list at first"])
async def test_funding_is_told_although_stream_or_list_are_silent_for_a_while(monkeypatch, without):
    monkeypatch.setattr(live_money, "EVERY_S", 1.0)
    monkeypatch.setattr(live_money, "AFTER_UP_S", 1.0)
    async with live_under(Market.USDM, begins=far_from_funding) as venue:
        venue.make()
        async with venue.running():
            await venue.bought(1000)
            mute = {"kind": "private_silence"} if without == "stream" else {"kind": "server_error", "call": "GET income", "count": 3}
            async with venue.fault(**mute), venue.fault("funding", count=1) as acted:
                await venue.until(acted)
                await all_told(venue, 1)


async def test_a_life_that_ends_before_a_payment_was_booked_leaves_it_to_the_next():
    async with live_under(Market.USDM, begins=far_from_funding) as venue:
        venue.make()
        began_ms = venue.server.now_ns() // 1_000_000
        async with venue.running():
            await venue.bought(1000)
            async with venue.fault("funding", count=2) as acted:
                await venue.until(lambda: acted() == 2)
            await all_told(venue, 2)
            first, second = paid(venue)
        venue.said.all.clear()
        # Booked: the first; posted and lost with the process: the second.
        at_ms = first.ts_event_ns // 1_000_000
        venue.make(money=MoneyBeginning(from_ms=dict.fromkeys((*BOOKED, *MOVED), max(began_ms, at_ms)), booked=(first.reference,)))
        async with venue.running():
            await venue.until(lambda: paid(venue))
            await venue.report()
            await venue.money.look(BOOKED)
            assert [each.reference for each in paid(venue)] == [second.reference]
            before = [type(each).__name__ for each in venue.said.all]
            assert before.index("FundingPaid") < before.index("AccountReported"), "equity is whole before READY"


async def test_what_a_liquidation_costs_beside_its_trade_is_booked():
    async with live_under(Market.USDM, begins=far_from_funding) as venue:
        venue.make()
        async with venue.running():
            await venue.bought(1000)
            async with venue.fault("liquidation") as acted:
                await venue.until(acted)
            await venue.until(lambda: paid(venue))
            rows = [one for one in (await venue.ledger())["income"] if one["kind"] == "INSURANCE_CLEAR"]
            assert [(each.reference, each.amount) for each in paid(venue)] == [
                (f"INSURANCE_CLEAR-{one['number']}", Decimal(one["amount"])) for one in rows
            ]


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM], ids=["spot", "usdm"])
async def test_money_that_somebody_moves_is_told_once_and_is_no_trade(market):
    async with live_under(market, begins=far_from_funding) as venue:
        venue.make()
        async with venue.running():
            await venue.bought(500)
            await venue.report()
            assert moved(venue) == []
            for count, amount in enumerate((Decimal(250), Decimal("-40.5")), start=1):
                await move(venue, amount)
                await venue.until(lambda count=count: len(moved(venue)) >= count)
                assert moved(venue)[-1] == ("USDT", amount)
            await venue.bought(300)
            await venue.report()
            assert len(moved(venue)) == 2
