"""Which pure codec speaks a venue's frames. Importing this compiles nothing; the first frame does, unless the kernels are cached."""

from smartmoney.core.engine.market import VenueCodec


def binance_codec(*, proves_sequence: bool = True) -> VenueCodec:
    """Return the codec of Binance frames. Frames made from ccxt's objects have its form too, but prove no sequence."""
    from smartmoney.venues.binance.codec import fold_frame, new_states
    from smartmoney.venues.binance.kernel import drop_book

    return VenueCodec(name="binance", new_states=new_states, fold=fold_frame, drop_book=drop_book, proves_sequence=proves_sequence)


def codec_of(venue: str) -> VenueCodec:
    """Return the codec of a venue as a run's header names it (`binance`, `sim`, `ccxt:<id>`)."""
    return binance_codec(proves_sequence=not venue.startswith("ccxt:"))
