"""Colours of the reports, in light and in dark, by role; told apart by the colour-blind too (a test measures it).

A figure is drawn once, in the light colours; in a page each becomes a CSS variable, so that the same drawing follows the reader's theme.
Invariant: no two roles share a light colour, else a drawing could not be turned.
"""

LIGHT = {
    "surface": "#fcfcfb",
    "panel": "#f3f3f0",
    "ink": "#0b0b0b",
    "faint": "#5b5a56",
    "line": "#e1e0d9",
    "blue": "#2a78d6",
    "red": "#cf4340",
    "on_colour": "#fffffe",
    "accumulation": "#0061ca",
    "distribution": "#d65a09",
    "trending": "#28a081",
    "volatile": "#6c156c",
    "neutral": "#bcbbb6",
    "unknown": "#e6e5e0",
    "delay": "#dfac38",
    "spread": "#448af1",
    "impact": "#6b137a",
    "fee": "#73726c",
}
DARK = {
    "surface": "#1a1a19",
    "panel": "#242422",
    "ink": "#f4f3ee",
    "faint": "#b3b1a8",
    "line": "#383835",
    "blue": "#4f97ea",
    "red": "#ec6a66",
    "on_colour": "#10100f",
    "accumulation": "#71a1f3",
    "distribution": "#ea844b",
    "trending": "#8fedc7",
    "volatile": "#9831d7",
    "neutral": "#6c6b64",
    "unknown": "#383733",
    "delay": "#f6b63c",
    "spread": "#5a99fb",
    "impact": "#ae4088",
    "fee": "#a2a19a",
}
REGIMES = ("accumulation", "distribution", "trending", "volatile", "neutral", "unknown")
COSTS = ("delay", "spread", "impact", "fee")


def css_variables(colours: dict[str, str]) -> str:
    """Return the colours as CSS declarations."""
    return " ".join(f"--{role}: {colour};" for role, colour in colours.items())


def themed(drawing: str) -> str:
    """Return a drawing with each light colour replaced by its variable."""
    for role, colour in LIGHT.items():
        drawing = drawing.replace(colour, f"var(--{role})")
    return drawing
