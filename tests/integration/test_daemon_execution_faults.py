"""What an exchange does wrong to orders, done to a whole daemon that trades all the time, one fault after the other; its ledger judges.

After each: no client id is two orders, none is without a durable intent, the position is what was bought and sold, exactly one stop stands
for it, and, unless the fault is one that must halt, the daemon goes on trading. `docs/fault-checklist.md` says which row of the table each is.
"""

import json
import os
import resource
import signal
from contextlib import contextmanager, suppress

import msgspec
import pytest

from smartmoney.adapters.control import ControlError, ControlRequest, DaemonNotRunning, request
from tests.waiting import wait_while

from .rehearsals import rehearsal
from .test_rehearsal import by_hand

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]

ORDERS = "POST order|POST algoOrder|POST orderList/*"
STOPS = "POST algoOrder|POST orderList/*"
SETTLES_WITHIN_S = 30.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Be some faults at once. `halts`: words of the reason with which the daemon must halt; None when it must go on."""

    name: str
    faults: tuple[dict[str, object], ...]
    market: str = ""
    halts: str | None = None
    strikes: int = 1
    """They stand until the last of them has acted so often."""


def one(kind, **keys):
    return {"kind": kind, **keys}


CASES = (
    Case(name="14-answer-cut", faults=(one("lost_answer", call=ORDERS, accepted=True, count=2),)),
    Case(name="14-answer-hangs", faults=(one("lost_answer", call=ORDERS, accepted=True, how="hang", count=1),)),
    Case(name="14-answer-slow", faults=(one("slow_answer", call=ORDERS, delay_s=1.5, count=2),)),
    Case(name="15-never-came", faults=(one("lost_answer", call=ORDERS, accepted=False, count=3),)),
    Case(name="15-stop-never-came", faults=(one("lost_answer", call=STOPS, accepted=False, count=1),)),
    Case(name="16-1006", faults=(one("server_error", call=ORDERS, accepted=True, status=503, code=-1006, count=2),)),
    Case(name="16-1007", faults=(one("server_error", call=ORDERS, accepted=True, status=503, code=-1007, count=2),)),
    Case(name="16-proxy", faults=(one("server_error", call=ORDERS, accepted=True, status=502, code=0, count=2),)),
    Case(name="16-not-done", faults=(one("server_error", call=ORDERS, accepted=False, status=503, code=-1007, count=2),)),
    Case(
        name="17-appears-later",
        faults=(one("lost_answer", call=ORDERS, accepted=True, count=1), one("not_found", call="GET order|GET algoOrder")),
    ),
    Case(name="18-429", faults=(one("rate_limit", call=ORDERS, retry_after_s=2, count=1),)),
    Case(name="19-lost-fill", faults=(one("lost_fill", count=3),)),
    Case(name="20-doubled-fill", faults=(one("duplicate_fill", times=3, count=3),)),
    Case(name="21-fill-before-ack", faults=(one("fill_before_ack", count=3),)),
    Case(name="21-late-fill", faults=(one("late_fill", delay_s=2, count=2),)),
    Case(name="23-cancel-unanswered", faults=(one("lost_answer", call="DELETE *", accepted=True, count=2),)),
    Case(name="23-cancel-not-found", faults=(one("not_found", call="DELETE order|DELETE algoOrder", count=2),)),
    Case(name="25-stop-refused", faults=(one("reject_stop", count=1),)),
    Case(name="26-stop-vanished-untold", faults=(one("vanished_stop", told=False),)),
    Case(name="26-stop-vanished-told", faults=(one("vanished_stop", told=True),)),
    Case(name="30-liquidated", market="usdm", faults=(one("liquidation"),), halts="autoclose"),
    Case(name="31-maintenance", faults=(one("maintenance"),), strikes=8),
    Case(name="32-key-revoked", faults=(one("key_revoked"),), halts="does not take the key"),
    Case(name="33-timestamp-refused", faults=(one("clock_skew", call=ORDERS, count=1),)),
    Case(name="stream-cut", faults=(one("disconnect", life_s=1, count=3),)),
    Case(name="stream-silent", faults=(one("private_silence"),), strikes=8),
)
MARKETS = ("spot", "usdm")


class House:
    """Keep a daemon alive on a stage: whoever comes finds one that trades."""

    def __init__(self, stage):
        self.stage = stage
        self.daemon = None

    def ask(self, command, reason="test"):
        return request(self.stage.layout.control_socket, ControlRequest(command=command, reason=reason), 60.0)

    def status(self):
        return self.ask("status")

    def trading(self):
        """Have a daemon that is ready, not halted, and orders."""
        self.lives()
        if self.status()["halted"]:
            self.until(self._is_resumed, "it could not be resumed")
        self.goes_on()

    def lives(self):
        """Have a daemon that is ready: one that ends is waited for and started again, as a service manager does."""
        if self.daemon is not None:
            with suppress(DaemonNotRunning):
                self.status()
                return
            self.daemon.finish()
        self.daemon = self.stage.daemon("--json")
        self.daemon.wait_for("ready")

    def _is_resumed(self):
        try:
            self.ask("resume", "the next fault")
        except ControlError as refused:
            return "not halted" in str(refused)
        return True

    def goes_on(self):
        orders = len(self.stage.ours(self.stage.ledger()))
        self.until(lambda: len(self.stage.ours(self.stage.ledger())) > orders, "it does not trade")

    def entries(self):
        """Return how many orders that raise risk the exchange took."""
        is_spot = self.stage.market == "spot"
        return sum(not each["reduce_only"] and (each["side"] == "BUY" or not is_spot) for each in self.stage.ledger()["orders"])

    def until(self, condition, what):
        self.daemon.until(condition, f"not: {what}", every_s=0.05)

    def holds(self, condition, what, for_s):
        """Look all the time that something stays so."""
        wait_while(condition, f"not: {what}", for_s=for_s, seen=lambda: self.daemon.said()[-3000:])

    def is_halted(self):
        return self.status()["halted"]

    def agrees(self):
        """Everything holds at one moment, within the limit; the daemon holds what the ledger says."""
        assert self.stage.settles(SETTLES_WITHIN_S) == [], self.daemon.said()[-3000:]

        def same():
            before, shown, after = self.stage.ledger(), self.status(), self.stage.ledger()
            held = float(self.stage.held(before))
            return self.stage.held(after) != self.stage.held(before) or shown["position"] == pytest.approx(held, abs=1e-12)

        self.until(same, "its position is not the exchange's")

    @contextmanager
    def faults(self, faults):
        names = [self.stage.fault(**fault) for fault in faults]
        try:
            yield lambda strikes=1: all(self.stage.acted(name) > 0 for name in names) and self.stage.acted(names[-1]) >= strikes
        finally:
            for name in names:
                self.stage.clear(name)

    def close(self):
        if self.daemon is not None:
            self.daemon.__exit__()


@pytest.fixture(scope="module", params=MARKETS)
def house(request, tmp_path_factory):
    with rehearsal(tmp_path_factory.mktemp(request.param), request.param) as stage:
        stage.configure(strategy="churn_for_tests:Churn", every=0.5)
        found = House(stage)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_trading_daemon_meets_a_fault_and_the_ledger_agrees(house, case):
    if case.market not in {"", house.stage.market}:
        pytest.skip("there is no such thing on spot")
    house.trading()
    with house.faults(case.faults) as have_acted:
        house.until(lambda: have_acted(case.strikes), f"{case.name} did not strike")
        if case.halts is not None:
            house.until(house.is_halted, "it did not halt")
    house.agrees()
    if case.halts is None:
        assert not house.is_halted(), house.status()["halt_reason"]
        house.goes_on()
    else:
        assert case.halts in house.status()["halt_reason"]
        assert house.stage.open_entries(house.stage.ledger()) == []


def test_24_28_a_human_who_trades_the_account_halts_it(house):
    house.trading()
    quantity = "0.001" if house.stage.market == "spot" else "0.005"
    by_hand(house.stage, quantity)
    house.until(house.is_halted, "nobody noticed")
    assert house.stage.open_entries(house.stage.ledger()) == []
    if house.stage.market == "usdm":
        house.agrees()
    else:
        # On spot what somebody else bought stays his, and is a difference until it is gone.
        by_hand(house.stage, quantity, side="SELL")


def test_25_a_stop_that_is_refused_for_good_closes_the_position_and_halts(house):
    house.trading()
    with house.faults([one("reject_stop")]) as have_acted:
        house.until(have_acted, "no stop was refused")
        house.until(house.is_halted, "it did not halt")
        house.until(lambda: house.stage.problems() == [], "the position stays naked")
    house.agrees()


def test_34_a_dead_mans_timer_that_takes_the_stop_along_is_made_good(house):
    if house.stage.market != "usdm":
        pytest.skip("spot has no such timer")
    house.trading()
    house.until(lambda: house.stage.stops(house.stage.ledger()), "no stop stands")
    ask_signed(house.stage, "POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=100)
    house.agrees()
    assert not house.is_halted()


def test_45_a_daemon_that_was_paused_reads_the_account_before_it_goes_on(house):
    house.trading()
    os.kill(house.daemon.process.pid, signal.SIGSTOP)
    try:
        before = len(house.stage.ours(house.stage.ledger()))
        # Longer than a loop may be silent.
        house.holds(lambda: len(house.stage.ours(house.stage.ledger())) <= before + 2, "more than what was on its way came", 12.0)
    finally:
        os.kill(house.daemon.process.pid, signal.SIGCONT)
    # A pause so long is a stuck loop to the supervisor: the process ends, and its next life reads the account first.
    house.daemon.finish()
    house.lives()
    house.agrees()


def test_50_sigterm_in_the_middle_of_an_order_ends_in_order_and_the_next_life_agrees(house):
    house.trading()
    with house.faults([one("slow_answer", call=ORDERS, delay_s=1.0, count=1)]) as have_acted:
        house.until(have_acted, "no order is under way")
        assert house.daemon.stop(signal.SIGTERM) == 0
    summary = json.loads(house.daemon.printed())
    assert summary["orders"] > 0
    house.trading()
    house.agrees()


def test_29_without_money_nothing_is_asked_for_again_and_again(house):
    house.trading()
    rejected = house.daemon.said().count("entry reject")
    code = -2010 if house.stage.market == "spot" else -2019
    for skip in (0, 1, 2, 1, 3, 1):
        # It may strike an exit, which is asked for again: then one further on.
        refused = house.daemon.said().count("order refused")
        with house.faults([one("reject", code=code, call="POST order", skip=skip, count=1)]) as have_acted:
            house.until(have_acted, "no order was refused")
            house.until(lambda known=refused: house.daemon.said().count("order refused") > known, "no refusal was said")
        if house.daemon.said().count("entry reject") > rejected:
            break
    else:
        pytest.fail("no entry was refused")
    # The venue would take it: an entry that was asked for again would be in the ledger.
    entered = house.entries()
    house.holds(lambda: house.entries() == entered, "it asked again", 6.0)
    house.agrees()
    assert not house.is_halted()


def test_12_filters_that_change_are_refusals_and_no_naked_position(house):
    house.trading()
    with house.faults([one("filter_change", call=ORDERS, tick_times=1000)]) as have_acted:
        house.until(have_acted, "no order was refused")
        house.until(lambda: house.stage.problems() == [] or house.is_halted(), "the position stays naked")
    house.agrees()


def test_48_without_file_descriptors_it_lives_and_agrees_afterwards(house):
    house.trading()
    pid = house.daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
    try:
        house.holds(lambda: house.daemon.process.poll() is None, "it ended", 6.0)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    house.agrees()


def ask_signed(stage, method, call, **params):
    """Ask the exchange as the owner of the account."""
    import hashlib
    import hmac
    import urllib.request
    from urllib.parse import urlencode

    from .rehearsals import KEY, SECRET

    root = "/api/v3/" if stage.market == "spot" else "/fapi/v1/"
    with urllib.request.urlopen(stage.here["rest"] + root + "time") as answer:
        at = json.load(answer)["serverTime"]
    text = urlencode({**params, "timestamp": at})
    signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    url = f"{stage.here['rest']}{root}{call}?{text}&signature={signature}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers={"X-MBX-APIKEY": KEY})) as answer:
        return json.load(answer)
