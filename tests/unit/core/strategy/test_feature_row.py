"""What decisions take short ways round says what the long ways say."""

import math
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.signals import RefusalCode
from smartmoney.core.features.schema import COLUMNS, as_mapping
from smartmoney.core.strategy.desk import StrategyDesk
from smartmoney.core.strategy.feature_row import FeatureRow
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.core.strategy.gates import RULE_FEATURES, Inputs, not_finite
from smartmoney.core.strategy.parameters import DeskParameters

from .markets import CALM, view

numbers = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([1e308, -1e308, 0.0]))
REQUIRED = ("rv_120s", "tfi_120s", "efficiency_120s")
READ = (*RULE_FEATURES, *REQUIRED)


def row(**changes):
    return FeatureRow([float(changes.get(name, at)) for at, name in enumerate(COLUMNS)])


def shown_in(features, **changes):
    return msgspec.structs.replace(view(**changes).market, features=features)


def test_a_row_reads_as_the_dictionary_does():
    given_row = row()
    plain = as_mapping(given_row.numbers)
    assert dict(given_row) == dict(MappingProxyType(given_row)) == plain
    assert (list(given_row), len(given_row), repr(given_row)) == (list(plain), len(plain), repr(plain))
    assert "spread_bps" in given_row
    assert "no such" not in given_row
    assert given_row.get("no such") is None
    assert given_row.get("no such", 1.0) == 1.0
    assert given_row.get("spread_bps") == plain["spread_bps"]
    with pytest.raises(KeyError):
        given_row["no such"]


@given(st.dictionaries(st.sampled_from(READ), numbers), numbers, numbers, numbers)
def test_inputs_are_missing_where_one_by_one_they_are(features, bid, ask, cost):
    for shown in (row(**features), dict(row(**features))):
        market = shown_in(shown, bid=bid, ask=ask)
        assert Inputs(REQUIRED).missing(market, cost) == not_finite(market, cost, REQUIRED)


def test_names_that_are_no_features_are_missing():
    assert Inputs(("no such",)).missing(shown_in(row()), 1.0) == "no such"
    assert Inputs(()).missing(shown_in(row(liquidity_score=math.nan)), 1.0) == "liquidity_score"


class Same(SmartMoneyFollowerStrategy):
    """The built-in strategy by another name: it is asked even where there is nothing to say."""


def test_a_strategy_that_is_not_asked_keeps_the_record_that_it_would_have_kept():
    short, long = (StrategyDesk(kind({}), DeskParameters()) for kind in (SmartMoneyFollowerStrategy, Same))
    for at_s in range(1000, 1010):
        said = [desk.decide(view(CALM, at_s=float(at_s))) for desk in (short, long)]
        assert said[0] == said[1]
        assert said[0].code is RefusalCode.NO_OPPORTUNITY
    assert short.performance() == long.performance()
    assert short.feature_status() == long.feature_status()
    assert sum(short.performance()["regime_distribution"].values()) == pytest.approx(1.0)
