"""Scenario files: what is refused and how it is said, and that every named one can be used."""

import msgspec
import pytest

from smartmoney.learning.sets.labels import TRADABLE_S
from smartmoney.settings import ConfigurationError, load_settings
from smartmoney.settings.build import fees_bps
from smartmoney.settings.scenario import load_scenario, named_scenarios, scenario_from
from smartmoney.simulation.scenario import FIRST_RUN, PARAMETER_FIELDS, SECTIONS, parameters

NAMES = {
    "first_run",
    "no_information",
    "calm",
    "trending",
    "accumulation",
    "distribution",
    "volatile",
    "trap",
    "spoof",
    "flash_crash",
    "thin_book",
    "mixed_day",
    "many_symbols",
}


def test_the_package_brings_every_named_scenario_and_each_can_be_used():
    found = {scenario.name: scenario for scenario in named_scenarios()}
    assert set(found) == NAMES
    assert [name for name, scenario in found.items() if not scenario.is_planted] == ["no_information"]
    for name in NAMES:
        assert load_scenario(name).name == name


def test_first_run_differs_from_the_defaults_in_its_informed_alone():
    found = load_scenario("first_run")
    assert found.informed != FIRST_RUN.informed
    assert msgspec.structs.replace(found, title=FIRST_RUN.title, informed=FIRST_RUN.informed) == FIRST_RUN


def test_the_first_run_holds_forecasts_that_pay_for_a_round_trip_on_spot():
    # What docs/training.md and README say of it; with another scenario or other fees, measure anew and say that instead.
    informed, settings = load_scenario("first_run").informed, load_settings()
    _, taker_bps = fees_bps(settings)
    assert settings.market == "spot"
    each = informed.right_share * informed.drift_bps
    # Known when its drift begins, a parent's drift is over within the shortest tradable horizon; the next parent's may be in it, whole.
    assert informed.drift_s <= min(TRADABLE_S)
    assert 0.75 * informed.every_s > informed.duration_s * informed.drift_start
    least = each * (1.0 + min(0.0, 2.0 * informed.persistence - 1.0))
    assert least >= 2 * float(taker_bps) * settings.advanced_features.feature_engine.risk_adjustment_factor


def test_banners_say_what_is_planted():
    assert load_scenario("first_run").banner == "synthetic market, edge planted: proves nothing about yours"
    assert "nothing planted" in load_scenario("no_information").banner


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"takers": {"bse_rate": 1}}, "takers.bse_rate: unknown key in x.yaml; did you mean base_rate?"),
        ({"base_rate": 1}, "base_rate: unknown key in x.yaml; it belongs at takers.base_rate"),
        ({"price": {"bps_per_minute": -1}}, "price.bps_per_minute: -1 is refused: input should be greater than or equal to 0"),
        ({"crowd": {"size": "big"}}, "crowd.size: 'big' is refused"),
        ({"takers": {"same_side": [0.1, 2, 0.1, 0.1]}}, "takers.same_side.1: 2 is refused"),
        ({"takers": {"same_side": [0.5, 0.5, 0.5, 0.5]}}, "takers.same_side: brings about 2.12 orders per order"),
        ({"makers": {"layers_bps": [[0, 1, 2, 3, 4]]}}, "makers.layers_bps: has 1 rows"),
        ({"makers": {"layers_bps": [[0, 1, 2, 3, 4]] * 3}}, "makers.layers_size: has 4 rows, but layers_bps has 3"),
        ({"traps": {"pull_most": 0.5}}, "traps.pull_most: is less than pull_least"),
        ({"impact": {"longest_s": 1}}, "impact.longest_s: is less than shortest_s"),
        ({"splitters": {"poisson": 0}}, "splitters.poisson: and all other styles have weight 0"),
        ({"symbols": []}, "symbols: [] is refused"),
        ({"symbols": [{"base": "btc"}]}, "symbols.0.base: 'btc' is refused"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(values, said):
    with pytest.raises(ConfigurationError) as raised:
        scenario_from(values, "x.yaml")
    assert said in str(raised.value)


def test_a_name_that_is_not_there_lists_those_that_are(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no scenario .moon.; choose one of: .*calm.*mixed_day"):
        load_scenario("moon")
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_scenario(str(tmp_path / "moon.yaml"))


def test_a_file_of_ones_own_is_found_by_path_and_by_name_beside_the_configuration(tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "mine.yaml").write_text("title: Mine\nprice: {bps_per_minute: 1}\n")
    (tmp_path / "paper.yaml").write_text("mode: paper\nsim: {scenario: mine}\n")
    assert load_scenario(str(tmp_path / "scenarios" / "mine.yaml")).price.bps_per_minute == 1
    assert load_scenario("mine", tmp_path).name == "mine"
    assert load_settings(tmp_path / "paper.yaml").sim.scenario == "mine"
    (tmp_path / "paper.yaml").write_text("mode: paper\nsim: {scenario: mien}\n")
    with pytest.raises(ConfigurationError, match="there is no scenario 'mien'"):
        load_settings(tmp_path / "paper.yaml")


def test_every_number_of_a_scenario_is_a_field_of_the_world():
    named = {field[0] for field in PARAMETER_FIELDS}
    assert named == set(parameters(FIRST_RUN, 1.0))
    assert len(named) == sum(len(section.__struct_fields__) for section in SECTIONS.values())
