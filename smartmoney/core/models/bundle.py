"""What a trained bundle holds: small frozen structs that are written as JSON, and forests as arrays. No pickle, nothing that executes.

A decision is made in this order: observation, hidden Markov filter, flow detector, regime classifier, heads. Each forest names its inputs
among the *columns* (`core/models/columns.py`): the feature row, products of features, and what earlier stages said.

Invariants: a bundle's identity (`hash`) is made of every file that can change a decision, not of its card nor of what gates said of it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from smartmoney.core.alpha.forest import Forest
from smartmoney.core.domain.signals import Regime

FORMAT = 1


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what a bundle was trained on. Venue `sim` is a market that is made up; `data_hash` names the exact rows (stable hexadecimal)."""

    venue: str
    market: str
    instruments: tuple[str, ...]
    data_hash: str


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Record what the promotion gate said of a bundle, on which venue, market and instruments. `at` is a UTC date, `text` its one line.

    `maker_bps`, `taker_bps` are the fees that its money was judged with, `strategy` the digest of the strategy's keys, `profile` the
    configuration's; None and empty in records that do not tell them, whose seal is as it was.
    """

    passed: bool
    venue: str
    market: str
    instruments: tuple[str, ...]
    at: str
    text: str
    maker_bps: float | None = None
    taker_bps: float | None = None
    strategy: str = ""
    profile: str = ""

    @property
    def judged_with(self) -> str:
        """Return what of a configuration the money was judged with, in words."""
        if self.maker_bps is None or self.taker_bps is None:
            return "fees not told"
        strategy = f", strategy {self.strategy[:12]}" if self.strategy else ""
        profile = f", profile {self.profile}" if self.profile else ""
        return f"fees of {self.maker_bps:g} (maker) and {self.taker_bps:g} bps (taker){strategy}{profile}"


class Observed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define one dimension of an observation: z = (s(x) - median) / mad, clipped, s = sign(x) ln(1 + |x|) where `signed_log`.

    The feature must be odd or even under the mirror; an odd one has median 0. NaN: the dimension is left out of that bar.
    """

    feature: str
    signed_log: bool
    median: float
    mad: float


class HiddenMarkov(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define the hidden Markov model of K states over D observed dimensions, with diagonal variances.

    `names` gives each state one of the five regimes; `mirror[i]` is the state that i becomes when buys and sells change places (itself for
    most), and means, variances, transitions and start must be equal under it, bit for bit. Log-likelihoods of a bar are bounded to
    `spread_max` below the best state's (None: not bounded), then divided by `temper`.
    """

    observed: tuple[Observed, ...]
    z_max: float
    means: tuple[tuple[float, ...], ...]
    variances: tuple[tuple[float, ...], ...]
    transitions: tuple[tuple[float, ...], ...]
    start: tuple[float, ...]
    names: tuple[Regime, ...]
    mirror: tuple[int, ...]
    temper: float = 1.0
    spread_max: float | None = None
    bar_s: float = 1.0


class Calibrator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Map a raw probability to a calibrated one.

    `platt` (a, b): sigmoid(a logit(p) + b). `beta` (a, b, c): sigmoid(a ln p - b ln(1 - p) + c). `isotonic`: linear between the knots
    (x rising strictly, y never falling), flat outside. `identity`: none. A head's calibrator maps its confidence, max(p, 1 - p), so that
    both sides are calibrated alike; what comes out is held within 0.5..1.
    """

    kind: Literal["identity", "platt", "beta", "isotonic"] = "identity"
    parameters: tuple[float, ...] = ()
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


class Classifier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define the regime classifier: five outputs in the order of `Regime`; softmax of (margins / temperature), averaged over the mirror."""

    inputs: tuple[str, ...]
    temperature: float = 1.0


class Detector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define the detector of informed flow: one output, the probability that informed buying is active; selling is the same, mirrored."""

    inputs: tuple[str, ...]
    calibrator: Calibrator = Calibrator()


class Sigma(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define a horizon's volatility in bps: max(floor, scale * feature ** power)."""

    feature: str
    power: float
    scale: float
    floor_bps: float


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Define one horizon's forecast: one output, the probability that the mid is higher at the horizon.

    `return_scale` is s in gross = s sigma z(confidence). `conformal` holds a threshold q per regime in the order of `Regime`: a side is in
    the set when its calibrated probability is at least 1 - q; only sets of one side trade. `terciles_bps` split sigma into low, medium
    and high risk.
    """

    horizon_s: int
    tradable: bool
    inputs: tuple[str, ...]
    calibrator: Calibrator
    return_scale: float
    sigma: Sigma
    conformal: tuple[float, float, float, float, float]
    terciles_bps: tuple[float, float]


class BundleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold everything of a bundle but the forests: the file `bundle.json`.

    `products` are the feature products that some forest reads, by name (`core.features.interactions`). Without a number in every feature
    that some forest reads there is no forecast, except in those named `optional`, which training saw missing, too. `feature_window` is the
    configuration's value that it was trained with, in bars of one second. `parameters` are what training was told, for the card.
    `importance` are gains by column, any positive scale.
    """

    format: int = FORMAT
    name: str
    schema_hash: str
    trained: Trained
    hmm: HiddenMarkov
    detector: Detector | None = None
    classifier: Classifier | None = None
    heads: tuple[Head, ...] = ()
    products: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    switch_margin: float = 0.2
    switch_bars: int = 3
    feature_window: int = 100
    parameters: dict[str, str | int | float | bool] = {}
    importance: dict[str, float] = {}

    def forest_names(self) -> tuple[str, ...]:
        """Return the names of the forests that belong to this specification, in the order of the stages."""
        stages = (("detector", self.detector), ("classifier", self.classifier))
        return (*(name for name, stage in stages if stage is not None), *(head_name(head.horizon_s) for head in self.heads))

    def inputs_of(self, forest: str) -> tuple[str, ...]:
        """Return the input columns of a forest.

        Raises:
            KeyError: there is no such forest.
        """
        if forest == "detector" and self.detector is not None:
            return self.detector.inputs
        if forest == "classifier" and self.classifier is not None:
            return self.classifier.inputs
        return {head_name(head.horizon_s): head.inputs for head in self.heads}[forest]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Hold a whole bundle: specification, forests by `forest_names`, card (Markdown), identity and what gates said of it."""

    spec: BundleSpec
    forests: Mapping[str, Forest]
    card: str
    hash: str
    gates: tuple[Gate, ...] = ()

    @property
    def name(self) -> str:
        """Return the name and the head of the identity, as decisions carry it."""
        return f"{self.spec.name}-{self.hash[:12]}"

    def passed_for(self, venue: str, market: str, instrument: str) -> bool:
        """Tell whether the newest gate on this venue, market and instrument let the bundle pass."""
        gate = self.newest_gate(venue, market, instrument)
        return gate is not None and gate.passed

    def newest_gate(self, venue: str, market: str, instrument: str) -> Gate | None:
        """Return the newest gate on this venue, market and instrument, None where none judged the bundle there."""
        asked = [gate for gate in self.gates if (gate.venue, gate.market) == (venue, market) and instrument in gate.instruments]
        return asked[-1] if asked else None


def head_name(horizon_s: int) -> str:
    """Return the name of a head's forest."""
    return f"head-{horizon_s}"


def identity(files: Mapping[str, str]) -> str:
    """Return a bundle's hash from the SHA-256 of each file that decides, by file name."""
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()
