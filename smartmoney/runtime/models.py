"""Which model a run decides by: chosen by the configuration, kept for replay, at hand when the engine asks for it, refused where unfit."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from smartmoney.adapters.model_files import BundleRefused
from smartmoney.adapters.model_store import PRIOR, ModelNotFound, ModelStore, Place
from smartmoney.core.domain.instruments import BUILT_IN_VENUE
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.strategy.model import PriorModel
from smartmoney.learning.drift_monitors import Reference
from smartmoney.runtime.drift_sizes import SizePlan
from smartmoney.runtime.modes import is_rehearsal, whose_market
from smartmoney.settings.build import fees_bps
from smartmoney.settings.models import Settings

__all__ = ["PRIOR_NAME", "BundleRefused", "ModelNotFitForLive", "ModelNotFound", "Models", "Turn", "TurnedModels", "check_fit"]

log = structlog.get_logger("models")

PRIOR_NAME = PriorModel.name


class ModelNotFitForLive(Exception):
    """Report why live mode refuses a model, and what it takes."""

    exit_code = 78


class Models:
    """Hand out bundles. What was chosen or prepared here is in memory: the engine gets it without a disk."""

    def __init__(self, folder: Path | None) -> None:
        """Take the folder of a model store; None knows the package's own bundle alone."""
        self.store = ModelStore(folder)
        self._ready: dict[str, Bundle] = {}

    def bundle(self, model: str) -> Bundle:
        """Return the bundle of a hash; an engine's `BundleSource`.

        Raises:
            ModelNotFound, BundleRefused: it cannot be had.
        """
        ready = self._ready.get(model)
        if ready is None:
            ready = self._ready[model] = self.store.load(model)
        return ready

    def choose(self, settings: Settings) -> str:
        """Return what `RunStarted.model` says under a configuration: a hash, or the prior's name.

        Raises:
            ModelNotFound, BundleRefused: the key `model` leads nowhere, or to a bundle that cannot be used.
        """
        directory = None if settings.directory is None else Path(settings.directory)
        bundle = self.store.find(self._asked(settings), relative_to=directory)
        return PRIOR_NAME if bundle is None else self._at_hand(bundle)

    def prepare(self, asked: str, settings: Settings) -> str:
        """Read, check and keep the model that an operator wants activated; return what `ModelActivated` says.

        Raises:
            ModelNotFound, BundleRefused, ModelNotFitForLive: it cannot be used here.
            OSError: it cannot be kept.
        """
        if asked in {PRIOR, PRIOR_NAME}:
            check_fit(settings, None)
            return PRIOR_NAME
        bundle = self.store.load(asked)
        check_fit(settings, bundle)
        self.store.add(bundle)
        self._at_hand(bundle)
        self._warn(settings, bundle.hash)
        return bundle.hash

    def reference(self, model: str) -> Reference | None:
        """Return how a model's features were distributed in training; None where nobody knows, or it cannot be read."""
        try:
            return self.store.reference(model, Reference)
        except BundleRefused as refused:
            log.warning("drift of features is not measured", problem=str(refused))
            return None

    def examine(self, settings: Settings) -> str:
        """Return the name of the model that a run would decide by, having kept nothing.

        Raises:
            ModelNotFound, BundleRefused, ModelNotFitForLive: it cannot be used here.
        """
        bundle = self._ready.get(self.choose(settings))
        check_fit(settings, bundle)
        return PRIOR_NAME if bundle is None else bundle.name

    def why_unfit(self, settings: Settings) -> str | None:
        """Return why real money would be refused to the model that a run would decide by, None where its gate lets it in.

        Raises:
            ModelNotFound, BundleRefused: there is none to be had.
        """
        return why_unfit(settings, self._ready.get(self.choose(settings)))

    def start(self, settings: Settings) -> str:
        """Choose the model of a daemon's run, keep it, and check that it is fit for the mode; return what `RunStarted.model` says.

        Raises:
            ModelNotFound, BundleRefused, ModelNotFitForLive: it cannot be used here.
            OSError: it cannot be kept.
        """
        chosen = self.choose(settings)
        bundle = self._ready.get(chosen)
        check_fit(settings, bundle)
        if bundle is not None:
            self.store.add(bundle)
        self._warn(settings, chosen)
        return chosen

    def note(self, settings: Settings, model: str) -> str:
        """Return what of the configuration a model at hand does not follow, and what to do; empty where it follows all of it."""
        bundle = self._ready.get(model)
        return "" if bundle is None else window_note(settings, bundle)

    def _warn(self, settings: Settings, model: str) -> None:
        if note := self.note(settings, model):
            log.warning("the model decides with what it learned", problem=note)

    def _asked(self, settings: Settings) -> str:
        """Return what the key `model` comes to: where the daemon trains, the prior decides until a champion was promoted."""
        if settings.model == PRIOR and settings.training.is_on:
            return self.store.champion() or PRIOR
        return settings.model

    def _at_hand(self, bundle: Bundle) -> str:
        self._ready[bundle.hash] = bundle
        return bundle.hash


class Turn(msgspec.Struct, frozen=True):
    """Say from which wall time on, in ns, which bundle decides."""

    since_ns: int
    bundle: Bundle


class TurnedModels(Models):
    """Hand out the bundles of some turns, the first one to begin with, whatever the settings name."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        """Take at least one turn."""
        super().__init__(None)
        self._ready |= {one.bundle.hash: one.bundle for one in turns}
        self._first = turns[0].bundle.hash

    def choose(self, settings: Settings) -> str:
        """Return the first turn's."""
        del settings
        return self._first


def window_note(settings: Settings, bundle: Bundle) -> str:
    """Return how a configuration's `feature_window` differs from the one that a bundle learned with; empty where it does not."""
    asked, learned = settings.advanced_features.regime_classification.feature_window, bundle.spec.feature_window
    if asked == learned:
        return ""
    return (
        f"feature_window is {asked} in the configuration, and {bundle.name} decides with {learned}, which it learned with; set "
        f"advanced_features.regime_classification.feature_window to {learned}, or train with {asked} (`smartmoney train --built-in`)"
    )


def check_fit(settings: Settings, bundle: Bundle | None) -> None:
    """Refuse a model that live mode must not trade by: only a gate passed on this venue, market and every instrument lets it in.

    A rehearsal takes any: what it rehearses is the way of an order.

    Raises:
        ModelNotFitForLive: which it is, and what it takes.
    """
    if settings.mode != "live" or is_rehearsal(settings):
        return
    if (why := why_unfit(settings, bundle)) is not None:
        raise ModelNotFitForLive(f"live mode refuses {why}; {_remedy(settings, bundle)}; until then run with --paper")


def why_unfit(settings: Settings, bundle: Bundle | None) -> str | None:
    """Return why real money would be refused to a model on these instruments, None where its gate lets it in."""
    if bundle is None:
        return "the untrained prior"
    if bundle.spec.trained.venue == BUILT_IN_VENUE:
        return f"the model {bundle.name}: it was trained on the built-in market"
    if (why := _judged_with_less(settings, bundle)) is not None:
        return f"the model {bundle.name}: {why}"
    unproven = [name for name in settings.instruments if not bundle.passed_for(settings.venue, settings.market, pair_of(name))]
    where = f"{settings.venue} {settings.market} {', '.join(unproven)}"
    return f"the model {bundle.name}: it has not passed the gate on {where}" if unproven else None


def _judged_with_less(settings: Settings, bundle: Bundle) -> str | None:
    """Return why the newest gates that passed here do not speak for the fees of a configuration, None where they do."""
    found = (bundle.newest_gate(settings.venue, settings.market, pair_of(name)) for name in settings.instruments)
    configured = dict(zip(("maker", "taker"), map(float, fees_bps(settings)), strict=True))
    for gate in found:
        if gate is None or not gate.passed:
            continue
        where = f"its gate of {gate.at} on {gate.venue} {gate.market} {', '.join(gate.instruments)}"
        for name, judged in (("maker", gate.maker_bps), ("taker", gate.taker_bps)):
            if judged is None:
                return f"{where} does not tell with which fees it was judged"
            if configured[name] > judged:
                return f"{where} was judged with a {name} fee of {judged:g} bps, and `fees.{name}_bps` is {configured[name]:g} here"
    return None


def _remedy(settings: Settings, bundle: Bundle | None) -> str:
    if bundle is not None and _judged_with_less(settings, bundle) is not None:
        return f"run `smartmoney models gate {bundle.name}` again, with this configuration's fees, and promote it if it passes"
    return "train on recordings of this venue, judge it with `smartmoney models gate`, and promote what passes"


def drift_action(settings: Settings) -> str:
    """Return what drift that calls for an act leads to: as configured, else a halt where it is real money."""
    return settings.drift.action or ("halt" if settings.mode == "live" else "warn")


def size_plan(settings: Settings) -> SizePlan:
    """Return how large entries are while the model drifts, where the configuration shrinks them."""
    given = settings.drift
    return SizePlan(watch=given.watch_size, act=given.act_size, recover_s=3600.0 * given.recover_h)


def place_of(settings: Settings) -> Place:
    """Return where a configuration's model decides, as gates are recorded that judged it there."""
    return Place(whose_market(settings), settings.market, tuple(pair_of(name) for name in settings.instruments))


def pair_of(name: str) -> str:
    """Return an instrument's name as gates are recorded: BASE/QUOTE; the settlement that some sources add is the market's."""
    return name.partition(":")[0]
