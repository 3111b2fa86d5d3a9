"""Colours that stand beside each other are told apart by everybody, and all of them stand out from the page, in both themes."""

import itertools

import numpy as np
import pytest

from smartmoney.reports.palette import COSTS, DARK, LIGHT, REGIMES, css_variables, themed

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SEEN = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
}
TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]
)
TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]]
)


def linear(colour):
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(colour, eyes):
    return TO_OKLAB @ np.cbrt(TO_LMS @ np.clip(SEEN[eyes] @ linear(colour), 0.0, 1.0))


def contrast(one, two):
    lights = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour)) for colour in (one, two))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("group", [REGIMES, COSTS, ("blue", "red")], ids=["regimes", "costs", "gain and loss"])
def test_neighbours_are_told_apart(theme, eyes, group):
    apart = {
        pair: 100 * float(np.linalg.norm(oklab(theme[pair[0]], eyes) - oklab(theme[pair[1]], eyes)))
        for pair in itertools.combinations(group, 2)
    }
    assert min(apart.values()) > 12.0, sorted(apart.items(), key=lambda item: item[1])[:3]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable_and_marks_are_seen(theme):
    for ground in ("surface", "panel"):
        assert contrast(theme["ink"], theme[ground]) > 10
        assert contrast(theme["faint"], theme[ground]) > 4.5
    for mark in ("blue", "red", "accumulation", "distribution", "trending", "volatile", "impact", "spread", "fee"):
        assert contrast(theme[mark], theme["surface"]) > 2.7, mark
    assert contrast(theme["on_colour"], theme["accumulation"]) > 4.5
    assert contrast("#ffffff", theme["volatile"]) > 4.5
    for filled in ("distribution", "trending", "neutral"):
        assert contrast("#10100f", theme[filled]) > 3.5


def test_a_drawing_is_turned_role_by_role():
    assert set(LIGHT) == set(DARK)
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert themed(f"stroke: {LIGHT['ink']}") == "stroke: var(--ink)"
    assert "--ink: #0b0b0b;" in css_variables(LIGHT)
