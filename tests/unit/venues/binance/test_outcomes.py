"""What an answer proves: by status and code, and UNKNOWN wherever it proves nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.venues.binance.outcomes import classify
from smartmoney.venues.outcomes import Outcome

TABLE = [
    (200, 0, "", Outcome.DONE),
    (200, 200, "success", Outcome.DONE),
    (0, 0, "", Outcome.UNKNOWN),
    (500, 0, "", Outcome.UNKNOWN),
    (502, 0, "<html>", Outcome.UNKNOWN),
    (503, -1008, "Server is currently overloaded", Outcome.UNKNOWN),
    (400, -1006, "An unexpected response was received", Outcome.UNKNOWN),
    (400, -1007, "Timeout waiting for response", Outcome.UNKNOWN),
    (403, 0, "", Outcome.UNKNOWN),
    (404, 0, "", Outcome.UNKNOWN),
    (429, -1003, "Too much request weight used", Outcome.LIMITED),
    (418, -1003, "banned", Outcome.LIMITED),
    (400, -1015, "Too many new orders", Outcome.LIMITED),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", Outcome.CLOCK),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", Outcome.KEY),
    (400, -1022, "Signature for this request is not valid.", Outcome.KEY),
    (400, -2010, "Account has insufficient balance for requested action.", Outcome.FUNDS),
    (400, -2019, "Margin is insufficient.", Outcome.FUNDS),
    (400, -2010, "Duplicate order sent.", Outcome.DUPLICATE),
    (400, -4116, "ClientOrderId is duplicated.", Outcome.DUPLICATE),
    (400, -2010, "Order would immediately match and take.", Outcome.REFUSED),
    (400, -2021, "Order would immediately trigger.", Outcome.REFUSED),
    (400, -2022, "ReduceOnly Order is rejected.", Outcome.REFUSED),
    (400, -1013, "Filter failure: NOTIONAL", Outcome.REFUSED),
    (400, -5022, "Post Only order will be rejected.", Outcome.REFUSED),
    (400, -2011, "Unknown order sent.", Outcome.NOT_FOUND),
    (400, -2013, "Order does not exist.", Outcome.NOT_FOUND),
]


@pytest.mark.parametrize(("status", "code", "message", "outcome"), TABLE)
def test_the_table(status, code, message, outcome):
    assert classify(status, code, message) is outcome


@given(st.integers(500, 599), st.integers(-9999, 0), st.text(max_size=40))
def test_no_5xx_is_ever_taken_for_a_refusal(status, code, message):
    assert classify(status, code, message) in {Outcome.UNKNOWN, Outcome.LIMITED}
    assert code in {-1003, -1015} or classify(status, code, message) is Outcome.UNKNOWN


@given(st.integers(0, 599), st.integers(-9999, 0), st.text(max_size=40))
def test_only_a_success_is_done(status, code, message):
    if classify(status, code, message) is Outcome.DONE:
        assert status in {200, 201}
        assert code == 0
