"""What the documentation says is so: its examples run, its tables are complete, its commands and files exist."""

import importlib.util
import re
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.main import get_command

from smartmoney.cli.main import app
from smartmoney.compat import load_strategy
from smartmoney.core.domain.signals import FeedTrust, MarketData, RefusalCode, SignalType
from smartmoney.core.features.schema import FEATURES
from smartmoney.core.strategy.driving import drive
from smartmoney.settings import json_schema, load_settings
from smartmoney.simulation.fault_kinds import KINDS

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])

# Character classes keep this file from holding what it forbids.
FORBIDDEN = r"[/]work[/]|[/]home[/]|index-url|py[p]i[.]org|\bissue \d"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def block(name, language, containing=""):
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", read(name), re.DOTALL) if containing in text]
    assert len(found) == 1, f"{name}: {len(found)} {language} blocks with {containing!r}"
    return found[0]


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def writer():
    return script("write_configuration")


@pytest.fixture(scope="module")
def features_writer():
    return script("write_features")


def test_the_market_page_is_what_the_scenarios_and_their_structs_say():
    page, writer = read("docs/market.md"), script("write_market")
    assert writer.with_generated(page, writer.generated()) == page, "behind the structs: run python docs/write_market.py"


def test_every_feature_is_documented_as_the_schema_has_it(features_writer):
    page, generated = read("docs/features.md"), features_writer.entries(FEATURES)
    assert features_writer.with_entries(page, generated) == page, "behind the schema: run python docs/write_features.py"
    assert re.findall(r"^#### `(\w+)`$", generated, re.MULTILINE) == [
        feature.name for group in dict.fromkeys(one.group for one in FEATURES) for feature in FEATURES if feature.group == group
    ]
    headings = re.findall(r"^### (.+)$", generated, re.MULTILINE)
    assert headings == list(dict.fromkeys(feature.group for feature in FEATURES))


def test_every_fault_is_documented_with_its_keys_and_its_wire_form():
    faults, page = script("write_faults"), read("docs/faults.md")
    assert faults.with_entries(page, faults.entries()) == page, "behind the table: run python docs/write_faults.py"
    shown = [name for kinds in faults.GROUPS.values() for name in kinds]
    assert sorted(shown) == sorted(KINDS)
    wire = page.split("## Wire forms")[1]
    rows = [line.split(" | ")[0] for line in wire.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(KINDS)
    with pytest.raises(ValueError, match="in the page"):
        faults.with_entries("no marks", "")


def test_a_feature_is_shown_as_it_is_written_whatever_its_formula_holds(features_writer):
    odd = msgspec.structs.replace(FEATURES[0], name="a_b", unit="a|b", description="x_i * y_{i} <k> & [z]\n|w|", bounds=(None, 2.0))
    shown = features_writer.entries([odd, FEATURES[1]])
    assert "x_i \\* y\\_{i} &lt;k&gt; &amp; \\[z\\] \\|w\\|\n" in shown
    assert "| a\\|b |" in shown
    assert "−∞ … 2" in shown
    with pytest.raises(ValueError, match="in the page"):
        features_writer.with_entries("no marks", shown)


def test_every_configuration_key_is_documented_with_its_default_and_meaning(writer):
    page, generated = read("docs/configuration.md"), writer.tables(json_schema())
    assert writer.with_tables(page, generated) == page, "behind the schema: run python docs/write_configuration.py"
    rows = [line.split(" | ") for line in generated.splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if not row[-1].strip(" |")] == []


def test_a_new_key_would_not_go_undocumented(writer):
    schema = json_schema()
    schema["properties"]["unheard_of"] = {"type": "integer", "default": 3, "description": "New."}
    assert "| `unheard_of` | `3` |  | New. |" in writer.tables(schema)


def test_every_refusal_code_is_explained():
    explained = re.findall(r"^\| `([a-z_]+)` \|", read("docs/first-run.md"), re.MULTILINE)
    assert sorted(explained) == sorted(code.value for code in RefusalCode)


def test_every_command_of_the_table_exists_and_every_command_is_in_it():
    table = read("README.md").partition("## Commands")[2].partition("## Configuration")[0]
    command = get_command(app)
    shown = {name for name, sub in command.commands.items() if not sub.hidden}
    named = {word for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for word in re.findall(r"`(?:smartmoney )?([a-z]+)", cell)}
    assert shown <= named
    assert named - shown <= {"check", "show", "schema", "replay"}


def test_options_that_the_documentation_names_exist():
    command = get_command(app)
    subs = [inner for sub in command.commands.values() for inner in (sub, *getattr(sub, "commands", {}).values())]
    options = {option for sub in subs for parameter in sub.params for option in parameter.opts} | {"--help", "--version"}
    texts = [
        line
        for page in PAGES
        for line in re.findall(r"`?smartmoney (?:run|status|halt|resume|flatten|replay|sim|features)\b[^`\n]*", page.read_text())
    ]
    named = {option for text in texts for option in re.findall(r"(?<=\s)(--[a-z-]+)", text)}
    assert len(named) > 8
    assert named <= options


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_readme_opens_with_the_two_commands_and_is_short():
    lines = read("README.md").splitlines()
    assert [line.split()[:2] for line in lines[3:5]] == [["make", "paper"], ["make", "test"]]
    assert len(lines) < 200


def test_configuration_examples_are_valid(tmp_path):
    for name, containing in (("README.md", "conservative"), ("docs/strategy.md", "strategy_class")):
        (tmp_path / "my.yaml").write_text(block(name, "yaml", containing))
        assert load_settings(tmp_path / "my.yaml").mode == "paper"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Load the documented strategy exactly as the daemon would."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_strategy.py").write_text(block("docs/strategy.md", "python", "OrderFlowStrategy"))
    name = yaml.safe_load(block("docs/strategy.md", "yaml"))["strategy_class"]
    yield load_strategy(name, {"symbol": "BTC/USDT"}, tmp_path)
    sys.modules.pop("my_strategy", None)


def market(lean):
    features = {spec.name: 0.0 for spec in FEATURES} | {"weighted_imbalance": lean, "tfi_120s": lean}
    quote = {"bid": 99.0, "ask": 101.0, "bid_quantity": 1.0, "ask_quantity": 1.0}
    return MarketData(symbol="BTC/USDT", ts_event_ns=1, trust=FeedTrust.SYNCED, features=features, **quote)


@pytest.mark.parametrize(("lean", "side"), [(0.4, SignalType.BUY), (-0.4, SignalType.SELL), (0.05, None)])
def test_documented_strategy_follows_the_lean(example, lean, side):
    example.bind_market(market(lean))
    signals = drive(example.generate_signals())
    assert [signal.signal_type for signal in signals] == ([] if side is None else [side])
    for signal in signals:
        low, high = sorted((signal.stop_loss, signal.take_profit))
        assert low < signal.price < high
        assert 0 < signal.quantity <= 1


def test_documentation_names_no_private_places():
    units = [path for path in (ROOT / "systemd").rglob("*") if path.is_file()]
    for page in [*PAGES, ROOT / "Dockerfile", *(ROOT / "deploy").glob("compose*.yaml"), *units]:
        text = page.read_text(encoding="utf-8")
        assert re.search(FORBIDDEN, text) is None, page.name


def test_every_fault_of_the_checklist_names_tests_that_exist():
    rows = re.findall(r"^\| (\d+) \|.*$", read("docs/fault-checklist.md"), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 61))
    named = re.findall(r"`([a-z_/]+\.py)::(\w+)`", read("docs/fault-checklist.md"))
    assert len(named) > 100
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE), f"{path}::{name}"
