"""The process that sends alerts, so that an address that hangs, leaks or crashes does so away from the daemon.

Standard input: first `{"references": [...], "timeout_s": 10}`, then one alert a line: `{"title", "body", "severity"}`.
Standard output: first `{"channels": n}` or `{"problem": "..."}`, then for each alert `{"sent": [true, false, ...]}`, one per address.

Invariants: an address leaves this process only toward its own service: not in an answer, not on standard error, not in an argument; an
address that is still busy with an earlier alert after its time counts as failed and delays no other.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from smartmoney.adapters.alert_secrets import AlertSecretRefused, read_addresses

Send = Callable[[str, str, str], bool]
"""Send a title, a body and a kind; tell whether the service took it."""

_KIND = {"critical": "failure", "warning": "warning", "info": "info"}


class Channel:
    """Send to one address, in a thread, one alert at a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._thread: threading.Thread | None = None
        self.outcome = False

    def begin(self, title: str, body: str, kind: str) -> None:
        """Start sending, unless the last alert is still on its way: then this one fails."""
        self.outcome = False
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, args=(title, body, kind), daemon=True)
            self._thread.start()

    def end(self, patience_s: float) -> bool:
        """Wait for the outcome, no longer than given; tell whether it was taken."""
        assert self._thread is not None
        self._thread.join(max(0.0, patience_s))
        return self.outcome and not self._thread.is_alive()

    def _work(self, title: str, body: str, kind: str) -> None:
        self.outcome = self._send(title, body, kind)


def open_channels(references: list[str], environ: Mapping[str, str]) -> list[Channel]:
    """Return a channel per address.

    Raises:
        AlertSecretRefused: a reference gives no addresses, or one of them is none that apprise knows.
    """
    import apprise

    channels = []
    for reference in references:
        for number, address in enumerate(read_addresses(reference, environ), start=1):
            target = apprise.Apprise(asset=apprise.AppriseAsset(app_id="smartmoney", app_desc="smartmoney", async_mode=False))
            if not target.add(address):
                raise AlertSecretRefused(reference, f"address {number} is none that apprise knows", "see apprise's list of services")
            channels.append(Channel(_sender(target)))
    return channels


def _sender(target: object) -> Send:
    import apprise

    assert isinstance(target, apprise.Apprise)

    def send(title: str, body: str, kind: str) -> bool:
        return bool(target.notify(body=body, title=title, notify_type=apprise.NotifyType(kind)))

    return send


def send_all(channels: list[Channel], alert: Mapping[str, str], timeout_s: float) -> list[bool]:
    """Send an alert to every address at the same time; return who took it within the time."""
    for channel in channels:
        channel.begin(alert["title"], alert["body"], _KIND.get(alert["severity"], "info"))
    deadline = time.monotonic() + timeout_s
    return [channel.end(deadline - time.monotonic()) for channel in channels]


def main() -> None:
    """Serve standard input until it ends."""
    # Libraries like to log what they could not reach, address included.
    logging.disable(logging.CRITICAL)
    first = json.loads(sys.stdin.readline() or "{}")
    try:
        channels = open_channels(first.get("references", []), os.environ)
    except AlertSecretRefused as error:
        _say({"problem": str(error)})
        raise SystemExit(error.exit_code) from None
    _say({"channels": len(channels)})
    for line in sys.stdin:
        _say({"sent": send_all(channels, json.loads(line), float(first.get("timeout_s", 10.0)))})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
