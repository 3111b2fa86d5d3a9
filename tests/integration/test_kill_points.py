"""`kill -9` at exact points of the order path, life after life on one account: before a request leaves the machine, when the exchange has
carried it out and the daemon has not heard, and right after it has heard. After each start the exchange's own ledger judges: no id is two
orders, no order without a durable intent, the position is one, and it has exactly one stop again within its limit.
"""

import os
import signal
import time
from urllib.parse import urlsplit

import pytest

from .rehearsals import rehearsal
from .tripwire import Tripwire

POINTS = [
    (pattern, nth, phase)
    for nth in (1, 2)
    for pattern in (
        r"^POST .*/order$",
        r"^POST .*/(orderList/oco|algoOrder)$",
        r"^DELETE ",
        r"^GET .*/(openOrders|openAlgoOrders)$",
        r"^GET .*/(myTrades|userTrades)$",
    )
    for phase in ("before", "after", "heard")
]
ROUNDS = int(os.environ.get("SMARTMONEY_KILLS", "30")) / len(POINTS)
PROTECTED_WITHIN_S = 10.0


def points():
    count = round(ROUNDS * len(POINTS))
    return [POINTS[n % len(POINTS)] for n in range(count)]


def live_until(stage, wire, point):
    """Start a daemon, let it trade, and kill it at a point."""
    with stage.daemon("--json") as daemon:
        daemon.wait_for("ready")
        pattern, nth, phase = point
        wire.arm(pattern, nth, phase, lambda: os.kill(daemon.process.pid, signal.SIGKILL))
        assert wire.sprung.wait(90), f"no {pattern} in time; it said {daemon.said()[-1500:]}"
        assert daemon.finish() == -signal.SIGKILL


@pytest.mark.campaign
@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.timeout(3600)
def test_killed_at_every_point_of_the_order_path_nothing_is_doubled_lost_or_left_naked(tmp_path, market):
    with rehearsal(tmp_path, market) as stage:
        where = urlsplit(stage.here["rest"])
        with Tripwire(where.hostname, where.port) as wire:
            rest = f"http://127.0.0.1:{wire.port}"
            for number, point in enumerate(points()):
                stage.configure(strategy="churn_for_tests:Churn", every=0.5, rest=rest)
                live_until(stage, wire, point)
                wrong = stage.problems(with_protection=False)
                assert wrong == [], (number, point, wrong)
                # The next life only recovers: it is halted, so that nothing but protection may be sent.
                (stage.state / "HALT").touch()
                with stage.daemon("--json") as daemon:
                    daemon.wait_for("ready")
                    ready = time.monotonic()
                    wrong = stage.settles(PROTECTED_WITHIN_S)
                    assert wrong == [], (number, point, wrong, daemon.said()[-3000:])
                    took_s = time.monotonic() - ready
                    assert stage.open_entries(stage.ledger()) == [], (number, point)
                    assert stage.status()["position"] == pytest.approx(float(stage.held(stage.ledger())), abs=1e-12)
                    stage.resume()
                    assert daemon.stop(signal.SIGTERM) == 0
                print(f"kill {number + 1}: {point} protected {took_s:.1f} s after READY")
