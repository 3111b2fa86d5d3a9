"""A real daemon whose alerts go to a web hook: what arrives, and that one which hangs holds nothing up."""

import http.server
import json
import threading

import pytest

from tests.waiting import dead_port

from .daemons import Daemon, smartmoney

pytestmark = pytest.mark.slow


class Hook:
    """A web hook on loopback; a hanging one takes what is sent and never answers."""

    def __init__(self, *, hangs=False):
        self.got, self.release, self.hangs = [], threading.Event(), hangs
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if hangs:
                    hook.release.wait(600)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def configured(self, folder, port=None):
        addresses = folder / "addresses"
        addresses.write_text(f"json://127.0.0.1:{port or self.server.server_port}/canary4711\n")
        addresses.chmod(0o600)
        config = folder / "paper.yaml"
        config.write_text(f"mode: paper\nsim: {{prerun_s: 0}}\nalerts: {{urls: [{addresses}], timeout_s: {2 if self.hangs else 30}}}\n")
        return ("-c", config, "--state-dir", folder / "state")


def test_start_halt_and_end_are_told_and_no_address_is_said(tmp_path):
    with Hook() as hook:
        words = hook.configured(tmp_path)
        assert smartmoney("alerts", "test", *words[:2]).returncode == 0
        with Daemon(*words, "--json") as daemon:
            daemon.wait_for("ready")
            smartmoney("halt", "--reason", "drill", *words[2:])
            daemon.wait_for("halted")
            assert daemon.stop() == 0
            assert daemon.summary()["alerts"]["failed"] == 0
        titles = [one["title"].partition(": ")[2] for one in hook.got]
        assert titles[0] == "test"
        assert {"started", "HALTED"} <= set(titles[1:-1]), "the halt may overtake the start"
        assert titles[-1] == "stopped"
        assert "canary4711" not in daemon.said() + daemon.printed()


def test_an_alert_of_another_unit_is_sent_with_the_beginning_of_a_file(tmp_path):
    told = tmp_path / "nightly-diff.txt"
    told.write_text("run x: DIFFERENT\n" + "line\n" * 2_000)
    with Hook() as hook:
        config = hook.configured(tmp_path)[:2]
        sent = smartmoney("alerts", "send", "nightly comparison differs", "look", "--text-from", told, *config)
        assert sent.returncode == 0, sent.stderr
        assert smartmoney("alerts", "send", "failed", "--text-from", tmp_path / "none.txt", *config).returncode == 0
        first, second = hook.got
    assert first["title"].endswith(": nightly comparison differs")
    assert first["message"].startswith("look\nrun x: DIFFERENT\nline")
    assert 2_900 < len(first["message"]) < 3_100
    assert "No such file" in second["message"]


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_service_that_hangs_or_is_dead_holds_nothing_up(tmp_path, is_dead):
    with Hook(hangs=True) as hook, dead_port() as nobodys:
        words = hook.configured(tmp_path, nobodys if is_dead else hook.server.server_port)
        tested = smartmoney("alerts", "test", *words[:2])
        assert tested.returncode == 1
        assert "canary4711" not in tested.stdout + tested.stderr
        with Daemon(*words, "--json") as daemon:
            daemon.shows(tmp_path / "state", lambda status: status["decisions"] > 0, "it decides")
            assert daemon.stop() == 0
            summary = daemon.summary()
        assert summary["alerts"]["sent"] == 0
        assert summary["decisions"] > 0
        assert "Traceback" not in daemon.said()
