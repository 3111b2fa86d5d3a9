"""A search space is checked key by key before anything runs, and what is wrong is named with its remedy."""

import re
from pathlib import Path

import pytest

from smartmoney.settings.build import desk_parameters
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.load import load_settings
from smartmoney.settings.search_space import Dimension, current_value, load_space, with_parameters


@pytest.fixture(scope="module")
def settings():
    return load_settings()


@pytest.fixture
def load(tmp_path, settings):
    def loaded(text):
        (tmp_path / "space.yaml").write_text(text)
        return load_space(tmp_path / "space.yaml", settings)

    return loaded


def test_the_packages_own_space_is_usable_and_every_corner_of_it_goes_together(settings):
    space = load_space(None, settings)
    assert len(space.dimensions) > 8
    for end in ("low", "high"):
        corner = {one.key: one.choices[0] if one.choices else getattr(one, end) for one in space.dimensions}
        changed = with_parameters(settings, corner)
        for key, value in corner.items():
            assert current_value(changed, key) == pytest.approx(value) if isinstance(value, float) else value


def test_ranges_and_choices_are_read_as_they_are_written(load):
    space = load(
        "strategy.stop_loss_base: {low: 0.002, high: 0.04, log: true}\n"
        "execution.entry: {choices: [taker, maker]}\n"
        "risk.max_open_orders: {low: 2, high: 20, step: 4}\n"
        "strategy.rebalance_band: {low: 0, high: 0.5, step: 0.2}\n"
        "risk.collar_bps: {low: 10, high: 60}\n"
    )
    assert space.dimensions[0] == Dimension(key="strategy.stop_loss_base", low=0.002, high=0.04, log=True)
    assert space.dimensions[1].choices == ("taker", "maker")
    # The range ends where its steps do.
    assert (space.dimensions[2].is_whole, space.dimensions[2].high) == (True, 18)
    assert (space.dimensions[3].is_whole, space.dimensions[3].high) == (False, 0.4)
    assert not space.dimensions[4].is_whole
    again = load("# the same, in other words\n" + Path(space.origin).read_text())
    assert space.hash == again.hash


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("", "--space", "names no key"),
        ("[1, 2]", "--space", "holds a list"),
        ("strategy.confidence_treshold: {low: 0.5, high: 0.9}", "strategy.confidence_treshold", "did you mean confidence_threshold"),
        ("strategy: {confidence_threshold: {low: 0.5, high: 0.9}}", "strategy", "dotted"),
        ("paper.latency_ms: {low: 0, high: 50}", "paper.latency_ms", "cannot be searched"),
        ("fees.taker_bps: {low: 0, high: 5}", "fees.taker_bps", "cannot be searched"),
        ("strategy.confidence_threshold: 0.5", "strategy.confidence_threshold", "low: 0.5"),
        ("strategy.confidence_threshold: {low: 0.5}", "strategy.confidence_threshold.high", "is missing"),
        ("strategy.confidence_threshold: {low: 0.5, hihg: 0.9}", "strategy.confidence_threshold.hihg", "is unknown"),
        ("strategy.confidence_threshold: {low: 0.9, high: 0.5}", "strategy.confidence_threshold.low", "not below"),
        ("strategy.confidence_threshold: {low: 0.5, high: 1.5}", "strategy.confidence_threshold.high", "less than or equal to 1"),
        ("strategy.confidence_threshold: {low: a, high: 1}", "strategy.confidence_threshold.low", "no number"),
        ("strategy.confidence_threshold: {low: 0.5, high: .inf}", "strategy.confidence_threshold.high", "no number"),
        ("strategy.confidence_threshold: {low: 0, high: 1, log: true}", "strategy.confidence_threshold.log", "above 0"),
        ("strategy.confidence_threshold: {low: 0.1, high: 1, log: 3}", "strategy.confidence_threshold.log", "neither true nor false"),
        ("strategy.confidence_threshold: {low: 0.5, high: 0.9, step: 2}", "strategy.confidence_threshold.step", "does not fit"),
        ("risk.max_open_orders: {low: 2, high: 20, step: 1.5}", "risk.max_open_orders.step", "whole"),
        ("execution.entry: {choices: [taker, seller]}", "execution.entry.choices", "seller"),
        ("execution.entry: {choices: [taker]}", "execution.entry.choices", "2 to 100"),
        ("execution.entry: {choices: [taker, taker]}", "execution.entry.choices", "different"),
        ("execution.entry: {choices: [taker, maker], low: 1}", "execution.entry", "keep one"),
        ("paper.fee_in_base: {choices: [true, false]}", "paper.fee_in_base", "cannot be searched"),
        ("advanced_features.enable_logging: {low: 0, high: 1}", "advanced_features.enable_logging.low", "choices"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(load, text, key, says):
    with pytest.raises(ConfigurationError) as refused:
        load(text)
    assert refused.value.key == key
    assert says in str(refused.value)
    assert refused.value.remedy


def test_the_documented_space_is_one(load):
    page = (Path(__file__).resolve().parents[3] / "docs" / "tune.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(load(example).dimensions) == 5


def test_weights_are_scaled_and_what_does_not_go_together_is_refused(settings):
    assert with_parameters(settings, {"strategy.regime_weight": 0.6}).strategy.liquidity_weight == pytest.approx(0.2)
    assert with_parameters(settings, {}).model_dump() == settings.model_dump()
    with pytest.raises(ConfigurationError, match="must not exceed 1"):
        with_parameters(settings, {"strategy.regime_weight": 0.6, "strategy.imbalance_weight": 0.6})


def test_parameters_of_one_regime_are_searched_like_any_other(load, settings):
    space = load(
        "regime_overrides.volatile.max_position_size: {low: 0.02, high: 0.1, step: 0.02}\n"
        "regime_overrides.accumulation.confidence_threshold: {low: 0.6, high: 0.8}\n"
    )
    found = with_parameters(settings, {space.dimensions[0].key: 0.04, space.dimensions[1].key: 0.7})
    built = desk_parameters(found).strategy
    assert built.for_regime("volatile").max_position_size == 0.04
    assert built.for_regime("accumulation").confidence_threshold == 0.7
    assert built.for_regime("neutral") == built.for_regime("distribution")
    assert built.for_regime("neutral").max_position_size == settings.strategy.max_position_size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("regime_overrides.sideways.max_position_size: {low: 0.02, high: 0.1}", "accumulation"),
        ("regime_overrides.volatile.max_drawdown: {low: 0.02, high: 0.1}", "max_drawdown"),
        ("regime_overrides.volatile.max_position_size: {low: 0.02, high: 7}", "less than or equal to 1"),
    ],
)
def test_what_no_regime_has_is_refused_by_name(load, text, says):
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        load(text)
