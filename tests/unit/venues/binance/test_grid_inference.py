"""Instruments inferred from frames: the finest decimal used, nothing finer; assets from the symbol."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.grid_inference import infer_grid, split_symbol


def depth(symbol: str, *levels: tuple[str, str]) -> bytes:
    rows = ",".join(f'["{p}","{q}"]' for p, q in levels)
    return f'{{"e":"depthUpdate","E":1,"s":"{symbol}","U":1,"u":1,"b":[{rows}],"a":[]}}'.encode()


def test_the_finest_decimal_in_use_is_the_grid_and_trailing_zeros_are_not():
    frames = [
        (depth("BTCUSDT", ("61000.10000000", "0.50000000"), ("1.00000000", "0.00000000")), None),
        (depth("ETHUSDT", ("3000", "12")), None),
        (b'{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"61000.12000000","q":"0.00010000","m":true}', None),
        (b"garbage", None),
    ]
    btc, eth = infer_grid(frames, Market.SPOT)
    assert (btc.symbol, btc.tick_size, btc.lot_size, btc.base, btc.quote) == ("BTCUSDT", Decimal("0.01"), Decimal("0.0001"), "BTC", "USDT")
    assert (eth.tick_size, eth.lot_size, eth.provisional) == (Decimal(1), Decimal(1), True)


def test_a_snapshot_counts_for_the_symbol_it_is_known_by_or_the_only_one():
    body = b'{"lastUpdateId":1,"bids":[["1.234","5"]],"asks":[]}'
    (known,) = infer_grid([(body, "xrpusdt")], Market.USDM)
    assert (known.symbol, known.tick_size) == ("XRPUSDT", Decimal("0.001"))
    (only,) = infer_grid([(body, None), (depth("ADAUSDT", ("1.2", "3")), None)], Market.USDM)
    assert only.tick_size == Decimal("0.001")
    assert infer_grid([(body, None)], Market.USDM) == ()


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCUSD_PERP", ("BTC", "USD")),
        ("DOTUSD_210625", ("DOT", "USD")),
        ("BTCUSDT_240927", ("BTC", "USDT")),
        ("RUNEEUR", ("RUNE", "EUR")),
        ("WHAT", ("WHAT", "")),
    ],
)
def test_assets_are_guessed_from_the_symbol(symbol, parts):
    assert split_symbol(symbol) == parts
