"""The daemon on other venues than its own exchange: Binance's protocol at given addresses, and any exchange through ccxt."""

import json

import pytest

from .daemons import Daemon, smartmoney

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """Run `smartmoney sim` alone; give what it printed."""
    folder = tmp_path_factory.mktemp("exchange")
    with Daemon("--seed", 3, "--port", 0, "--symbols", "BTCUSDT", "--prerun", 20, "--json", command="sim") as process:
        yield process.first_printed()["binance"], folder
        assert process.stop() == 0


def a_run(state, *settings):
    """Run until there is something to judge; return what it showed then. It ends in order."""
    arguments = [word for setting in settings for word in ("--set", setting)]
    with Daemon(*arguments, "--json", "--state-dir", state) as daemon:
        shown = daemon.shows(
            state,
            lambda status: status["feed_trust"] == "synced" and status["decisions"] >= 5 and status["frames"] > 50 and status["trades"] > 0,
            "a synced book and five decisions",
        )
        assert daemon.stop() == 0, daemon.said()
        return shown, daemon.summary()


def test_binance_usdm_at_given_addresses(exchange):
    endpoints, folder = exchange
    state, usdm = folder / "usdm", endpoints["usdm"]
    shown, summary = a_run(state, "venue=binance", "market=usdm", f"endpoints.rest={usdm['rest']}", f"endpoints.ws={usdm['ws']}")
    assert (shown["venue"], summary["gaps"]) == ("binance", 0)
    (seen,) = shown["instruments"].values()
    assert "gapless" in seen["trust_reason"]
    assert json.loads(smartmoney("replay", "last", "--json", "--state-dir", state).stdout)["digest"] == summary["digest"]


def test_any_exchange_through_ccxt_gets_a_book_that_is_not_proven(exchange):
    endpoints, folder = exchange
    state, spot, usdm = folder / "ccxt", endpoints["spot"], endpoints["usdm"]
    urls = {
        "api": {
            "public": f"{spot['rest']}/api/v3",
            "fapiPublic": f"{usdm['rest']}/fapi/v1",
            "ws": {"spot": f"{spot['ws']}/stream", "linear": f"{usdm['ws']}/ws"},
        }
    }
    shown, summary = a_run(state, "venue=ccxt:binance", f"endpoints.ccxt_urls={json.dumps(urls)}")
    assert shown["venue"] == summary["venue"] == "ccxt:binance"
    (seen,) = shown["instruments"].values()
    assert "no sequence to prove it" in seen["trust_reason"]
    assert seen["bid"] < seen["ask"]
    assert json.loads(smartmoney("replay", "last", "--json", "--state-dir", state).stdout)["digest"] == summary["digest"]


def test_an_instrument_that_the_venue_does_not_have_is_a_configuration_error(exchange, tmp_path):
    endpoints, _ = exchange
    spot = endpoints["spot"]
    words = ("venue=binance", 'instruments=["DOGE/USDT"]', f"endpoints.rest={spot['rest']}", f"endpoints.ws={spot['ws']}")
    result = smartmoney("run", *(word for setting in words for word in ("--set", setting)), "--state-dir", tmp_path)
    assert result.returncode == 78
    assert "DOGE" in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_an_exchange_that_cannot_be_reached_is_one_line(tmp_path):
    words = ("venue=binance", "endpoints.rest=http://127.0.0.1:9", "endpoints.ws=ws://127.0.0.1:9")
    result = smartmoney("run", *(word for setting in words for word in ("--set", setting)), "--state-dir", tmp_path)
    assert result.returncode == 1
    assert "127.0.0.1:9" in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr
