"""Say who trades in a synthetic market and how: every parameter of its population, with range, default and meaning.

The structs are plain values; `settings.scenario` makes validated models of them for YAML files, and each number is a field of the world
record under the name `<section>_<field>`, where the kernels read it. The defaults are the population of a first run. Sizes are in units
of the symbol's profile (about one bitcoin's worth), prices in bps, times in seconds; a thing that comes every 0 s never comes.
"""

from decimal import Decimal
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

MAKERS_MAX = 5
LAYERS = 5
Four = tuple[float, float, float, float]
Layers = tuple[tuple[float, float, float, float, float], ...]


def _m(meaning: str, **bounds: Any) -> Any:
    return Meta(description=meaning, **bounds)


class SymbolProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a symbol: where its price starts, and how much base counts as one unit of size (about one bitcoin's worth)."""

    base: Annotated[str, Meta(description="The asset that is traded.", pattern="^[A-Z0-9]{1,20}$")]
    quote: Annotated[str, Meta(description="The asset that it is priced in.", pattern="^[A-Z0-9]{1,20}$")] = "USDT"
    price: Annotated[Decimal, _m("Where the efficient price starts, in quote.", gt=0)]
    unit: Annotated[Decimal, _m("Base that counts as one unit of size.", gt=0)]
    spot_tick: Annotated[Decimal, _m("Step of spot prices.", gt=0)]
    spot_lot: Annotated[Decimal, _m("Step of spot quantities.", gt=0)]
    usdm_tick: Annotated[Decimal, _m("Step of USD-M prices.", gt=0)]
    usdm_lot: Annotated[Decimal, _m("Step of USD-M quantities.", gt=0)]
    usdm_min_notional: Annotated[Decimal, _m("Least notional of a USD-M order, in quote.", gt=0)] = Decimal(5)
    activity: Annotated[float, _m("Multiplies every rate and the parents' sizes: a quiet symbol has less than 1.", gt=0, le=10)] = 1.0

    @property
    def symbol(self) -> str:
        """Return the venue's spelling."""
        return self.base + self.quote


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The efficient price: diffusion with volatility of several memories, bursts, jumps, and waves that the public learns slowly."""

    bps_per_minute: Annotated[float, _m("Volatility where its multiplier is 1.", ge=0, le=500)] = 3.5
    volatility_times_s: Annotated[Four, _m("Memories of log volatility.", gt=0, le=864_000)] = (30.0, 300.0, 1800.0, 14_400.0)
    volatility_sds: Annotated[Four, _m("Standard deviations of log volatility, one per memory.", ge=0, le=2)] = (0.0, 0.28, 0.0, 0.0)
    burst_every_s: Annotated[float, _m("Mean seconds from a burst of volatility to the next.", ge=0, le=864_000)] = 0.0
    burst_s: Annotated[float, _m("Mean length of a burst.", gt=0, le=86_400)] = 600.0
    burst_factor: Annotated[float, _m("Volatility in a burst, as a multiple.", ge=1, le=20)] = 2.5
    daily_swing: Annotated[float, _m("Amplitude of log volatility over 24 hours.", ge=0, le=2)] = 0.0
    jump_every_s: Annotated[float, _m("Mean seconds between jumps.", ge=0, le=864_000)] = 240.0
    jump_bps: Annotated[float, _m("Mean size of a jump.", ge=0, le=1000)] = 3.0
    jump_tail: Annotated[float, _m("Pareto exponent of jump sizes; 0: exponential.", ge=0, le=10)] = 0.0
    wave_every_s: Annotated[float, _m("Mean seconds between trends: news that the price takes long to show.", ge=0, le=864_000)] = 0.0
    wave_s: Annotated[float, _m("Mean length of a trend.", gt=0, le=86_400)] = 600.0
    wave_bps: Annotated[float, _m("Mean size of a trend.", ge=0, le=2000)] = 30.0
    wave_up_share: Annotated[float, _m("Share of trends that go up.", ge=0, le=1)] = 0.5
    basis_sd_bps: Annotated[float, _m("Wander of the perpetual around the efficient price.", ge=0, le=100)] = 0.4
    basis_reaction: Annotated[float, _m("That wander grows with volatility to this power.", ge=0, le=2)] = 0.0
    basis_s: Annotated[float, _m("Memory of that wander.", gt=0, le=86_400)] = 20.0


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """How takers' orders move the makers' price: a concave push that is forgotten as a power of time."""

    bps: Annotated[float, _m("Push of an order of one unit.", ge=0, le=100)] = 0.5
    volume_exponent: Annotated[float, _m("Push grows with size to this power.", gt=0, le=1)] = 1.0
    most_bps: Annotated[float, _m("Largest push of one order.", gt=0, le=100)] = 0.5
    noise_share: Annotated[float, _m("Noise takers and crowd push by this share; makers know them for what they are.", ge=0, le=1)] = 1.0
    volatility_reaction: Annotated[float, _m("Push grows with volatility to this power.", ge=0, le=3)] = 0.0
    memory_exponent: Annotated[float, _m("The push falls with time to minus this power.", ge=0, le=2)] = 0.0
    shortest_s: Annotated[float, _m("Memory of the quickest part.", gt=0, le=864_000)] = 20.0
    longest_s: Annotated[float, _m("Memory of the slowest part.", gt=0, le=8_640_000)] = 20.0


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """The anonymous many: limit orders, cancels and small market orders that react to queues and spread."""

    limit_rate: Annotated[float, _m("Limit orders a second.", gt=0, le=5000)] = 45.0
    cancel_rate: Annotated[float, _m("Looks at a resting order a second; most end in a cancel.", gt=0, le=5000)] = 45.0
    market_rate: Annotated[float, _m("Market orders a second at a spread of one tick.", ge=0, le=1000)] = 0.1
    target_orders: Annotated[int, _m("Resting orders that arrivals and cancels balance at.", ge=10, le=4000)] = 1000
    size: Annotated[float, _m("Median size.", gt=0, le=1000)] = 0.03
    size_spread: Annotated[float, _m("Standard deviation of log size.", ge=0, le=3)] = 1.1
    touch_share: Annotated[float, _m("Share of limit orders that join the touch.", ge=0, le=1)] = 0.25
    improve_share: Annotated[float, _m("Share of limit orders that step into a spread wider than a tick.", ge=0, le=1)] = 0.03
    distance_bps: Annotated[float, _m("Scale of the others' distance from the touch.", gt=0, le=100)] = 0.12
    distance_tail: Annotated[float, _m("Power of that distance's tail; larger is further.", gt=0, le=3)] = 1.1
    value_reaction: Annotated[float, _m("How far orders lean to where the makers' price is.", ge=0, le=1)] = 0.4
    imbalance_reaction: Annotated[float, _m("How far orders, cancels and takers follow the longer queue.", ge=0, le=1)] = 0.15
    spread_patience: Annotated[float, _m("Share of market orders left for each tick that the spread is wider.", gt=0, le=1)] = 0.9


class Takers(msgspec.Struct, frozen=True, kw_only=True):
    """Noise takers whose arrivals excite each other (Hawkes, four exponentials a side)."""

    base_rate: Annotated[float, _m("Orders a second and side that nothing excited.", ge=0, le=1000)] = 0.6
    decays_per_s: Annotated[Four, _m("How fast each excitement passes.", gt=0, le=1000)] = (3.0, 0.12, 0.02, 0.005)
    same_side: Annotated[Four, _m("Orders on the same side that one excites, per decay.", ge=0, le=1)] = (0.30, 0.25, 0.0, 0.0)
    other_side: Annotated[Four, _m("Orders on the other side that one excites, per decay.", ge=0, le=1)] = (0.12, 0.0, 0.0, 0.0)
    size: Annotated[float, _m("Median size.", gt=0, le=1000)] = 0.013
    size_spread: Annotated[float, _m("Standard deviation of log size.", ge=0, le=3)] = 1.25
    large_share: Annotated[float, _m("Share of orders that are large.", ge=0, le=1)] = 0.012
    large_factor: Annotated[float, _m("How much larger those are.", ge=1, le=1000)] = 15.0
    value_tilt: Annotated[float, _m("How far takers lean to where the makers' price is.", ge=0, le=0.9)] = 0.5
    volatility_reaction: Annotated[float, _m("Base rate grows with volatility to this power.", ge=0, le=3)] = 0.0


class Makers(msgspec.Struct, frozen=True, kw_only=True):
    """Market makers that quote layers around one price, lean with their inventory, step back when it is wild, and re-quote in blocks."""

    layers_bps: Annotated[Layers, _m("Distance of each layer from the touch; a row a maker, 3 to 5 of them.", ge=0, le=500)] = (
        (0.0, 0.25, 0.7, 1.5, 3.0),
        (0.0, 0.4, 1.0, 2.2, 4.0),
        (0.15, 0.9, 2.0, 3.5, 6.0),
        (0.3, 1.3, 3.0, 6.0, 12.0),
    )
    layers_size: Annotated[Layers, _m("Size of each layer as a multiple of `size`; rows as above.", gt=0, le=1000)] = (
        (1.0, 0.5, 0.6, 0.8, 1.0),
        (0.7, 0.4, 0.5, 0.7, 1.0),
        (0.5, 0.7, 1.0, 1.3, 1.8),
        (0.5, 0.8, 1.2, 2.0, 3.0),
    )
    size: Annotated[float, _m("Size of a layer of multiple 1.", gt=0, le=10_000)] = 0.6
    size_spread: Annotated[float, _m("Standard deviation of log size.", ge=0, le=3)] = 0.5
    refresh_rate: Annotated[float, _m("Looks at a layer a second, to replace what was eaten.", gt=0, le=5000)] = 12.0
    requote_bps: Annotated[float, _m("The price must have moved so far before they re-quote, at least.", ge=0, le=100)] = 0.22
    requote_spread_bps: Annotated[float, _m("Up to so much more, at random.", ge=0, le=100)] = 0.3
    requote_reaction: Annotated[float, _m("That distance grows with volatility to this power.", ge=0, le=2)] = 0.0
    requote_reach: Annotated[float, _m("Share of the way to their price that a re-quote goes.", gt=0, le=1)] = 1.0
    requote_ms: Annotated[float, _m("Mean time that a re-quote takes, beyond 1 ms.", ge=0, le=10_000)] = 12.0
    crowd_withdraws: Annotated[
        float, _m("Share of crowd orders in the way of a re-quote that leave; the others are taken.", ge=0, le=1)
    ] = 0.97
    lean: Annotated[float, _m("How far queue sizes lean to where the price is going.", ge=0, le=3)] = 0.7
    inventory_lean: Annotated[float, _m("How far queue sizes lean against their inventory.", ge=0, le=3)] = 0.3
    inventory: Annotated[float, _m("Inventory of one maker that counts as much.", gt=0, le=100_000)] = 15.0
    inventory_bps: Annotated[float, _m("Largest shift of their price against their joint inventory.", ge=0, le=100)] = 0.4
    withdraw_above: Annotated[float, _m("Recent variance (1 is usual) from which they step back.", ge=0, le=100)] = 1.6
    withdraw_size: Annotated[float, _m("Size is divided by 1 + this x the excess.", ge=0, le=10)] = 0.4
    withdraw_bps: Annotated[float, _m("Distance grows by up to this x the excess.", ge=0, le=10)] = 0.1


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Trend followers: three of them, who buy what has risen and sell what has fallen."""

    rate: Annotated[float, _m("Looks at the market a second.", ge=0, le=100)] = 0.05
    lookbacks_s: Annotated[tuple[float, float, float], _m("Memory of each one's average price.", gt=0, le=86_400)] = (60.0, 240.0, 900.0)
    threshold_bps: Annotated[float, _m("Distance from that average that makes them act.", gt=0, le=1000)] = 12.0
    size: Annotated[float, _m("Largest position of one follower.", gt=0, le=10_000)] = 0.25
    child: Annotated[float, _m("Size of one order.", gt=0, le=1000)] = 0.03


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """Holders of stop orders, which become market orders when a trade reaches them; many at once are a cascade."""

    target_orders: Annotated[int, _m("Stops waiting on each side.", ge=0, le=240)] = 60
    rate: Annotated[float, _m("Stops placed or moved a second.", gt=0, le=100)] = 0.5
    size: Annotated[float, _m("Median size.", gt=0, le=1000)] = 0.01
    least_bps: Annotated[float, _m("Least distance from the price.", ge=0, le=1000)] = 10.0
    distance_bps: Annotated[float, _m("Mean distance beyond that.", gt=0, le=2000)] = 30.0
    round_share: Annotated[float, _m("Share that stands at round prices.", ge=0, le=1)] = 0.3
    round_bps: Annotated[float, _m("Round prices are so far apart.", gt=0, le=1000)] = 10.0
    latency_ms: Annotated[float, _m("Mean time from a trade to the stop's own.", gt=0, le=10_000)] = 20.0
    cascade_orders: Annotated[float, _m("Stops within about five seconds that make a cascade.", ge=2, le=200)] = 12.0
    cascade_hold_s: Annotated[float, _m("A cascade counts for so long after it began.", gt=0, le=3600)] = 20.0


class Parents(msgspec.Struct, frozen=True, kw_only=True):
    """Large orders, split into children."""

    every_s: Annotated[float, _m("Mean seconds from one start to the next.", ge=0, le=864_000)] = 70.0
    evenness: Annotated[float, _m("0: starts come at random; 1: one every `every_s`, within 25 %.", ge=0, le=1)] = 0.0
    size: Annotated[float, _m("Size of a parent; with a tail, the least.", gt=0, le=100_000)] = 1.4
    size_tail: Annotated[float, _m("Pareto exponent of sizes; 0: evenly within 30 % of `size`.", ge=0, le=10)] = 0.0
    size_most: Annotated[float, _m("Largest size as a multiple of `size`.", ge=1, le=100_000)] = 1000.0
    duration_s: Annotated[float, _m("Time that a parent of `size` takes.", gt=0, le=86_400)] = 80.0
    duration_exponent: Annotated[float, _m("Time grows with size to this power; 1: all sizes are equally urgent.", ge=0, le=1)] = 0.0
    duration_spread: Annotated[float, _m("Time differs by up to this share.", ge=0, le=0.9)] = 0.5
    duration_most_s: Annotated[float, _m("Longest time.", gt=0, le=864_000)] = 14_400.0
    child: Annotated[float, _m("Median size of a child order.", gt=0, le=1000)] = 0.03
    child_exponent: Annotated[float, _m("Child size grows with the parent's size to this power.", ge=0, le=1)] = 0.0
    child_spread: Annotated[float, _m("Standard deviation of log child size.", ge=0, le=3)] = 0.6
    passive: Annotated[float, _m("Share of children that rest at the touch instead of taking.", ge=0, le=1)] = 0.2
    on_adverse: Annotated[float, _m("Pace grows by e^(this) per 10 bps that the price runs away; below 0 they wait.", ge=-5, le=5)] = -0.3
    jitter: Annotated[float, _m("Jittered children come up to this share early or late.", ge=0, le=1)] = 0.8
    twap: Annotated[float, _m("Weight of even pacing.", ge=0, le=1000)] = 0.0
    pov: Annotated[float, _m("Weight of pacing by the market's volume.", ge=0, le=1000)] = 0.0
    poisson: Annotated[float, _m("Weight of random pacing.", ge=0, le=1000)] = 1.0
    iceberg: Annotated[float, _m("Weight of resting orders that are refilled.", ge=0, le=1000)] = 0.0
    jittered: Annotated[float, _m("Weight of even pacing with jitter.", ge=0, le=1000)] = 0.0


class Splitters(Parents, frozen=True, kw_only=True):
    """Uninformed parents: they split like the informed, and know nothing. The negatives of every detector."""


class Informed(Parents, frozen=True, kw_only=True):
    """Parents that act before a drift, and the mistaken among them, who act alike but are wrong."""

    every_s: Annotated[float, _m("Mean seconds from one start to the next.", ge=0, le=864_000)] = 100.0
    evenness: Annotated[float, _m("0: starts come at random; 1: one every `every_s`, within 25 %.", ge=0, le=1)] = 1.0
    size: Annotated[float, _m("Size of a parent; with a tail, the least.", gt=0, le=100_000)] = 16.0
    duration_s: Annotated[float, _m("Time that a parent of `size` takes.", gt=0, le=86_400)] = 120.0
    duration_spread: Annotated[float, _m("Time differs by up to this share.", ge=0, le=0.9)] = 0.2
    child: Annotated[float, _m("Median size of a child order.", gt=0, le=1000)] = 0.065
    passive: Annotated[float, _m("Share of children that rest at the touch instead of taking.", ge=0, le=1)] = 0.15
    on_adverse: Annotated[float, _m("Pace grows by e^(this) per 10 bps that the price runs away; below 0 they wait.", ge=-5, le=5)] = 0.0
    right_share: Annotated[float, _m("Share that is right; the others are the mistaken.", ge=0, le=1)] = 0.8
    persistence: Annotated[float, _m("Chance that the next one is on the same side.", ge=0, le=1)] = 0.6
    buy_share: Annotated[float, _m("Share that accumulates; the others distribute.", ge=0, le=1)] = 0.5
    drift_bps: Annotated[float, _m("Mean drift that follows one of `size`.", ge=0, le=1000)] = 10.0
    drift_s: Annotated[float, _m("Length of the drift.", gt=0, le=86_400)] = 90.0
    drift_start: Annotated[float, _m("The drift begins after this share of the parent's time.", ge=0, le=2)] = 0.5
    drift_exponent: Annotated[float, _m("Drift grows with size to this power.", ge=0, le=1)] = 0.0


class Spoofers(msgspec.Struct, frozen=True, kw_only=True):
    """Layered walls that are never meant to trade, cancelled when the price nears, and a small real order opposite."""

    every_s: Annotated[float, _m("Mean seconds from one wall to the next.", ge=0, le=864_000)] = 0.0
    layers: Annotated[int, _m("Orders in a wall.", ge=1, le=8)] = 4
    layer_size: Annotated[float, _m("Size of each.", gt=0, le=10_000)] = 3.0
    near_bps: Annotated[float, _m("Distance of the first layer from the touch.", gt=0, le=500)] = 1.0
    step_bps: Annotated[float, _m("Distance from layer to layer.", gt=0, le=500)] = 0.5
    flee_bps: Annotated[float, _m("All is cancelled when the touch is so near.", gt=0, le=500)] = 0.5
    hold_s: Annotated[float, _m("Mean time that a wall stands.", gt=0, le=3600)] = 20.0
    real_size: Annotated[float, _m("Size of the real order opposite.", gt=0, le=1000)] = 0.1


class Traps(msgspec.Struct, frozen=True, kw_only=True):
    """Liquidity traps: depth is pulled at once, then the price runs, or runs and comes back."""

    every_s: Annotated[float, _m("Mean seconds between traps.", ge=0, le=864_000)] = 0.0
    first_s: Annotated[float, _m("Where given, the time of the first; 0: at random.", ge=0, le=864_000)] = 0.0
    pull_least: Annotated[float, _m("Least share of depth that is pulled.", ge=0, le=0.99)] = 0.65
    pull_most: Annotated[float, _m("Largest share of depth that is pulled.", ge=0, le=0.99)] = 0.9
    pull_ms: Annotated[float, _m("The pull takes so long.", ge=50, le=2000)] = 150.0
    reach_bps: Annotated[float, _m("Depth within this distance is pulled.", gt=0, le=500)] = 10.0
    hold_s: Annotated[float, _m("Depth stays away for so long.", gt=0, le=3600)] = 30.0
    run_share: Annotated[float, _m("Share of traps that run; the others are fake-outs, which come back whole.", ge=0, le=1)] = 0.6
    run_bps: Annotated[float, _m("Mean size of the run.", ge=0, le=5000)] = 15.0
    run_s: Annotated[float, _m("Length of the run.", gt=0, le=3600)] = 20.0
    up_share: Annotated[float, _m("Share of traps that go up.", ge=0, le=1)] = 0.5
    recovery_share: Annotated[float, _m("Share of a run that comes back.", ge=0, le=1)] = 0.0
    recovery_s: Annotated[float, _m("Time that what comes back takes.", gt=0, le=86_400)] = 60.0


_BTC = SymbolProfile(
    base="BTC",
    price=Decimal(60000),
    unit=Decimal(1),
    spot_tick=Decimal("0.01"),
    spot_lot=Decimal("0.00001"),
    usdm_tick=Decimal("0.10"),
    usdm_lot=Decimal("0.001"),
    usdm_min_notional=Decimal(100),
)
_ETH = SymbolProfile(
    base="ETH",
    price=Decimal(3000),
    unit=Decimal(12),
    spot_tick=Decimal("0.01"),
    spot_lot=Decimal("0.0001"),
    usdm_tick=Decimal("0.01"),
    usdm_lot=Decimal("0.001"),
    usdm_min_notional=Decimal(20),
)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a market's whole population and its symbols. The defaults are those of a first run."""

    name: Annotated[str, Meta(description="What it is called; left out, the file's name.", pattern="^[a-z0-9_-]{1,40}$")] = "first_run"
    title: Annotated[str, Meta(description="One line about it.", min_length=1, max_length=200)] = "A lively first run"
    symbols: Annotated[tuple[SymbolProfile, ...], Meta(description="Which symbols there are.", min_length=1, max_length=200)] = (_BTC, _ETH)
    price: Price = Price()
    impact: Impact = Impact()
    crowd: Crowd = Crowd()
    takers: Takers = Takers()
    makers: Makers = Makers()
    trend: Trend = Trend()
    stops: Stops = Stops()
    splitters: Splitters = Splitters()
    informed: Informed = Informed()
    spoofers: Spoofers = Spoofers()
    traps: Traps = Traps()

    @property
    def is_planted(self) -> bool:
        """Tell whether anything in the market precedes a move: informed parents, trends, or runs."""
        knows = self.informed.every_s > 0 and self.informed.right_share > 0 and self.informed.drift_bps > 0
        wanders = self.price.wave_every_s > 0 and self.price.wave_bps > 0
        runs = (self.traps.every_s > 0 or self.traps.first_s > 0) and self.traps.run_bps > 0
        return knows or wanders or runs

    @property
    def banner(self) -> str:
        """Return what must be said wherever this market is shown."""
        if self.is_planted:
            return "synthetic market, edge planted: proves nothing about yours"
        return "synthetic market, nothing planted: what looks like an edge here is luck"

    def profile(self, symbol: str) -> SymbolProfile:
        """Return a symbol's profile.

        Raises:
            ValueError: the scenario has no such symbol.
        """
        for found in self.symbols:
            if found.symbol == symbol:
                return found
        known = ", ".join(profile.symbol for profile in self.symbols)
        raise ValueError(f"no profile for {symbol} in scenario {self.name}; there are {known}")


FIRST_RUN = Scenario()
SECTIONS: dict[str, Any] = {
    name: section for name in Scenario.__struct_fields__ if isinstance(section := getattr(FIRST_RUN, name), msgspec.Struct)
}
"""Each part of the population, by name, with its defaults."""


def _format(name: str, field: str, hint: Any) -> tuple[Any, ...]:
    plain = get_args(hint)[0]
    if plain is Layers:
        return (f"{name}_{field}", "f8", (MAKERS_MAX, LAYERS))
    if isinstance(getattr(SECTIONS[name], field), tuple):
        return (f"{name}_{field}", "f8", (len(getattr(SECTIONS[name], field)),))
    return (f"{name}_{field}", "i8" if plain is int else "f8")


PARAMETER_FIELDS: list[Any] = [
    _format(name, field, hint)
    for name, section in SECTIONS.items()
    for field, hint in get_type_hints(type(section), include_extras=True).items()
]
"""Every number of a scenario as a field of the world record."""

_RATES = frozenset({"crowd_limit_rate", "crowd_cancel_rate", "crowd_market_rate", "takers_base_rate", "makers_refresh_rate", "trend_rate"})
_SIZES = frozenset({"splitters_size", "informed_size", "trend_size"})


def parameters(scenario: Scenario, activity: float) -> dict[str, Any]:
    """Return the values of the world's parameter fields for a symbol of an activity."""
    values: dict[str, Any] = {}
    for name in SECTIONS:
        section = getattr(scenario, name)
        for field in section.__struct_fields__:
            value = getattr(section, field)
            key = f"{name}_{field}"
            scaled = key in _RATES or key in _SIZES
            values[key] = value * activity if scaled else value
    return values
