"""Files of faults: what is refused, with the field and the remedy, and that every example can be read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.faults import load_faults, read_fault
from smartmoney.simulation.fault_kinds import KINDS

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "config" / "faults").glob("*.yaml"))


def written(tmp_path, text):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_plan(tmp_path):
    plan = load_faults(
        written(
            tmp_path,
            "seed: 7\nfaults:\n  - {kind: gap, market: spot, symbol: btcusdt, after_s: 5, every: 50}\n  - {kind: backlog, hold_s: 30}\n",
        )
    )
    first, second = (report.fault for report in plan.reports(0))
    assert plan.seed == 7
    assert (first.kind, first.market, first.symbol, first.after_s, first.every) == ("gap", "spot", "BTCUSDT", 5.0, 50)
    assert (second.name, second.nanoseconds("hold_s")) == ("backlog-2", 30_000_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faults: [{kind: gap, mraket: spot}]", "faults.0.mraket: unknown key; did you mean market?"),
        ("faults: [{kind: backlog, hold: 3}]", "faults.0.hold: unknown key; did you mean hold_s?"),
        ("faults: [{kind: gap, hold_s: 3}]", "faults.0.hold_s: unknown key; known here: kind, "),
        ("faults: [{kind: gapp}]", "faults.0.kind: there is no kind 'gapp'; did you mean gap?"),
        ("faults: [{market: spot}]", "faults.0.kind: is missing; choose one of: silence, "),
        ("faults: [gap]", "faults.0: is no mapping; write "),
        ("fautls: []", "fautls: unknown key; did you mean faults?"),
        ("faults: [{kind: gap, market: margin}]", "faults.0.market: 'margin' is refused: "),
        ("faults: [{kind: gap, probability: 1.5}]", "faults.0.probability: 1.5 is refused: "),
        ("faults: [{kind: gap, for_s: .nan}]", "faults.0.for_s: nan is refused: "),
        ("faults: [{kind: garbage, form: rot13}]", "faults.0.form: 'rot13' is refused: "),
        ("faults: [{kind: server_error, status: 200}]", "faults.0.status: 200 is refused: "),
        ("faults: [{kind: gap, call: GET depth}]", "faults.0.call: means nothing for gap; remove it: "),
        ("faults: [{kind: rate_limit, stream: x}]", "faults.0.stream: means nothing for rate_limit; remove it: "),
        ("faults: [{kind: rate_limit, connection: 2}]", "faults.0.connection: means nothing for rate_limit; remove it: "),
        ("faults: [{kind: clock_offset, probability: 0.5}]", "faults.0.probability: means nothing for clock_offset, which lasts; "),
        ("faults: [{kind: gap, at_ms: 5, after_s: 3}]", "faults.0.after_s: contradicts at_ms; keep one of the two"),
        ("faults: [{kind: gap, name: a}, {kind: gap, name: a}]", "faults.1.name: there is a fault named 'a' already; "),
        ("faults: 3", "faults: 3 is refused: "),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path, text, message):
    with pytest.raises(ConfigurationError) as caught:
        load_faults(written(tmp_path, text))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_read_and_says_what_it_is(path):
    assert load_faults(path).reports(0)
    assert path.read_text().startswith("# ")


def test_the_examples_show_every_kind():
    shown = {report.fault.kind for path in EXAMPLES for report in load_faults(path).reports(0)}
    assert shown == set(KINDS)


@given(
    st.sampled_from(sorted(KINDS)), st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
)
def test_whatever_is_given_is_read_or_refused_in_one_line(kind, entry):
    try:
        said = read_fault({**entry, "kind": kind}).kind
    except ConfigurationError as error:
        said = str(error)
    assert said == kind or (": " in said and "; " in said and "\n" not in said)
