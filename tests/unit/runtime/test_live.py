"""What a rehearsal is, where an account's interfaces are, who may hold an account, and what must lie in it."""

from decimal import Decimal

import pytest

from smartmoney.runtime.assembly import simulated_words
from smartmoney.runtime.live import AccountTaken, door_terms, hold_account, live_endpoints
from smartmoney.runtime.modes import is_rehearsal, run_mode
from smartmoney.settings.models import Settings

HERE = {"rest": "http://127.0.0.1:9000", "ws": "ws://localhost:9000"}


def settings(market="spot", venue="binance", mode="live", capital=500, **endpoints):
    return Settings.model_validate({"mode": mode, "venue": venue, "market": market, "capital": capital, "endpoints": endpoints})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HERE, True),
        ({**HERE, "ws_api": "ws://127.0.0.1:9000/ws-api/v3", "sapi": "http://[::1]:9000"}, True),
        ({}, False),
        ({"rest": HERE["rest"]}, False),
        ({**HERE, "rest": "https://api.binance.com"}, False),
        ({**HERE, "ws": "wss://stream.binance.com:9443"}, False),
        ({**HERE, "ws_api": "wss://ws-api.binance.com/ws-api/v3"}, False),
        ({**HERE, "sapi": "https://api.binance.com"}, False),
        ({**HERE, "rest": "http://127.0.0.1.example.com:9000"}, False),
    ],
)
def test_a_rehearsal_reaches_nothing_but_this_machine(given, expected):
    assert is_rehearsal(settings(**given)) is expected
    assert run_mode(settings(**given)) == ("rehearsal" if expected else "live")


def test_another_venue_is_no_rehearsal_and_paper_stays_paper():
    assert not is_rehearsal(settings(venue="ccxt:kraken", **HERE))
    assert run_mode(settings(mode="paper", **HERE)) == "paper"
    assert "rehearsal" in simulated_words(settings(**HERE))


def test_the_account_s_stream_is_where_the_streams_are_unless_said_otherwise():
    assert live_endpoints(settings(**HERE)).ws_api == "ws://localhost:9000/ws-api/v3"
    assert live_endpoints(settings(**HERE, ws_api="ws://127.0.0.1:7/x")).ws_api == "ws://127.0.0.1:7/x"
    assert live_endpoints(settings()).ws_api.startswith("wss://ws-api.binance.com")
    assert live_endpoints(settings(market="usdm")).rest == "https://fapi.binance.com"


def test_an_account_is_held_once_and_let_go_of():
    with hold_account("binance:spot:here:1"):
        with pytest.raises(AccountTaken, match="another daemon") as caught, hold_account("binance:spot:here:1"):
            pass
        assert caught.value.exit_code == 78
        with hold_account("binance:spot:here:2"):
            pass
    with hold_account("binance:spot:here:1"):
        pass


def test_what_must_lie_there_is_what_the_journal_says_is_left():
    fresh = door_terms(settings(), Decimal(500), Decimal(0))
    assert (fresh.capital, fresh.money_needed, fresh.largest_position) == (500, 500, 50)
    invested = door_terms(settings(), Decimal(450), Decimal(50))
    assert invested.money_needed == 450, "the rest was spent on what is held"
    assert door_terms(settings(market="usdm"), Decimal(450), Decimal(50)).money_needed == 500, "a derivative is not paid for"
    assert door_terms(settings(market="usdm"), Decimal(560), Decimal(-60)).money_needed == 500
