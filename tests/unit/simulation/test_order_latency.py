import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.simulation.order_latency import OrderLatency, measured_latency, parse_latency

names = st.text(min_size=1, max_size=20)


def test_a_constant_delays_every_request_alike():
    model = parse_latency("75")
    assert {model.delay_ns(f"order-{number}") for number in range(50)} == {75_000_000}
    assert model == parse_latency(" 75ms ") == OrderLatency(median_ms=75.0)


def test_a_spread_has_its_median_and_its_99th_percentile():
    model = parse_latency("40, 200")
    delays = sorted(model.delay_ns(f"order-{number}") / 1e6 for number in range(20_000))
    assert delays[10_000] == pytest.approx(40.0, rel=0.03)
    assert delays[19_800] == pytest.approx(200.0, rel=0.1)
    assert delays[0] > 0.0


def test_measured_delays_are_what_was_measured():
    model = measured_latency([10.0, 20.0, 90.0])
    drawn = [model.delay_ns(f"order-{number}") for number in range(3_000)]
    assert {10_000_000, 20_000_000, 90_000_000} == set(drawn)
    assert drawn.count(10_000_000) == pytest.approx(1_000, rel=0.15)
    assert model.words() == "as measured in 3 acknowledgements, median 20.0 ms"


@given(names, st.integers(0, 2**31), st.floats(0.1, 1_000.0), st.floats(1.0, 20.0))
def test_a_delay_depends_on_model_seed_and_request_alone(name, seed, median, factor):
    model = OrderLatency(median_ms=median, p99_ms=median * factor, seed=seed)
    assert model.delay_ns(name) == OrderLatency(median_ms=median, p99_ms=median * factor, seed=seed).delay_ns(name) >= 0


def test_another_seed_draws_other_delays():
    one, two = (OrderLatency(median_ms=50.0, p99_ms=200.0, seed=seed) for seed in (1, 2))
    assert [one.delay_ns(f"{number}") for number in range(5)] != [two.delay_ns(f"{number}") for number in range(5)]


@pytest.mark.parametrize("text", ["", "fast", "1,2,3", "50;60"])
def test_what_is_no_latency_is_refused_with_the_remedy(text):
    with pytest.raises(ValueError, match="give milliseconds"):
        parse_latency(text)


@pytest.mark.parametrize(
    "values", [{"median_ms": -1.0}, {"median_ms": math.nan}, {"median_ms": 50.0, "p99_ms": 40.0}, {"samples_ms": (1.0, -2.0)}]
)
def test_values_out_of_range_are_refused_by_name(values):
    with pytest.raises(ValueError, match=list(values)[-1]):
        OrderLatency(**values)


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="trade first"):
        measured_latency([])
