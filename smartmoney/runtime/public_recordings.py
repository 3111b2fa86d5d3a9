"""The public recordings of real markets that a learner is compared on: minutes of Binance, and sixteen hours of Bitstamp.

They are not part of the product. Their folder is named by the environment (SMARTMONEY_CAPTURES); what of them is not there is said.
"""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from smartmoney.adapters.history.assembly import write_recording
from smartmoney.adapters.history.bitstamp import read_bitstamp
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.history.order import in_order
from smartmoney.core.domain.instruments import Market
from smartmoney.learning.recorded import RecordingRefused
from smartmoney.learning.sets.rows import Rows
from smartmoney.runtime.feature_jobs import chosen_instruments
from smartmoney.runtime.training_jobs import Progress, recorded_rows
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.models import Settings

_BINANCE = (
    ("usdm", ("usdm/btcusdt_20240808.gz",)),
    ("usdm", ("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz")),
    ("usdm", ("usdm/ethusdt_20240808.gz",)),
    ("spot", ("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz")),
    ("spot", ("spot/ethusdt_20240808.gz", "spot/ethusdt_20240809.gz")),
    ("coinm", ("cm/btcusd_perp_20240808.gz", "cm/btcusd_perp_20240809.gz")),
)
_BITSTAMP = "ob-analytics/bitstamp_btcusd_2015-05-01_raw_ws_log_00-16h.bz2"


def public_rows(root: Path, settings: Settings, progress: Progress, say: Callable[[str], None]) -> list[Rows]:
    """Return the rows of each recording that is there; what is not there is said.

    Raises:
        RecordingRefused: none is there.
        OSError: one cannot be read.
    """
    found = []
    for number, (market, names) in enumerate(_BINANCE):
        progress("recordings", number, len(_BINANCE) + 1)
        files = [root / "hftbacktest" / name for name in names]
        if _all_there(files, say):
            found.append(_rows(files, market, settings, "binance"))
    progress("recordings", len(_BINANCE), len(_BINANCE) + 1)
    if _all_there([root / _BITSTAMP], say):
        found += _bitstamp(root / _BITSTAMP, settings)
    progress("recordings", len(_BINANCE) + 1, len(_BINANCE) + 1)
    if not found:
        raise RecordingRefused(f"{root}: none of the public recordings is there; is SMARTMONEY_CAPTURES right?")
    return found


def _bitstamp(log: Path, settings: Settings) -> Iterator[Rows]:
    """Yield the rows of an order log, which the fold reads as the recording that `smartmoney import` makes of it."""
    with tempfile.TemporaryDirectory(prefix="smartmoney-evaluate-") as folder:
        recording, repairs = Path(folder) / "bitstamp.gz", Repairs()
        write_recording(in_order([read_bitstamp(log, repairs)], repairs), Market.SPOT, recording, repairs)
        yield _rows([recording], "spot", settings, "bitstamp")


def _rows(files: list[Path], market: str, settings: Settings, whose: str) -> Rows:
    instrument = chosen_instruments(files, "binance", market, [], settings.caches)[0]
    rows = recorded_rows(files, instrument, "binance", feature_parameters(settings), settings.caches)
    day = dt.datetime.fromtimestamp(int(rows.times[0]) // 1_000_000_000, dt.UTC).date()
    return msgspec.structs.replace(rows, name=f"{whose} {market} {rows.name.partition('.')[0]} {day}")


def _all_there(files: list[Path], say: Callable[[str], None]) -> bool:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        say(f"not there, and left out: {', '.join(missing)}")
    return not missing
