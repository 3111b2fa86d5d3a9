"""What a trained model says: which horizon speaks, when none does, and what its numbers are."""

import math

import msgspec
import numpy as np
import pytest
from scipy.stats import norm

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Refusal, RefusalCode
from smartmoney.core.features.schema import FEATURE_INDEX, as_mapping
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.models.explanation import explain
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.reading import RegimeReading
from smartmoney.core.strategy.desk import Accepted, StrategyDesk
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.core.strategy.parameters import DeskParameters
from smartmoney.core.strategy.trained import TrainedModel

from .markets import S, view

COSTS = {"stop_bps": 200.0, "target_bps": 400.0}


def stepped(bundle, row, at_s=1000):
    model = TrainedModel(bundle, RegimeParameters())
    return model, model.step(model.fresh_state(), row, as_mapping(row), at_s * S)


def said(bundle, row, cost_bps=1.0):
    model, state = stepped(bundle, row)
    return state.mind[0], model.opportunities(state, as_mapping(row), RegimeReading(), cost_bps=cost_bps, **COSTS)


def with_heads(bundle, change):
    """Return a bundle whose heads are changed by a function of head and number."""
    spec = msgspec.structs.replace(bundle.spec, heads=tuple(change(head, h) for h, head in enumerate(bundle.spec.heads)))
    return Bundle(spec=spec, forests=bundle.forests, card="", hash=bundle.hash)


def test_the_numbers_of_an_opportunity_are_those_of_a_forecast(bundles):
    bundle = bundles.small_bundle()
    for row in bundles.rows(50, seed=21):
        mind, found = said(bundle, row, cost_bps=3.0)
        if not found:
            continue
        (one,) = found
        sigma = max(0.5, math.sqrt(900 / 60) * math.sqrt(row[FEATURE_INDEX["rv_120s"]]))
        assert mind["sigma"][1] == pytest.approx(sigma)
        assert one.gross_return_bps == pytest.approx(sigma * norm.ppf(one.confidence))
        assert one.expected_return_bps == pytest.approx(one.gross_return_bps - 3.0)
        assert one.horizon_s == 900.0
        assert one.side is (Side.BUY if mind["lean"][1] > 0 else Side.SELL)
        assert one.confidence == pytest.approx(np.interp(0.5 + abs(mind["lean"][1]), (0.5, 0.7, 1.0), (0.5, 0.75, 0.97)))
        assert one.risk_level == ("low" if sigma < 5 else "medium" if sigma < 20 else "high")
        assert one.model == bundle.name
        return
    pytest.fail("no row gave an opportunity")


def test_only_a_set_of_one_side_trades(bundles):
    rows = bundles.rows(200, seed=22)
    for q in (0.05, 0.3, 0.45, 0.6, 0.9):
        changed = with_heads(bundles.small_bundle(), lambda head, _, q=q: msgspec.structs.replace(head, conformal=(q,) * 5))
        for row in rows:
            mind, found = said(changed, row)
            confidence = mind["confidence"][1]
            sides = sum((bool(confidence >= 1 - q), bool(1 - confidence >= 1 - q)))
            assert bool(found) == (sides == 1)


def test_the_conformal_threshold_is_that_of_the_label(bundles):
    row = bundles.rows(1, seed=23)[0]
    mind, found = said(bundles.small_bundle(), row)
    label = int(mind["label"])
    assert found
    strict = tuple(0.0 if k == label else 0.45 for k in range(5))
    assert not said(with_heads(bundles.small_bundle(), lambda head, _: msgspec.structs.replace(head, conformal=strict)), row)[1]
    others = tuple(0.45 if k == label else 0.0 for k in range(5))
    assert said(with_heads(bundles.small_bundle(), lambda head, _: msgspec.structs.replace(head, conformal=others)), row)[1]


def test_the_tradable_horizon_with_the_best_return_for_its_risk_speaks(bundles):
    bundle = bundles.small_bundle(heads=(60, 300, 900, 3600))
    seen = set()
    for row in bundles.rows(200, seed=24):
        for cost in (0.0, 20.0):
            mind, found = said(bundle, row, cost_bps=cost)
            worth = {
                head.horizon_s: (mind["gross"][h] - cost) / mind["sigma"][h]
                for h, head in enumerate(bundle.spec.heads)
                if head.tradable and mind["single"][h] and mind["lean"][h]
            }
            assert [one.horizon_s for one in found] == ([max(worth, key=worth.get)] if worth else [])
            seen.update(one.horizon_s for one in found)
    assert seen == {300.0, 900.0, 3600.0}


def test_without_a_number_where_it_counts_there_is_no_forecast(bundles):
    bundle = bundles.small_bundle()
    model = TrainedModel(bundle, RegimeParameters())
    assert {"rv_120s", "tfi_10s", "efficiency_120s", "liquidity_score"} <= set(model.features_required)
    assert not any(":" in name or "*" in name for name in model.features_required)
    row = bundles.rows(1, seed=25)[0]
    row[FEATURE_INDEX["rv_120s"]] = np.nan
    _, found = said(bundle, row)
    assert found == ()
    optional = Bundle(spec=msgspec.structs.replace(bundle.spec, optional=("tfi_10s",)), forests=bundle.forests, card="", hash="")
    assert "tfi_10s" not in TrainedModel(optional, RegimeParameters()).features_required


def test_importance_is_in_shares_the_largest_first(bundles):
    model = TrainedModel(bundles.small_bundle(), RegimeParameters())
    assert model.importance() == {"tfi_120s": 0.75, "tfi_10s": 0.25}


def desk(bundle):
    parameters = DeskParameters()
    config = msgspec.structs.asdict(parameters.strategy)
    config["regime_overrides"] = config.pop("overrides")
    made = StrategyDesk(SmartMoneyFollowerStrategy(config), parameters, RegimeParameters(), TrainedModel(bundle, RegimeParameters()))
    made.initialize()
    return made


def test_the_desk_decides_by_a_trained_model_with_the_row_or_with_the_mapping_alone(bundles):
    bundle = bundles.small_bundle(return_scale=30.0)
    by_row, by_mapping = desk(bundle), desk(bundle)
    outcomes = set()
    for k, row in enumerate(bundles.rows(300, seed=26)):
        features = {**as_mapping(row), "mm_presence": 0.9, "liquidity_stress": 0.1}
        row = np.array(list(features.values()))
        given = view(features, at_s=1000.0 + k, cost_bps=5.0)
        with_row = by_row.decide(msgspec.structs.replace(given, row=row))
        without = by_mapping.decide(given)
        assert type(with_row) is type(without)
        outcomes.add("signal" if isinstance(with_row, Accepted) else with_row.code)
        if isinstance(with_row, Accepted):
            assert with_row.signal.metadata["model"] == bundle.name
            assert with_row.outlook.horizon_s == 900.0
    assert "signal" in outcomes
    missing = view({**features, "rv_120s": math.nan}, at_s=2000.0)
    refused = by_row.decide(missing)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NOT_WARM


def test_where_it_is_kept_what_was_seen_explains_a_refusal_too(bundles):
    bundle = bundles.small_bundle(return_scale=30.0)
    keeping, usual = desk(bundle), desk(bundle)
    keeping.keeps_seen = True
    refused = 0
    for k, row in enumerate(bundles.rows(60, seed=26)):
        features = {**as_mapping(row), "mm_presence": 0.9, "liquidity_stress": 0.1}
        given = view(features, at_s=1000.0 + k, cost_bps=5.0)
        decided, same = keeping.decide(given), usual.decide(given)
        assert type(decided) is type(same)
        if keeping.opportunities(0):
            continue
        refused += 1
        assert usual.seen(0) is None
        seen = keeping.seen(0)
        ups = dict(keeping.ups(0))
        assert abs(ups[seen.horizon_s] - 0.5) == max(abs(up - 0.5) for up in ups.values() if math.isfinite(up))
        assert sum(map(abs, explain(seen).values())) > 0.0
    assert refused > 0


def test_activating_another_model_starts_its_regimes_afresh(bundles):
    made = desk(bundles.small_bundle())
    features = {**as_mapping(bundles.rows(1, seed=27)[0]), "mm_presence": 0.9}
    made.decide(view(features))
    assert made.regime(0) is not None
    made.activate(TrainedModel(bundles.small_bundle(name="second"), RegimeParameters()))
    assert made.regime(0) is None
    made.decide(view(features, at_s=1001.0))
    assert made.regime(0).age_s == 0.0
