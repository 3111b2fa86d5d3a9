"""Models of `config/paper.yaml` and `config/live.yaml`: every key, its range, its default. Settings hold no secrets."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from smartmoney.core.domain.signals import Regime
from smartmoney.settings.advanced import AdvancedFeatures, Section
from smartmoney.settings.alerts import Alerts
from smartmoney.settings.caches import CacheSettings
from smartmoney.settings.drift import DriftSettings
from smartmoney.settings.guard import GuardSettings
from smartmoney.settings.training import TrainingSettings

Fraction = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[float, Field(gt=0, le=1)]
Distance = Annotated[float, Field(gt=0, lt=0.5)]
Money = Annotated[Decimal, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=604_800)]
Mode = Literal["paper", "live"]

_BAR_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
INSTRUMENTS_MAX = 50


def timeframe_seconds(timeframe: str) -> float:
    """Return the seconds of a bar such as 1m or 4h.

    Raises:
        ValueError: it is not a whole number of s, m, h or d.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,3})([smhd])", timeframe)
    if found is None:
        raise ValueError("must be a number and s, m, h or d, such as 1m or 4h")
    return float(int(found[1]) * _BAR_S[found[2]])


class Endpoints(Section):
    """Where the venue is, when not at its usual address (a proxy, a test net, the built-in exchange)."""

    rest: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Base address of the REST interface, http or https."""
    ws: str | None = Field(default=None, pattern=r"^wss?://\S+$")
    """Base address of the websocket streams, ws or wss."""
    ws_api: str | None = Field(default=None, pattern=r"^wss?://\S+$")
    """Address of spot's WebSocket API, which tells an account its own events; left out where `ws` is given, that and /ws-api/v3."""
    sapi: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Base address of the interface that says what a key may do; left out, spot's REST address."""
    ccxt_urls: dict[str, Any] = Field(default_factory=dict)
    """For `venue: ccxt:<id>`: merged into that exchange's `urls`, as ccxt documents them."""


class ApiKeyFiles(Section):
    """Where the exchange's key lies, in files of mode 0600. Left out: the environment, systemd credentials, container secrets."""

    key_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File that holds the key."""
    secret_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File that holds its secret."""
    passphrase_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File that holds the passphrase, where the exchange has one (OKX)."""


class Fees(Section):
    """What the venue takes, in bps of notional; left out, Binance's published base rate for the market (spot 10 and 10, USD-M 2 and 5)."""

    maker_bps: Decimal | None = Field(default=None, ge=-100, le=1000)
    """Fee of an order that rested; negative is a rebate."""
    taker_bps: Decimal | None = Field(default=None, ge=0, le=1000)
    """Fee of an order that met the book at once."""


class Paper(Section):
    """The paper account's venue model."""

    latency_ms: float = Field(default=50.0, ge=0, le=60_000)
    """Milliseconds until an order takes effect."""
    fee_in_base: bool = False
    """A spot purchase pays its fee in the bought asset."""
    queue: Literal["careful", "even"] = "careful"
    """Cancels ahead of a resting order: careful counts none until it must; even takes each as a share of the whole queue."""
    funding_bps: Decimal = Field(default=Decimal(1), ge=-100, le=100)
    """Where the venue's own funding is not in the feed: what a long perpetual pays a short at 00, 08 and 16 UTC, in bps of notional."""


class Execution(Section):
    """How orders are worked."""

    entry: Literal["auto", "taker", "maker"] = "auto"
    """taker: a limit through the touch, immediate or cancel; maker: post-only, following the touch; auto: what is expected to cost less."""
    collar_bps: Decimal = Field(default=Decimal(10), ge=0, le=1000)
    """How far past the touch a marketable limit reaches, and a resting entry follows it."""
    entry_timeout_s: Seconds = 30.0
    """A resting entry is withdrawn after this; under auto it then crosses the spread, if what is left of the forecast pays for that."""
    reprice_s: Seconds = 2.0
    """A resting entry stays at a price for this long at least, before it follows the touch."""
    passive_fill_share: float = Field(default=0.95, gt=0, le=1)
    """Share of resting entries filled of those that the market comes to, as auto reckons (`smartmoney bench entries` measures it)."""
    passive_wait_s: float = Field(default=3.0, ge=0, le=3600)
    """Seconds that a resting entry waits in the queue, as auto reckons."""
    passive_loss_bps: float = Field(default=0.6, ge=0, le=1000)
    """What a resting entry loses by following the touch and to those who know more, as auto reckons, in bps."""
    max_holding_s: Seconds | None = None
    """A position is closed after this; left out, after the forecast's horizon."""
    approval_valid_ms: int = Field(default=2000, ge=1, le=60_000)
    """An approved order that has not left after this is not sent any more."""
    ack_timeout_s: Seconds = 10.0
    """An order unanswered for this long is looked up at the venue."""
    cancel_timeout_s: Seconds = 3.0
    """A withdrawal unanswered for this long is looked up at the venue."""
    account_retry_s: Seconds = 2.0
    """Seconds between attempts to read the account."""
    protect_delay_s: Seconds = 0.4
    """A stop is placed this long after an entry began to fill, even when more fills may follow."""
    protect_attempts_max: int = Field(default=3, ge=1, le=100)
    """After so many refused stops the position is closed and the daemon halts."""


class Risk(Section):
    """Limits beyond the strategy's own. The largest drawdown is `strategy.max_drawdown`."""

    breach_hold_ms: int = Field(default=250, ge=0, le=60_000)
    """A drawdown must hold for this long before the kill switch trips."""
    mark_grace_s: float = Field(default=30.0, ge=0, le=3600)
    """For so long equity may be unknown while something is held."""
    collar_bps: Decimal = Field(default=Decimal(50), gt=0, le=5000)
    """No limit price further than this past the touch."""
    max_order_notional: Money | None = None
    """Largest order, in quote currency."""
    max_position_fraction: Decimal | None = Field(default=None, gt=0, le=10)
    """Largest position in one instrument as a fraction of equity; left out, a quarter, or 1.25 x max_position_size if that is more."""
    gross_cap: Decimal = Field(default=Decimal(1), gt=0, le=10)
    """Largest sum of all positions as a fraction of equity."""
    max_open_orders: int = Field(default=20, ge=1, le=200)
    """Most orders working at once, over all instruments."""
    max_orders_per_minute: int = Field(default=120, ge=2, le=10_000)
    """Most orders in any 60 s, over all instruments."""
    reserved_orders_per_minute: int = Field(default=60, ge=0, le=9_999)
    """Of those, kept for orders that reduce risk."""
    max_daily_loss: Decimal = Field(default=Decimal("0.04"), gt=0, le=1)
    """Fraction of the equity at 00:00 UTC; beyond it no entries until the next day."""


class Strategy(Section):
    """The strategy's keys; sizes and distances are fractions."""

    timeframe: str = "1m"
    """Bar of the volatility estimate and of the charts."""
    confidence_threshold: Fraction = 0.75
    """Opportunities below this confidence are passed by."""
    max_position_size: Size = 0.1
    """Largest target, as a fraction of equity."""
    min_liquidity_score: Fraction = 0.6
    """Below this liquidity score nothing is entered."""
    regime_weight: Fraction = 0.4
    """Weight of the regime in the market score. The three weights sum to 1; change one and the others are scaled."""
    imbalance_weight: Fraction = 0.3
    """Weight of the book imbalance in the market score."""
    liquidity_weight: Fraction = 0.3
    """Weight of liquidity in the market score."""
    max_drawdown: float = Field(default=0.05, gt=0, lt=1)
    """Loss from the equity peak at which the kill switch trips."""
    stop_loss_base: Distance = 0.02
    """Distance of the stop from the price; regime and stress widen or tighten it."""
    take_profit_base: Distance = 0.04
    """Distance of the target from the price; regime and stress widen or tighten it."""
    large_order_threshold: float = Field(default=1000.0, gt=0)
    """Quote currency; also the floor of the adaptive 99 % quantile."""
    update_frequency: float = Field(default=1.0, ge=0.1, le=3600)
    """Seconds between decisions."""
    rebalance_band: float = Field(default=0.5, ge=0, lt=1)
    """A held position is adjusted only when position and target differ by this share of the larger; 0 adjusts at every signal."""
    symbol: str | None = Field(default=None, exclude=True)
    """Same as `instruments` with this one name."""
    signal_decay_time: float | None = Field(default=None, exclude=True)
    """Same as advanced_features.signal_generation.signal_decay_time."""
    advanced_features_config_path: str | None = Field(default=None, exclude=True)
    """Same as the key of this name at the top."""

    @field_validator("timeframe")
    @classmethod
    def _is_a_bar(cls, timeframe: str) -> str:
        timeframe_seconds(timeframe)
        return timeframe


class RegimeOverride(Section):
    """Strategy keys that have another value in one regime."""

    confidence_threshold: Fraction | None = None
    max_position_size: Size | None = None
    min_liquidity_score: Fraction | None = None
    regime_weight: Fraction | None = None
    imbalance_weight: Fraction | None = None
    liquidity_weight: Fraction | None = None
    stop_loss_base: Distance | None = None
    take_profit_base: Distance | None = None

    def given(self) -> dict[str, float]:
        """Return the keys that are set."""
        return self.model_dump(exclude_none=True)


class Sim(Section):
    """The built-in exchange, where `venue: sim` trades."""

    scenario: str = Field(default="first_run", min_length=1, max_length=4096)
    """Which market: a name of `smartmoney sim scenarios`, or a file (docs/market.md)."""
    seed: int = Field(default=7, ge=0, lt=2**31)
    """Same seed, same market."""
    prerun_s: int = Field(default=1800, ge=0, le=86_400)
    """Seconds of market simulated before the start, so that slow features are warm."""


class Capture(Section):
    """How long recorded market data is kept: by age or by size, whichever is less."""

    retention_days: float = Field(default=14.0, gt=0, le=3650)
    """Recordings older than this are deleted."""
    retention_gb: float = Field(default=20.0, gt=0, le=100_000)
    """The oldest recordings are deleted beyond this many gigabytes."""


class Logging(Section):
    """What is logged. `level` left out: advanced_features.log_level."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """Least severity that is logged; left out, advanced_features.log_level."""
    format: Literal["auto", "console", "json"] = "auto"
    """auto: the live view on a terminal, JSON lines otherwise; json and console: lines on a terminal too, as JSON or as text."""


class Settings(Section):
    """The whole configuration, effective: defaults, files, profile and overrides in one."""

    mode: Mode = "paper"
    """paper, or live (which also needs --live on the command line)."""
    venue: str = Field(default="sim", pattern=r"^(binance|sim|ccxt:[a-z0-9_]+)$")
    """binance, sim (the built-in exchange), or ccxt:<exchange id>."""
    market: Literal["spot", "usdm"] = "spot"
    """spot, or usdm: USD-margined perpetual futures, where a sell may open a short."""
    instruments: tuple[str, ...] = Field(default=("BTC/USDT",), min_length=1, max_length=INSTRUMENTS_MAX)
    """Names as BASE/QUOTE, all with one quote currency."""
    symbol: str | None = Field(default=None, exclude=True)
    """Same as `instruments` with this one name."""
    endpoints: Endpoints = Endpoints()
    api_key: ApiKeyFiles = ApiKeyFiles()
    leverage: Decimal = Field(default=Decimal(1), ge=1, le=125)
    """USD-M only: isolated, one-way."""
    capital: Money | None = None
    """Quote currency that may be used; mandatory in live."""
    paper_balance: Money = Decimal(10_000)
    """Quote currency that the paper account starts with."""
    fees: Fees = Fees()
    paper: Paper = Paper()
    execution: Execution = Execution()
    risk: Risk = Risk()
    strategy: Strategy = Strategy()
    model: str = Field(default="default", min_length=1, max_length=4096)
    """default (the promoted one, else the package's), prior (untrained; with training: until one is promoted), a name, hash or folder."""
    strategy_class: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """A strategy of your own: module:Class; left out, the built-in one."""
    regime_overrides: dict[Regime, RegimeOverride] = Field(default_factory=dict)
    """Other strategy parameters per regime."""
    profile: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$")
    """conservative, aggressive or high_frequency (config/profiles)."""
    advanced_features_config_path: str | None = None
    """Relative to this file; left out, ml/advanced_features_config.yaml beside it, else the package's."""
    advanced_features: AdvancedFeatures = AdvancedFeatures()
    """Wins over the file named above, key by key."""
    sim: Sim = Sim()
    capture: Capture = Capture()
    caches: CacheSettings = CacheSettings()
    logging: Logging = Logging()
    alerts: Alerts = Alerts()
    guard: GuardSettings = GuardSettings()
    drift: DriftSettings = DriftSettings()
    training: TrainingSettings = TrainingSettings()
    _sources: tuple[str, ...] = PrivateAttr(default=())
    _directory: str | None = PrivateAttr(default=None)

    @field_validator("instruments")
    @classmethod
    def _are_pairs(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"[A-Z0-9]{1,20}/[A-Z0-9]{1,20}(:[A-Z0-9]{1,20})?", name):
                raise ValueError(f"{name!r:.60} is not of the form BASE/QUOTE, such as BTC/USDT")
        if len(set(names)) != len(names):
            raise ValueError("an instrument is named twice")
        return names

    @property
    def sources(self) -> tuple[str, ...]:
        """Return where the values came from, the strongest last."""
        return self._sources

    @property
    def directory(self) -> str | None:
        """Return the folder of the configuration file, where a user's strategy is looked for."""
        return self._directory

    @property
    def equity_start(self) -> Decimal:
        """Return what a run may use, in quote: `capital` in live; on paper the balance, bounded by `capital` where it is given."""
        if self.mode == "live" and self.capital is not None:
            return self.capital
        return self.paper_balance if self.capital is None else min(self.capital, self.paper_balance)

    @property
    def log_level(self) -> str:
        """Return the effective level."""
        return self.logging.level or self.advanced_features.log_level
