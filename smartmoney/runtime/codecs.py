"""Which pure codec speaks a venue's frames. Importing this compiles nothing; the first frame does, unless the kernels are cached."""

from collections.abc import Callable, Mapping

import msgspec

from smartmoney.core.engine.market import VenueCodec
from smartmoney.learning.recorded import RecordedCodec


def binance_codec(*, proves_sequence: bool = True) -> VenueCodec:
    """Return the codec of Binance frames. Frames made from ccxt's objects have its form too, but prove no sequence."""
    from smartmoney.venues.binance.codec import fold_frame, fold_stretch, new_states
    from smartmoney.venues.binance.kernel import drop_book

    return VenueCodec(
        name="binance",
        new_states=new_states,
        fold=fold_frame,
        fold_stretch=fold_stretch,
        drop_book=drop_book,
        proves_sequence=proves_sequence,
    )


def recorded_codec() -> VenueCodec:
    """Return the codec of recorded Binance frames, which may be packed; nothing that comes from a socket goes through it."""
    from smartmoney.venues.binance.codec import fold_recorded

    return msgspec.structs.replace(binance_codec(), fold=fold_recorded)


def codec_of(venue: str) -> VenueCodec:
    """Return the codec of a venue as a run's header names it (`binance`, `sim`, `ccxt:<id>`)."""
    return binance_codec(proves_sequence=not venue.startswith("ccxt:"))


def recorded_binance() -> RecordedCodec:
    """Return what folds recorded Binance frames in batches."""
    from smartmoney.venues.binance.codec import MARKET_CODES, fold_batch, fold_recorded, new_states
    from smartmoney.venues.binance.grid_inference import infer_grid
    from smartmoney.venues.binance.kernel import drop_book
    from smartmoney.venues.binance.routing import scanned_event_ns

    return RecordedCodec(
        name="binance",
        markets=tuple(market.value for market in MARKET_CODES),
        new_states=new_states,
        fold=fold_recorded,
        fold_batch=fold_batch,
        scanned_event_ns=scanned_event_ns,
        drop_book=drop_book,
        infer=infer_grid,
    )


RECORDED_CODECS: Mapping[str, Callable[[], RecordedCodec]] = {"binance": recorded_binance}
"""Venues whose recordings can be folded offline."""
