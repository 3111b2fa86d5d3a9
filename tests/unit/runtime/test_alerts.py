"""Alerts: what is told, how often, and that a service that is dead or hangs costs nothing but the alert. The receivers are real."""

import asyncio
import http.server
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.alert_channel import AlertChannel, AlertsUnusable
from smartmoney.adapters.alert_secrets import AlertSecretRefused, read_addresses
from smartmoney.runtime.alert_queue import ALWAYS, Alert, AlertQueue, AlertTerms
from smartmoney.runtime.alerts import AlertDesk
from smartmoney.settings.alerts import ALERT_KINDS
from tests.waiting import dead_port, until


class Receiver:
    """A web hook on loopback that keeps what it gets, or takes it and never answers."""

    def __init__(self, *, hangs=False):
        self.got = []
        self.arrived = threading.Event()
        self.release = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.arrived.set()
                if hangs:
                    receiver.release.wait(600)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self):
        return f"json://127.0.0.1:{self.server.server_port}/secretword"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def dead_address():
    with dead_port() as port:
        yield f"json://127.0.0.1:{port}/secretword"


def private(path, *addresses):
    path.write_text("# whom to tell\n" + "\n".join(addresses) + "\n")
    path.chmod(0o600)
    return str(path)


def alert(kind="notice", subject="s", text="t", severity="info"):
    return Alert(kind=kind, severity=severity, subject=subject, text=text)


def test_a_subject_is_told_once_in_its_interval_and_then_with_a_count():
    queue = AlertQueue(ALERT_KINDS, 60.0, 10)
    assert queue.offer(alert(text="first"), 0.0)
    assert queue.take(0.0).text == "first"
    assert not queue.offer(alert(text="first"), 1.0), "the same again"
    assert queue.offer(alert(text="second"), 2.0)
    assert queue.offer(alert(text="third"), 3.0)
    assert queue.take(59.0) is None
    assert queue.next_due_s() == 60.0
    told = queue.take(60.0)
    assert (told.text, told.more) == ("third", 1)
    assert queue.repeated == 1


def test_halts_are_always_told_and_before_anything_else():
    queue = AlertQueue(ALERT_KINDS, 3600.0, 10)
    queue.offer(alert(), 0.0)
    for number in range(2):
        queue.offer(alert("halt", "HALTED", "same", "critical"), 0.0)
        assert queue.take(0.0).kind == "halt", number
    assert queue.take(0.0).kind == "notice"


def test_a_full_queue_drops_the_oldest_and_counts_it():
    queue = AlertQueue(ALERT_KINDS, 0.0, 2)
    for name in "abc":
        queue.offer(alert(subject=name), 0.0)
    assert [queue.take(0.0).subject for _ in range(2)] == ["b", "c"]
    assert queue.dropped == 1


def test_kinds_that_are_not_wanted_are_not_told():
    queue = AlertQueue({"halt"}, 0.0, 2)
    assert not queue.offer(alert("fill"), 0.0)
    assert queue.offer(alert("halt"), 0.0)


@given(st.lists(st.tuples(st.sampled_from(ALERT_KINDS), st.sampled_from("ab"), st.sampled_from("xyz"), st.floats(0, 30)), max_size=80))
def test_the_queue_is_bounded_paced_and_loses_nothing_silently(offers):
    queue = AlertQueue(ALERT_KINDS, 10.0, 5)
    now, told, taken, stands_for = 0.0, {}, 0, 0
    for kind, subject, text, gap in offers:
        now += gap
        queue.offer(alert(kind, subject, text), now)
        assert len(queue) <= 5
        if gap > 15 and (out := queue.take(now)) is not None:
            taken, stands_for = taken + 1, stands_for + out.more
            key = (out.kind, out.subject)
            assert out.kind in ALWAYS or now - told.get(key, -10.0) >= 10.0
            told[key] = now
    waiting = 0
    while (out := queue.take(now + 1e9)) is not None:
        waiting, stands_for = waiting + 1, stands_for + out.more
        now += 1e9
    assert taken + waiting + stands_for + queue.repeated >= len(offers) - queue.dropped * len(offers)
    if queue.dropped == 0:
        assert taken + waiting + stands_for + queue.repeated == len(offers)


def test_addresses_come_from_private_files_and_credentials_only(tmp_path):
    path = tmp_path / "urls"
    assert read_addresses(private(path, "json://a", "", "json://b"), {}) == ["json://a", "json://b"]
    path.chmod(0o640)
    with pytest.raises(AlertSecretRefused, match="chmod 600"):
        read_addresses(str(path), {})
    assert read_addresses("urls", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ["json://a", "json://b"]
    for wrong in ("missing", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(AlertSecretRefused):
            read_addresses(wrong, {})


async def test_a_credential_that_only_the_service_sees_is_told_with_the_field_and_how_to_try_it(monkeypatch, tmp_path):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for inside, remedy in ((False, "-p LoadCredential=alerts:/etc/credstore/smartmoney.alerts COMMAND"), (True, "have the unit load it")):
        if inside:
            monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        channel = AlertChannel(("alerts",), 5.0)
        with pytest.raises(AlertsUnusable, match=r"^alerts\.urls: alerts: no credential of this process") as refused:
            await channel.open()
        assert remedy in str(refused.value)
        assert ("systemd-run" in str(refused.value)) != inside


async def test_an_alert_arrives_and_a_dead_and_a_hanging_address_hold_nothing_up(tmp_path, dead_address):
    with Receiver() as good, Receiver(hangs=True) as slow:
        reference = private(tmp_path / "urls", slow.address, dead_address, good.address)
        channel = AlertChannel([reference], 4.0)
        try:
            assert await channel.send("title", "body", "critical") == [False, False, True]
            assert await channel.send("again", "body", "info") == [False, False, True], "busy with the first one, and still no obstacle"
        finally:
            await channel.close()
        assert [(one["title"], one["message"], one["type"]) for one in good.got] == [
            ("title", "body", "failure"),
            ("again", "body", "info"),
        ]


async def test_what_is_wrong_with_addresses_is_said_without_them(tmp_path):
    channel = AlertChannel([private(tmp_path / "urls", "nosuchservice://secretword")], 1.0)
    with pytest.raises(AlertsUnusable) as caught:
        await channel.send("t", "b", "info")
    assert "address 1" in str(caught.value)
    assert "secretword" not in str(caught.value)


async def test_a_child_that_never_answers_is_killed():
    channel = AlertChannel(["x"], 0.5, ("/bin/sh", "-c", "echo '{\"channels\": 1}'; exec sleep 60"))
    with pytest.raises(AlertsUnusable, match="did not answer"):
        await channel.send("t", "b", "info")


async def test_the_desk_sends_in_the_background_and_ends_with_its_last_words(tmp_path):
    with Receiver() as good:
        desk = AlertDesk(AlertTerms(events=ALERT_KINDS, urls=(private(tmp_path / "urls", good.address),)), "smartmoney paper sim")
        task = asyncio.create_task(desk.run(lambda: None))
        desk.tell([alert("halt", "HALTED", "drawdown: too much", "critical"), alert("fill", "fill BTC/USDT", "buy")])
        await until(lambda: desk.sent == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await desk.last_words(alert("stop", "stopped", "in order"))
        assert [one["title"] for one in good.got] == [f"smartmoney paper sim: {word}" for word in ("HALTED", "fill BTC/USDT", "stopped")]
        assert desk.counts["failed"] == 0


async def test_a_dead_service_never_makes_the_teller_wait(tmp_path, monkeypatch, capsys, dead_address):
    monkeypatch.setattr("smartmoney.runtime.alerts._RETRY_S", 0.01)
    desk = AlertDesk(AlertTerms(events=ALERT_KINDS, urls=(private(tmp_path / "urls", dead_address),), queue_max=10), "smartmoney")
    task = asyncio.create_task(desk.run(lambda: None))
    for number in range(1000):
        desk.tell([alert("fill", f"fill {number}")])
    assert desk.counts["waiting"] == 10
    assert desk.counts["dropped"] == 990
    await until(lambda: desk.failed >= 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await desk.last_words(alert("stop"))
    said = "".join(capsys.readouterr())
    assert "alerts do not get out" in said
    assert "secretword" not in said


async def test_without_addresses_nothing_is_queued():
    desk = AlertDesk(AlertTerms(events=ALERT_KINDS), "smartmoney")
    desk.tell([alert("halt")])
    assert desk.counts["waiting"] == 0
    await desk.last_words(alert("stop"))
