"""Funding at Bybit and OKX over real sockets: booked once, whatever becomes of stream, list and process; what a person moves is told."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.entries import FundingPaid, HaltRequested, MoneyMoved, OrderFilled
from smartmoney.runtime import live_money
from smartmoney.runtime.live_money import MoneyBeginning

from .bybit_venue import BybitVenue
from .ccxt_gateways import CcxtUnder, trading
from .okx_venue import OkxVenue
from .scripted_venue import Script, serving

MAKES = {"bybit": BybitVenue, "okx": OkxVenue}
LISTS = {"bybit": "v5/account/transaction-log", "okx": "api/v5/account/bills"}
BOTH = pytest.mark.parametrize("name", ["bybit", "okx"])


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(live_money, "EVERY_S", 0.5)
    monkeypatch.setattr(live_money, "AFTER_UP_S", 0.2)


def told(under, kind):
    return [each for each in under.said.all if isinstance(each, kind)]


@BOTH
async def test_a_payment_is_booked_once_and_what_a_person_moves_is_told(name):
    async with trading(MAKES[name], name) as under:
        names = [await under.venue.charge("-0.25"), await under.venue.charge("0.1")]
        await under.until(lambda: len(told(under, FundingPaid)) == 2)
        await under.venue.charge("500", kind="TRANSFER_IN" if name == "bybit" else "TRANSFER")
        await under.until(lambda: told(under, MoneyMoved))
        for _ in range(3):
            asked = len(under.venue.asked(LISTS[name]))
            await under.until(lambda asked=asked: len(under.venue.asked(LISTS[name])) > asked + 2)
        assert [(each.reference, each.amount, each.instrument) for each in told(under, FundingPaid)] == [
            (names[0], Decimal("-0.25"), 0),
            (names[1], Decimal("0.1"), 0),
        ]
        assert [(each.asset, each.amount) for each in told(under, MoneyMoved)] == [("USDT", Decimal(500))]
        assert told(under, OrderFilled) == [], "a payment is no trade"
        assert not told(under, HaltRequested)


async def test_bybit_the_stream_says_when_to_look(monkeypatch):
    monkeypatch.setattr(live_money, "EVERY_S", 3_600.0)
    monkeypatch.setattr(live_money, "AFTER_UP_S", 3_600.0)
    async with trading(BybitVenue, "bybit") as under:
        asked = len(under.venue.asked(LISTS["bybit"]))
        name = await under.venue.charge("-0.25")
        await under.until(lambda: told(under, FundingPaid))
        assert told(under, FundingPaid)[0].reference == name
        assert len(under.venue.asked(LISTS["bybit"])) > asked
        assert told(under, OrderFilled) == []


@BOTH
async def test_a_list_that_fails_is_read_again_and_loses_nothing(name):
    async with trading(MAKES[name], name) as under:
        under.venue.script(LISTS[name], *[Script(status=502, body="<html>") for _ in range(3)])
        reference = await under.venue.charge("-0.25")
        await under.until(lambda: told(under, FundingPaid))
        assert [each.reference for each in told(under, FundingPaid)] == [reference]
        assert not told(under, HaltRequested)


@BOTH
async def test_a_start_books_what_was_paid_meanwhile_and_nothing_twice(name):
    async with serving(MAKES[name]()) as venue:
        since_ms = venue.clock_ms() - 60_000
        known, new = await venue.charge("-0.25"), await venue.charge("-0.3")
        under = CcxtUnder(venue, name)
        listed = {"bybit": ("SETTLEMENT", "TRANSFER_IN", "TRANSFER_OUT"), "okx": ("FUNDING", "TRANSFER")}[name]
        await under.make(money=MoneyBeginning(from_ms=dict.fromkeys(listed, since_ms), booked=(known,)))
        async with under.running():
            # The first report of a start follows the payments of the time before it.
            payload = next(each for each in under.said.all if type(each).__name__ in {"FundingPaid", "AccountReported"})
            assert isinstance(payload, FundingPaid)
            assert [each.reference for each in told(under, FundingPaid)] == [new]
