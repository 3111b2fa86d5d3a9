import math

import numpy as np
import pytest
from scipy.stats import norm

from smartmoney.core.alpha.calibration import KINDS, calibrate, normal_quantile

NONE = np.zeros(1)


def mapped(p, kind, parameters=(0.0, 0.0, 0.0), x=(0.0,), y=(0.0,)):
    return calibrate(p, KINDS.index(kind), np.array(parameters), len(x), np.array(x), np.array(y))


def test_the_normal_quantile_is_scipys():
    p = np.concatenate([np.linspace(0.001, 0.999, 999), [1e-12, 1e-300, 1 - 1e-12, 0.5]])
    found = np.array([normal_quantile(one) for one in p])
    assert np.allclose(found, norm.ppf(p), rtol=1e-12, atol=1e-14)
    assert all(math.isnan(normal_quantile(one)) for one in (0.0, 1.0, -1.0, math.nan))


def test_platt_and_beta_are_their_formulas():
    for p in (0.0, 0.2, 0.5, 0.93, 1.0):
        held = min(max(p, 1e-9), 1 - 1e-9)
        up, down = math.log(held), math.log(1 - held)
        assert mapped(p, "platt", (1.3, -0.2, 0.0)) == pytest.approx(1 / (1 + math.exp(-(1.3 * (up - down) - 0.2))))
        assert mapped(p, "beta", (0.7, 0.9, 0.1)) == pytest.approx(1 / (1 + math.exp(-(0.7 * up - 0.9 * down + 0.1))))
    assert mapped(0.37, "identity") == 0.37


def test_isotonic_is_linear_between_knots_and_flat_outside():
    x, y = (0.5, 0.6, 0.9), (0.5, 0.55, 0.8)
    p = np.linspace(0.4, 1.0, 200)
    assert np.allclose([mapped(one, "isotonic", x=x, y=y) for one in p], np.interp(p, x, y), atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_number_stays_one(kind):
    assert math.isnan(mapped(math.nan, kind, (1.0, 0.0, 0.0), (0.1, 0.9), (0.1, 0.9)))
