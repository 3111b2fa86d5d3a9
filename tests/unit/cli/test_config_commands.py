import json

import pytest
from typer.testing import CliRunner

from smartmoney.cli.config import app
from smartmoney.settings import config_hash, load_settings

runner = CliRunner()


def test_check_of_a_good_configuration_ends_with_zero():
    result = runner.invoke(app, ["check", "--profile", "conservative"])
    assert result.exit_code == 0
    assert result.output.startswith("ok: paper on sim")
    found = json.loads(runner.invoke(app, ["check", "--json"]).stdout)
    assert (found["ok"], found["config_hash"]) == (True, config_hash(load_settings()))


@pytest.mark.parametrize("command", ["check", "show"])
def test_wrong_configuration_ends_with_78_and_one_line(command):
    result = runner.invoke(app, [command, "--set", "strategy.max_position_sise=0.1"])
    assert result.exit_code == 78
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "strategy.max_position_sise" in result.stderr
    assert "did you mean max_position_size?" in result.stderr


def test_wrong_configuration_in_json_lists_every_problem():
    result = runner.invoke(app, ["check", "--json", "--set", "strategy.max_position_size=-1", "--set", "zzz=1"])
    assert result.exit_code == 78
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert {problem["key"] for problem in found["problems"]} == {"strategy.max_position_size", "zzz"}


def test_show_prints_effective_weights_and_thresholds():
    text = runner.invoke(app, ["show", "--profile", "aggressive"]).stdout
    assert "regime 0.3429, imbalance 0.4, liquidity 0.2571" in text
    assert "unstable regime: confidence 0.8125" in runner.invoke(app, ["show"]).stdout
    found = json.loads(runner.invoke(app, ["show", "--profile", "high_frequency", "--json"]).stdout)
    assert found["settings"]["advanced_features"]["signal_generation"]["signal_decay_time"] == 60
    assert found["effective_thresholds"]["confidence_unstable"] == pytest.approx(0.8125)


def test_shown_settings_load_again_to_the_same(tmp_path):
    shown = runner.invoke(app, ["show", "--profile", "conservative"]).stdout
    (tmp_path / "again.yaml").write_text(shown)
    assert config_hash(load_settings(tmp_path / "again.yaml")) == config_hash(load_settings(profile="conservative"))


def test_schema_is_json():
    assert json.loads(runner.invoke(app, ["schema", "--json"]).stdout)["title"] == "Settings"
    assert json.loads(runner.invoke(app, ["schema"]).stdout)["title"] == "Settings"
