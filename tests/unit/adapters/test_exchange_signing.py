"""Signatures, windows and keys of private requests, to the letter."""

import hashlib
import hmac

import pytest

from smartmoney.adapters.exchange_signing import Parameters, check_signature, fields_of, identify, signed_params, signed_text
from smartmoney.simulation.exchange.accounts import Accounts, AccountSpec, ApiKey, Permissions
from smartmoney.simulation.exchange.refusals import Refusal

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
NOW_MS = 1_499_827_319_559
QUERY = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


def accounts(**permissions):
    key = ApiKey(key=KEY, secret=SECRET, permissions=Permissions(**permissions))
    return Accounts((AccountSpec(name="a", keys=(key,)),))


def checked(query, body="", now_ms=NOW_MS):
    check_signature(accounts(), KEY, signed_text(query, body), fields_of(query, body), now_ms * 1_000_000)


def code(call, *arguments, **more):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **more)
    return caught.value.code


@pytest.mark.parametrize(
    ("query", "body", "signature"),
    [
        (QUERY, "", SIGNATURE),
        ("", QUERY, SIGNATURE),
        (QUERY[:45], QUERY[45:], SIGNATURE),
        (QUERY, "", SIGNATURE.upper()),
    ],
)
def test_the_documentations_own_example_is_accepted_in_query_body_and_both(query, body, signature):
    """The vector of rest-api.md: a request signed with the documented secret."""
    end = f"&signature={signature}"
    if body:
        checked(query.removesuffix("&"), body + end) if query.endswith("&") or not query else checked(query, body + end)
    else:
        checked(query + end)


def test_the_order_of_parameters_is_part_of_what_is_signed():
    first, second, *rest = QUERY.split("&")
    assert code(checked, "&".join([second, first, *rest]) + f"&signature={SIGNATURE}") == -1022


@pytest.mark.parametrize("change", [("quantity=1", "quantity=2"), ("LTCBTC", "LTCBTD"), ("&price=0.1", "&price=0.10")])
def test_any_change_breaks_the_signature(change):
    assert code(checked, QUERY.replace(*change) + f"&signature={SIGNATURE}") == -1022


def test_what_is_not_there_is_asked_for():
    assert code(checked, QUERY) == -1102
    assert code(checked, QUERY.replace("&timestamp=1499827319559", "") + f"&signature={SIGNATURE}") == -1102


@pytest.mark.parametrize(("later_ms", "expected"), [(0, None), (5000, None), (5001, -1021), (-999, None), (-1000, -1021)])
def test_the_window_is_five_seconds_back_and_one_ahead(later_ms, expected):
    query = QUERY + f"&signature={SIGNATURE}"
    if expected is None:
        checked(query, now_ms=NOW_MS + later_ms)
    else:
        assert code(checked, query, now_ms=NOW_MS + later_ms) == expected


def test_the_window_has_a_limit_and_the_timestamp_may_be_in_microseconds():
    def signed(query):
        return query + "&signature=" + hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()

    assert code(checked, signed(QUERY.replace("recvWindow=5000", "recvWindow=60001"))) == -1131
    checked(signed(QUERY.replace("timestamp=1499827319559", "timestamp=1499827319559000")))
    checked(signed("symbol=%EF%BC%91&timestamp=1499827319559"))


def test_a_name_that_is_sent_twice_is_refused():
    assert code(fields_of, "a=1&a=2", "") == -1101
    assert fields_of("a=1", "a=2&b=3") == {"a": "1", "b": "3"}


def test_keys_are_checked_for_form_existence_permission_and_address():
    known = accounts(trade=False, addresses=("10.0.0.1",))
    assert code(identify, known, "", "10.0.0.1", "USER_DATA") == -2014
    assert code(identify, known, "not a key!", "10.0.0.1", "USER_DATA") == -2014
    assert code(identify, known, "A" * 64, "10.0.0.1", "USER_DATA") == -2015
    assert code(identify, known, KEY, "10.0.0.2", "USER_DATA") == -2015
    assert code(identify, known, KEY, "10.0.0.1", "TRADE") == -2015
    assert identify(known, KEY, "10.0.0.1", "USER_DATA")[0].spec.name == "a"
    known.revoke(KEY)
    assert code(identify, known, KEY, "10.0.0.1", "USER_DATA") == -2015


def test_the_websocket_api_signs_parameters_by_name():
    """The vector of web-socket-api.md: parameters sorted by name."""
    params = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": "100",
        "timestamp": "1645423376532",
        "apiKey": KEY,
        "signature": "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
    }
    check_signature(accounts(), KEY, signed_params(params), params, 1_645_423_376_532 * 1_000_000)


def test_parameters_that_nothing_reads_are_refused():
    read = Parameters({"symbol": "A", "extra": "1", "timestamp": "1", "signature": "x"}, Permissions())
    assert read.needed("symbol") == "A"
    assert code(read.refuse_unread) == -1104
    assert code(read.needed, "price") == -1102
    assert code(Parameters({"n": "1x"}, Permissions()).whole, "n") == -1100
