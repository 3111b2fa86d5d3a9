"""Small words that reports share: spans of time, plurals, the currency of a result."""

from smartmoney.runtime.backtest import BacktestResult


def quote_of(result: BacktestResult) -> str:
    """Return the quote currency of a result."""
    return next((job.chronicle.quote for job in result.jobs if job.chronicle.quote), "quote")


def span(seconds: float) -> str:
    """Return a span of time as a person would say it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, rest = divmod(round(seconds), 3600)
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"


def chance(p: float) -> str:
    """Return a p-value as text: of some thousand random draws none can show a zero."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_is(p: float) -> str:
    """Return a p-value as it stands in a sentence."""
    return f"p {chance(p)}" if p < 0.001 else f"p = {chance(p)}"


def plural(word: str, ending: str, count: int) -> str:
    """Return a word for one, or with its ending for any other count."""
    return word if count == 1 else word + ending
