"""Logging: structured lines on standard error, or kept for the terminal view to show. Secrets have no way in: settings hold none."""

import logging
import sys
from collections import deque
from collections.abc import MutableMapping
from typing import Any

import structlog

RECENT_MAX = 200

recent: deque[str] = deque(maxlen=RECENT_MAX)
"""The last lines, for the terminal view."""


def configure(level: str, *, to_screen: bool) -> None:
    """Send log lines to standard error as JSON, or (with `to_screen`) only to `recent`."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if to_screen else "iso", utc=not to_screen),
    ]
    if to_screen:
        processors = [*shared, structlog.processors.format_exc_info, _keep]
        factory: Any = structlog.PrintLoggerFactory(_Nowhere())
    else:
        processors = [*shared, structlog.processors.dict_tracebacks, _keep_copy, structlog.processors.JSONRenderer(default=str)]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    # Libraries speak through the standard library; only what matters of it is shown.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr if not to_screen else None, handlers=[logging.NullHandler()] if to_screen else None, force=True)


class _Nowhere:
    def write(self, text: str) -> None:
        """Swallow a line."""

    def flush(self) -> None:
        """Do nothing."""


def _line(event: MutableMapping[str, Any]) -> str:
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in {"event", "level", "timestamp", "exception"})
    return f"{event.get('timestamp', '')} {event.get('level', '')[:4]:4} {event.get('event', '')} {rest}".rstrip()


def _keep(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    line = _line(event)
    recent.append(line)
    return line


def _keep_copy(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    recent.append(_line(event))
    return event
