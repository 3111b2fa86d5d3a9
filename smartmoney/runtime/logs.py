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


def configure(level: str, *, to_screen: bool, as_text: bool = False) -> None:
    """Send log lines to standard error, as JSON or `as_text`, or (with `to_screen`) only to `recent`."""
    is_text = to_screen or as_text
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_text else "iso", utc=not is_text),
        structlog.processors.format_exc_info,
    ]
    if is_text:
        processors.append(_keep)
    else:
        processors += [_keep_copy, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=structlog.ReturnLoggerFactory() if to_screen else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries speak through the standard library; only what matters of it is shown.
    handler: logging.Handler = logging.NullHandler() if to_screen else logging.StreamHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


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
