"""Calibration and the normal quantile, compiled. Written so that what is not a number stays one."""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import entry, inner

KINDS = ("identity", "platt", "beta", "isotonic")
_P_MIN = 1e-9
"""Probabilities are kept this far from 0 and 1 before a logarithm."""

# Wichura (1988), "Algorithm AS 241: The Percentage Points of the Normal Distribution", PPND16: relative error about 1e-16.
_A = np.array(
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ]
)
_B = np.array(
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ]
)
_C = np.array(
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ]
)
_D = np.array(
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ]
)
_E = np.array(
    [
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ]
)
_F = np.array(
    [
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ]
)


@inner
def _ratio(above: Any, below: Any, r: float) -> Any:
    top, bottom = above[7], below[7]
    for k in range(6, -1, -1):
        top = top * r + above[k]
        bottom = bottom * r + below[k]
    return top / bottom


@entry
def normal_quantile(p: float) -> Any:
    """Return z with a standard normal's share p below it; 0 < p < 1, else not a number."""
    if not 0.0 < p < 1.0:
        return math.nan
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(_A, _B, 0.180625 - q * q)
    r = math.sqrt(-math.log(min(p, 1.0 - p)))
    z = _ratio(_C, _D, r - 1.6) if r <= 5.0 else _ratio(_E, _F, r - 5.0)
    return z if q > 0.0 else -z


@inner
def sigmoid(margin: float) -> Any:
    """Return 1 / (1 + e^-margin), without overflow."""
    if margin >= 0.0:
        return 1.0 / (1.0 + math.exp(-margin))
    grown = math.exp(margin)
    return grown / (1.0 + grown)


@entry
def calibrate(p: float, kind: int, parameters: Any, knots: int, x: Any, y: Any) -> Any:
    """Return a calibrated probability.

    Args:
        p: the raw one.
        kind: place in KINDS.
        parameters: float64[3], of platt and beta.
        knots: how many knots isotonic calibration has.
        x: their raw probabilities, rising.
        y: their calibrated ones.
    """
    if kind == 0 or p != p:  # noqa: PLR0124
        return p
    if kind == 3:
        return _between(p, knots, x, y)
    held = min(max(p, _P_MIN), 1.0 - _P_MIN)
    up, down = math.log(held), math.log(1.0 - held)
    if kind == 1:
        return sigmoid(parameters[0] * (up - down) + parameters[1])
    return sigmoid(parameters[0] * up - parameters[1] * down + parameters[2])


@inner
def _between(p: float, knots: int, x: Any, y: Any) -> Any:
    if p <= x[0]:
        return y[0]
    if p >= x[knots - 1]:
        return y[knots - 1]
    low, high = 0, knots - 1
    while high - low > 1:
        middle = (low + high) // 2
        if x[middle] <= p:
            low = middle
        else:
            high = middle
    return y[low] + (y[high] - y[low]) * (p - x[low]) / (x[high] - x[low])
