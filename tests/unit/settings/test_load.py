from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from smartmoney.settings import (
    ConfigurationError,
    Settings,
    config_hash,
    effective_settings,
    effective_thresholds,
    json_schema,
    load_settings,
)
from smartmoney.settings.models import ApiKeyFiles
from smartmoney.settings.sources import package_directory, parse_override

CONFIG = package_directory()


@pytest.fixture
def write(tmp_path):
    def write_(text, name="my.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_


def same(one, other):
    return effective_settings(one) == effective_settings(other)


def refused(*arguments, **named):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(*arguments, **named)
    error = caught.value
    assert error.exit_code == 78
    assert str(error).count("\n") == 0
    assert error.key in str(error)
    assert error.remedy in str(error)
    return error


def test_files_of_the_package_say_the_built_in_defaults(write):
    assert same(load_settings(CONFIG / "paper.yaml", mode="paper"), Settings())
    live = load_settings(CONFIG / "live.yaml", mode="live")
    assert (live.mode, live.venue, live.capital) == ("live", "binance", Decimal(100))
    assert same(load_settings(), Settings())
    assert same(load_settings(write("")), Settings())


def test_every_default_of_the_advanced_file_is_written_out():
    import yaml

    written = yaml.safe_load((CONFIG / "ml" / "advanced_features_config.yaml").read_text())["advanced_features"]
    assert written == Settings().advanced_features.model_dump()


@pytest.mark.parametrize(
    ("profile", "expected", "weights"),
    [
        ("conservative", (0.8, 0.05, 0.7, 0.015, 0.03, 1.0), (0.5, 0.25, 0.25)),
        ("aggressive", (0.6, 0.15, 0.4, 0.025, 0.05, 1.0), (0.6 * 4 / 7, 0.4, 0.6 * 3 / 7)),
        ("high_frequency", (0.7, 0.08, 0.6, 0.02, 0.04, 0.5), (0.4, 0.3, 0.3)),
    ],
)
def test_profiles_are_the_documented_ones_with_weights_that_sum_to_one(profile, expected, weights):
    settings = load_settings(CONFIG / "paper.yaml", profile=profile)
    s = settings.strategy
    assert expected == (
        s.confidence_threshold,
        s.max_position_size,
        s.min_liquidity_score,
        s.stop_loss_base,
        s.take_profit_base,
        s.update_frequency,
    )
    assert (s.regime_weight, s.imbalance_weight, s.liquidity_weight) == pytest.approx(weights)
    assert settings.advanced_features.signal_generation.min_confidence <= s.confidence_threshold
    assert settings.advanced_features.signal_generation.signal_decay_time == (60 if profile == "high_frequency" else 300)
    assert settings.profile == profile


def test_the_aggressive_profile_can_use_its_threshold():
    assert load_settings(profile="aggressive").advanced_features.signal_generation.min_confidence == 0.55


def test_what_is_said_closer_to_the_run_wins(write):
    file = write("profile: conservative\nstrategy: {max_position_size: 0.02}\n")
    assert load_settings(file).strategy.max_position_size == 0.02
    assert load_settings(file).strategy.confidence_threshold == 0.8
    aggressive = load_settings(file, profile="aggressive")
    assert (aggressive.strategy.max_position_size, aggressive.strategy.confidence_threshold) == (0.15, 0.6)
    assert load_settings(file, profile="aggressive", overrides={"strategy.max_position_size": 0.03}).strategy.max_position_size == 0.03


def test_own_profile_beside_the_file_is_found(write):
    write("strategy: {max_position_size: 0.07}", "profiles/mine.yaml")
    assert load_settings(write("mode: paper"), profile="mine").strategy.max_position_size == 0.07


def test_advanced_features_come_from_the_named_file_and_the_configuration_wins_over_it(write):
    write("advanced_features: {update_frequency: 2.0, signal_generation: {min_confidence: 0.7}}", "sub/adv.yaml")
    settings = load_settings(write("advanced_features_config_path: sub/adv.yaml\nadvanced_features: {update_frequency: 3.0}"))
    assert settings.advanced_features.update_frequency == 3.0
    assert settings.advanced_features.signal_generation.min_confidence == 0.7
    assert any("adv.yaml" in source for source in settings.sources)


def test_advanced_path_may_be_as_seen_from_the_project(write):
    write("advanced_features: {update_frequency: 2.0}", "config/ml/adv.yaml")
    file = write("strategy: {advanced_features_config_path: config/ml/adv.yaml}", "config/paper.yaml")
    assert load_settings(file).advanced_features.update_frequency == 2.0


def test_other_names_of_keys_are_accepted(write):
    settings = load_settings(write("strategy: {symbol: BTC/USD, signal_decay_time: 60, update_frequency: 0.5}"))
    assert settings.instruments == ("BTC/USD",)
    assert settings.advanced_features.signal_generation.signal_decay_time == 60
    assert settings.strategy.update_frequency == 0.5
    assert load_settings(write("symbol: ETH/USDT")).instruments == ("ETH/USDT",)
    assert "symbol" not in effective_settings(settings)["strategy"]


def test_other_name_that_contradicts_is_refused(write):
    assert refused(write("symbol: ETH/USDT\ninstruments: [BTC/USDT]")).key == "symbol"
    text = "strategy: {signal_decay_time: 60}\nadvanced_features: {signal_generation: {signal_decay_time: 90}}"
    assert refused(write(text)).key == "strategy.signal_decay_time"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("strategy: {confidence_treshold: 0.7}", "strategy.confidence_treshold", "did you mean confidence_threshold?"),
        ("stratgy: {}", "stratgy", "did you mean strategy?"),
        ("max_position_size: 0.1", "max_position_size", "strategy.max_position_size"),
        ("advanced_features: {liquidity_patterns: {depth_level: 3}}", "advanced_features.liquidity_patterns.depth_level", "depth_levels?"),
        ("advanced_features: {min_confidence: 0.7}", "advanced_features.min_confidence", "signal_generation.min_confidence"),
        ("api_secret: abc", "api_secret", "environment"),
        ("zzz: 1", "zzz", "remove it"),
        ("strategy: {max_position_size: -0.1}", "strategy.max_position_size", "greater than 0"),
        ("strategy: {max_position_size: .nan}", "strategy.max_position_size", "correct it"),
        ("strategy: {max_position_size: many}", "strategy.max_position_size", "number"),
        ("strategy: {stop_loss_base: -0.02}", "strategy.stop_loss_base", "greater than 0"),
        ("strategy: {max_drawdown: 0}", "strategy.max_drawdown", "greater than 0"),
        ("strategy: {timeframe: weekly}", "strategy.timeframe", "1m"),
        ("paper_balance: -5", "paper_balance", "10000"),
        ("mode: demo", "mode", "'paper' or 'live'"),
        ("venue: mtgox", "venue", "correct it"),
        ("instruments: []", "instruments", "at least 1"),
        ("instruments: [btcusdt]", "instruments", "BASE/QUOTE"),
        ("instruments: [BTC/USDT, BTC/USDT]", "instruments", "twice"),
        ("instruments: [BTC/USDT, ETH/BTC]", "instruments", "quote"),
        ("leverage: 3", "leverage", "usdm"),
        ("regime_overrides: {sideways: {max_position_size: 0.1}}", "regime_overrides.sideways", "accumulation"),
        ("regime_overrides: {volatile: {max_size: 0.1}}", "regime_overrides.volatile.max_size", "max_position_size"),
        ("regime_overrides: {volatile: {max_position_size: -1}}", "regime_overrides.volatile.max_position_size", "greater than 0"),
        ("risk: {max_orders_per_minute: 10}", "risk.reserved_orders_per_minute", "below"),
        ("training: {every_h: 24, promote: validated, min_hours: 9, max_hours: 8}", "training.min_hours", "max_hours"),
        ("training: {every_h: 24}\ncapture: {retention_days: 5}", "capture.retention_days", "7.0 days of captures"),
        ("training: {on_drift: true}\nmodel: mine", "model", "a restart would undo"),
        ("training: {promote: always}", "training.promote", "'gate', 'validated' or 'never'"),
        ("training: {every_h: -1}", "training.every_h", "greater than or equal to 0"),
        ("training: {every_hours: 1}", "training.every_hours", "every_h"),
        ("drift: {action: sell}", "drift.action", "'rollback'"),
        ("strategy: 7", "strategy", "correct it"),
        ("strategy_class: my strategy", "strategy_class", "correct it"),
        ("profile: turbo", "profile", "aggressive"),
        ("advanced_features_config_path: nowhere.yaml", "advanced_features_config_path", "nowhere.yaml does not exist"),
        ("mode: [paper", "config", "not valid YAML"),
        ("mode: paper\nmode: live", "config", "twice"),
        ("- a\n- b", "config", "keys"),
        ("? [a, b]\n: 1", "config", "not valid YAML"),
        ("a: " + "[" * 1500, "config", "not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []", "config", "not valid YAML"),
    ],
)
def test_a_wrong_configuration_is_one_line_with_key_and_remedy(write, text, key, words):
    error = refused(write(text))
    assert error.key == key
    assert words in str(error)


@pytest.mark.parametrize(
    "weights",
    [
        "regime_weight: 0.5, imbalance_weight: 0.3, liquidity_weight: 0.3",
        "regime_weight: -0.1",
        "regime_weight: 0.9, liquidity_weight: 0.3",
    ],
)
def test_weights_that_cannot_sum_to_one_are_refused(write, weights):
    error = refused(write(f"strategy: {{{weights}}}"))
    assert error.key == "strategy.regime_weight"
    assert "sum to 1" in str(error)


def test_some_weights_given_scale_the_others(write):
    s = load_settings(write("strategy: {imbalance_weight: 0.6, liquidity_weight: 0.3}")).strategy
    assert (s.regime_weight, s.imbalance_weight, s.liquidity_weight) == pytest.approx((0.1, 0.6, 0.3))


def test_missing_unreadable_and_binary_files_are_refused(write, tmp_path):
    assert "does not exist" in str(refused(tmp_path / "nope.yaml"))
    assert "cannot be read" in str(refused(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read" in str(refused(tmp_path / "binary"))
    assert "1 MiB" in str(refused(write("#" * (2 << 20))))


def test_every_further_problem_is_attached(write):
    error = refused(write("strategy: {max_position_size: -1, stop_loss_bse: 0.1}\nzzz: 1"))
    assert {error.key, *(other.key for other in error.others)} == {"strategy.max_position_size", "strategy.stop_loss_bse", "zzz"}
    assert error.problem.startswith("unknown key")


def test_paper_and_live_do_not_mix(write):
    paper, live = write("mode: paper"), write("mode: live\ncapital: 100", "live.yaml")
    assert refused(paper, mode="live").key == "mode"
    assert "--live" in str(refused(live, mode="paper"))
    assert refused(mode="live").key == "mode"
    assert load_settings(live).mode == "live"
    assert refused(write("mode: live\ncapital: 100\npaper_balance: 10")).key == "paper_balance"
    assert refused(write("mode: live\ncapital: 100\npaper: {latency_ms: 10}")).key == "paper"
    assert refused(write("mode: live")).key == "capital"


def test_sections_with_every_line_commented_out_say_nothing(write):
    assert same(load_settings(write("strategy:\nrisk:\nadvanced_features:\nregime_overrides:\n")), Settings())


def test_a_second_key_in_the_advanced_file_is_refused(write):
    write("advanced_features: {}\nextra: 1", "ml/advanced_features_config.yaml")
    assert refused(write("mode: paper")).key == "extra"


def test_thresholds_at_the_defaults():
    found = effective_thresholds(Settings())
    assert found["confidence_stable"] == 0.75
    assert found["confidence_unstable"] == pytest.approx(0.8125)
    assert found["signal_life_stable_s"] == pytest.approx(87.74, abs=0.01)
    assert found["signal_life_unstable_s"] == pytest.approx(56.77, abs=0.01)


def test_hash_is_of_the_meaning(write):
    plain = config_hash(Settings())
    assert config_hash(load_settings(write("strategy: {confidence_threshold: 0.75}\nlogging: {level: DEBUG}"))) == plain
    assert config_hash(load_settings(write("strategy: {confidence_threshold: 0.76}"))) != plain
    assert len(plain) == 64


def test_schema_describes_every_section_and_forbids_the_rest():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"strategy", "advanced_features", "risk", "capital"} <= set(schema["properties"])
    assert "expected" not in schema
    assert schema["$defs"]["Strategy"]["properties"]["max_position_size"]["description"]


def test_no_key_holds_a_secret():
    def names(model):
        for name, field in model.model_fields.items():
            yield name
            if isinstance(field.default, BaseModel):
                yield from names(type(field.default))

    telling = [name for name in names(Settings) if any(word in name for word in ("secret", "api_key", "password", "token"))]
    # Where a secret lies may be said: in files, whose rights are looked at before they are read.
    assert set(telling) == {"api_key", "secret_file"}
    assert all(name.endswith("_file") for name in ApiKeyFiles.model_fields)


def test_overrides_are_read_as_yaml():
    assert parse_override("strategy.max_position_size=0.05") == ("strategy.max_position_size", 0.05)
    assert parse_override("instruments=[ETH/USDT]") == ("instruments", ["ETH/USDT"])
    for text in ("nothing", "=1", "a=[1"):
        with pytest.raises(ConfigurationError):
            parse_override(text)


def test_override_of_a_wrong_key_names_it():
    assert refused(overrides={"strategy.max_positon_size": 1}).key == "strategy.max_positon_size"
    assert refused(overrides={"strategy.timeframe.x": 1}).key == "strategy.timeframe"


def test_the_files_of_the_package_are_where_a_user_looks():
    assert Path(CONFIG / "profiles" / "conservative.yaml").is_file()


def test_real_money_is_not_given_to_what_passed_on_paper_only(write):
    text = "mode: live\nvenue: binance\ncapital: 100\nmodel: default\ntraining: {every_h: 24, promote: %s}\n"
    error = refused(write(text % "validated"), mode="live")
    assert error.key == "training.promote"
    assert "real money needs the gate" in str(error)
    assert load_settings(write(text % "gate"), mode="live").training.is_on


def test_who_trains_and_lets_a_person_promote_may_name_any_model(write):
    settings = load_settings(write("training: {every_h: 24, promote: never}\nmodel: mine"))
    assert (settings.training.is_on, settings.training.reach_h) == (True, 24.0)
    assert Settings().training.is_on is False
