"""The row of each venue: what its codes prove, what its ids may be, and who is not traded at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Market
from smartmoney.venues.ccxt_terms import VENUES, classify, is_answer, read_fault, why_not_live
from smartmoney.venues.followed import OURS
from smartmoney.venues.outcomes import Outcome

BYBIT, OKX, BINANCE = VENUES["bybit"], VENUES["okx"], VENUES["binance"]
ids = st.builds(
    "sm{}-{}-{}".format,
    st.text("abcdefghijklmnopqrstuvwxyz0123456789Z", min_size=1, max_size=11),
    st.integers(0, 10**10),
    st.integers(0, 99),
)


@pytest.mark.parametrize(
    ("terms", "status", "code", "message", "outcome"),
    [
        (BYBIT, 200, 0, "", Outcome.DONE),
        (BYBIT, 0, 0, "", Outcome.UNKNOWN),
        (BYBIT, 200, 10000, "Server Timeout", Outcome.UNKNOWN),
        (BYBIT, 200, 10016, "System error. Please try again later.", Outcome.UNKNOWN),
        (BYBIT, 200, 170146, "Order creation timeout", Outcome.UNKNOWN),
        (BYBIT, 200, 170147, "Order cancellation timeout", Outcome.UNKNOWN),
        (BYBIT, 200, 110079, "The order is processing", Outcome.UNKNOWN),
        (BYBIT, 200, 110072, "OrderLinkedID is duplicate", Outcome.DUPLICATE),
        (BYBIT, 200, 170141, "Duplicate clientOrderId", Outcome.DUPLICATE),
        (BYBIT, 200, 110007, "ab not enough for new order", Outcome.FUNDS),
        (BYBIT, 200, 170131, "Balance insufficient", Outcome.FUNDS),
        (BYBIT, 200, 110001, "order not exists or too late to cancel", Outcome.NOT_FOUND),
        (BYBIT, 200, 110094, "Order notional value below the lower limit", Outcome.REFUSED),
        (BYBIT, 200, 10001, "params error", Outcome.REFUSED),
        (BYBIT, 200, 10002, "request expired", Outcome.CLOCK),
        (BYBIT, 200, 10006, "Too many visits!", Outcome.LIMITED),
        (BYBIT, 200, 10003, "API key is invalid", Outcome.KEY),
        (BYBIT, 403, 0, "Forbidden", Outcome.UNKNOWN),
        (BYBIT, 200, 77, "a code that nobody has written down", Outcome.UNKNOWN),
        (OKX, 200, 50004, "timeout", Outcome.UNKNOWN),
        (OKX, 503, 50001, "busy", Outcome.UNKNOWN),
        (OKX, 429, 50011, "Too Many Requests", Outcome.LIMITED),
        (OKX, 200, 50061, "rate of the account", Outcome.LIMITED),
        (OKX, 401, 50102, "Timestamp request expired", Outcome.CLOCK),
        (OKX, 401, 50111, "Invalid OK-ACCESS-KEY", Outcome.KEY),
        (OKX, 401, 50110, "Your IP is not in the list", Outcome.KEY),
        (OKX, 200, 51008, "Insufficient balance", Outcome.FUNDS),
        (OKX, 200, 51016, "Duplicated client order ID", Outcome.DUPLICATE),
        (OKX, 200, 51000, "Parameter clOrdId error", Outcome.DUPLICATE),
        (OKX, 200, 51000, "Parameter sz error", Outcome.REFUSED),
        (OKX, 200, 51020, "below the smallest amount", Outcome.REFUSED),
        (OKX, 200, 51603, "Order does not exist", Outcome.NOT_FOUND),
        (OKX, 200, 51410, "already under cancelling", Outcome.UNKNOWN),
        (OKX, 200, 1, "All operations failed", Outcome.UNKNOWN),
        (BINANCE, 400, -2010, "Duplicate order sent.", Outcome.DUPLICATE),
        (BINANCE, 400, -2010, "Account has insufficient balance for requested action.", Outcome.FUNDS),
        (BINANCE, 400, -1007, "Timeout waiting for response", Outcome.UNKNOWN),
        (BINANCE, 400, -1013, "Filter failure: NOTIONAL", Outcome.REFUSED),
        (BINANCE, 418, 0, "I'm a teapot", Outcome.LIMITED),
    ],
)
def test_an_answer_proves_what_the_venue_s_code_says(terms, status, code, message, outcome):
    assert classify(terms, status, code, message) is outcome


@pytest.mark.parametrize("terms", VENUES.values(), ids=VENUES)
def test_a_code_has_one_meaning_in_its_row(terms):
    codes = terms.codes
    sets = [codes.doubtful, codes.limited, codes.key, codes.clock, codes.not_found, codes.funds, codes.duplicate]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))


@given(st.sampled_from(list(VENUES.values())), st.integers(0, 599), st.integers(-10_000, 200_000), st.text(max_size=20))
def test_nothing_but_a_success_is_done(terms, status, code, message):
    outcome = classify(terms, status, code, message)
    assert (outcome is Outcome.DONE) == (200 <= status < 300 and code == 0)


def test_an_order_s_own_code_goes_before_its_list_s():
    both = {"code": "1", "msg": "All operations failed", "data": [{"sCode": "0"}, {"sCode": "51008", "sMsg": "Insufficient balance"}]}
    assert read_fault(OKX.faults, both) == (51008, "Insufficient balance")
    assert read_fault(OKX.faults, {"code": "2", "msg": "Bulk operation partially succeeded", "data": []})[0] == 2
    assert read_fault(OKX.faults, {"code": "0", "data": []}) is None
    assert read_fault(OKX.faults, {"code": "0", "data": [{"sCode": "51016", "sMsg": "clOrdId duplicate"}]}) == (51016, "clOrdId duplicate")
    assert read_fault(BYBIT.faults, {"retCode": 10006, "retMsg": "Too many visits!"}) == (10006, "Too many visits!")
    assert read_fault(BINANCE.faults, {"code": 200}) is None
    assert not is_answer(BYBIT.faults, {})
    assert not is_answer(OKX.faults, "<html>")
    assert is_answer(BINANCE.faults, [])


@given(st.sampled_from(list(VENUES.values())), ids)
def test_a_client_id_of_ours_goes_there_and_comes_back(terms, name):
    wire = terms.to_wire(name)
    assert terms.client_id.fullmatch(wire)
    assert len(wire) <= 36
    assert terms.from_wire(wire) == name
    assert OURS.fullmatch(terms.from_wire(wire))


@given(ids, ids)
def test_two_ids_are_two_at_a_venue_without_dashes(one, other):
    assert (OKX.to_wire(one) == OKX.to_wire(other)) == (one == other)


def test_an_id_that_the_venue_cannot_have_is_refused_and_a_stranger_s_stays_as_it_is():
    assert OKX.to_wire("sm1ng6v4trs6k-1234-5") == "sm1ng6v4trs6kZ1234Z5"
    for terms, name in ((OKX, "sm_a-1-0"), (OKX, "sm" + "a" * 30 + "-1-0"), (BYBIT, "sm" + "a" * 40), (BYBIT, "sm.a-1-0"), (OKX, "")):
        with pytest.raises(ValueError, match="cannot be a client order id"):
            terms.to_wire(name)
    assert OKX.from_wire("webZ5") == "webZ5"
    assert OKX.from_wire("") == ""


@pytest.mark.parametrize(
    ("venue", "market", "is_rehearsal", "said"),
    [
        ("bybit", Market.USDM, False, None),
        ("okx", Market.USDM, False, None),
        ("kraken", Market.SPOT, False, "nobody has said what the answers of ccxt:kraken prove"),
        ("kraken", Market.SPOT, True, "run it with --paper"),
        ("bybit", Market.SPOT, False, None),
        ("okx", Market.SPOT, False, "one order under one name"),
        ("binanceusdm", Market.USDM, False, "write `venue: binance`"),
        ("binanceusdm", Market.USDM, True, None),
        ("binance", Market.SPOT, True, None),
        ("binance", Market.USDM, True, "has no `market: usdm`"),
    ],
)
def test_who_is_not_traded_live_is_told_why(venue, market, is_rehearsal, said):
    found = why_not_live(venue, market, is_rehearsal=is_rehearsal)
    assert (found is None) if said is None else (said in found)
