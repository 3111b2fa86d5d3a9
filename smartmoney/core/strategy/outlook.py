"""What a decision expects of the market, for whoever carries it out: how to enter depends on it."""

import math

import msgspec

_NAN = float("nan")


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Be what an entry may expect: the forecast's gross return (bps) over its horizon (s), and the volatility of one second (bps)."""

    gross_bps: float = _NAN
    horizon_s: float = _NAN
    sigma_bps: float = _NAN

    @property
    def drift_bps(self) -> float:
        """Return the urgency: what each second of waiting lets pass, in bps."""
        return self.gross_bps / self.horizon_s if self.horizon_s > 0.0 else _NAN

    @property
    def is_known(self) -> bool:
        """Tell whether costs can be expected from it."""
        return all(math.isfinite(number) and number > 0.0 for number in (self.gross_bps, self.horizon_s, self.sigma_bps))

    def left_bps(self, age_s: float, moved_bps: float) -> float:
        """Return what is left of the forecast after a time and a move in its direction: the less of what each leaves."""
        return min(self.gross_bps - self.drift_bps * age_s, self.gross_bps - moved_bps)
