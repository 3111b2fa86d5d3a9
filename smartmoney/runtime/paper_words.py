"""The assumptions under which the paper venue fills orders, in words."""

from smartmoney.simulation.paper_parameters import PaperParameters


def paper_assumptions(paper: PaperParameters, latency: str, market: str) -> tuple[str, ...]:
    """Return in words how the paper venue fills orders that act after `latency`."""
    queue = {
        "careful": "cancels ahead of a resting order count only once less is shown than is ahead",
        "even": "cancels ahead of a resting order count as their share of the whole queue",
    }[paper.queue]
    rate = (
        "funding: as the venue's mark prices say, where they are among the frames: its times, its rate, its mark price (the mid where "
        f"it told none); else longs pay shorts {paper.funding_bps:f} bps of notional at 00, 08 and 16 o'clock UTC"
    )
    funding = () if market == "spot" else (rate,)
    return (
        f"orders act after {latency}; replies come at once",
        f"fees: maker {paper.maker_bps:f} bps, taker {paper.taker_bps:f} bps",
        *funding,
        f"queue: {queue}; a trade through the price fills whole",
        "impact: takers walk the depth that is shown, once; others do not react to these orders",
    )
