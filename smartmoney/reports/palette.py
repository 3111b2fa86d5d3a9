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
    "accumulation": "#1c6fce",
    "distribution": "#e8722c",
    "trending": "#0f9a78",
    "volatile": "#8a3fb5",
    "neutral": "#b3b1a8",
    "unknown": "#dedcd2",
    "delay": "#e0a400",
    "spread": "#3f8fe8",
    "impact": "#a14d9b",
    "fee": "#6c6b66",
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
    "accumulation": "#4592ea",
    "distribution": "#e57b3a",
    "trending": "#1fb08c",
    "volatile": "#b07ad6",
    "neutral": "#7d7c75",
    "unknown": "#4a4a46",
    "delay": "#d79c00",
    "spread": "#5da2ef",
    "impact": "#c077ba",
    "fee": "#94938c",
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
