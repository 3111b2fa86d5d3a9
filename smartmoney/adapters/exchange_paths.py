"""Read the paths that clients use for a Binance-like server, however they compose them.

Clients disagree whether a base URL already holds `/api/v3`, `/ws` or `/stream`, and some double it; ccxt opens `<base>/<n>`. What counts
is the last marker of a path and what follows it. Pure.
"""

import msgspec

_VERSIONS = frozenset({"v1", "v2", "v3"})
_FAMILIES = frozenset({"api", "fapi", "dapi", "eapi", "sapi", "papi"})
_CHANNELS = frozenset({"public", "market", "private"})
_API_MARKERS = frozenset({"ws-api", "ws-fapi"})


class RestPath(msgspec.Struct, frozen=True):
    """Name a REST call: its family (api, fapi, dapi …, empty if the path has none), version (v3) and what follows it."""

    family: str
    call: str
    version: str = ""


class StreamPath(msgspec.Struct, frozen=True):
    """Name a websocket endpoint: request/response API or streams, wrapped or raw, routed or not."""

    is_api: bool
    is_combined: bool
    channel: str
    streams: tuple[str, ...]


def rest_path(path: str) -> RestPath:
    """Return what a REST path asks for."""
    parts = [part for part in path.split("/") if part]
    family = next((part for part in reversed(parts) if part in _FAMILIES), "")
    start = max((i + 1 for i, part in enumerate(parts) if part in _VERSIONS or part in _FAMILIES), default=0)
    version = next((part for part in reversed(parts) if part in _VERSIONS), "")
    return RestPath(family, "/".join(parts[start:]), version)


def stream_path(path: str, streams: str = "") -> StreamPath:
    """Return what a websocket path (and its `streams` query) asks for."""
    parts = [part for part in path.split("/") if part]
    marker = next((part for part in reversed(parts) if part in {"ws", "stream"}), "stream" if streams else "ws")
    names = [part for part in [*parts, *streams.split("/")] if "@" in part or part.startswith("!")]
    return StreamPath(
        is_api=any(part in _API_MARKERS for part in parts),
        is_combined=marker == "stream",
        channel=next((part for part in reversed(parts) if part in _CHANNELS), ""),
        streams=tuple(dict.fromkeys(names)),
    )


def channel_of(stream: str) -> str:
    """Return the USD-M route on which a stream flows."""
    kind = stream.partition("@")[2]
    return "public" if kind.startswith(("depth", "rpiDepth", "bookTicker", "trade")) else "market"
