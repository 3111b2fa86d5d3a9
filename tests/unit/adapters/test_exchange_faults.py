"""Faults in simulated time: nothing changes without them, and with them the same plan and seed send the same bytes."""

import hashlib
import itertools

import pytest

from smartmoney.adapters import exchange_fault_frames, exchange_fault_requests, exchange_faults
from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.core.domain.instruments import Market
from smartmoney.settings.faults import read_fault
from smartmoney.simulation.fault_kinds import KINDS, Point
from smartmoney.simulation.faults import FaultPlan
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance import wire

S = 1_000_000_000
ORIGIN = 1_700_000_000 * S
STREAMS = ("btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker")
EVENTFUL = [
    {"kind": "gap", "probability": 0.1},
    {"kind": "duplicate", "probability": 0.1},
    {"kind": "reorder", "probability": 0.1, "by": 3},
    {"kind": "delay", "after_s": 2, "for_s": 1, "delay_s": 0.37},
    {"kind": "backlog", "after_s": 4, "for_s": 1.5, "hold_s": 0.8},
    {"kind": "garbage", "form": "binary", "size": 100, "probability": 0.05},
    {"kind": "crossed_book", "after_s": 6, "for_s": 1},
    {"kind": "price_spike", "count": 2},
    {"kind": "clock_offset", "after_s": 3, "for_s": 2},
    {"kind": "symbol_halt", "market": "spot", "after_s": 7.03, "for_s": 1.11},
]


class Recorder:
    """Be a client that writes down what it is sent."""

    def __init__(self, is_combined):
        self.is_combined = is_combined
        self.channel = ""
        self.streams = {}
        self.sent = []

    def offer(self, frame):
        self.sent.append(frame)

    def digest(self):
        return hashlib.sha256(b"\0".join(m if isinstance(m, bytes) else m.encode() for m in self.sent)).hexdigest()


def run(faults, step_ns, *, seed=1, seconds=9):
    """Run both markets in steps; return the server and a raw and a combined client of each."""
    plan = FaultPlan([read_fault(fault) for fault in faults], seed)
    plan.begin(ORIGIN)
    server = ExchangeServer(SyntheticMarket(3, symbols=("BTCUSDT",)), ORIGIN, faults=plan)
    clients = []
    for site in server.sites.values():
        for is_combined in (False, True):
            client = Recorder(is_combined)
            site._faults.opened(client)
            for stream in STREAMS:
                site.subscribe(client, stream)
            clients.append(client)
    for at in itertools.chain(range(step_ns, seconds * S, step_ns), [seconds * S]):
        server.advance(at)
    return server, clients


def test_without_faults_the_streams_writers_bytes_are_sent_and_no_frame_is_touched(monkeypatch):
    def forbidden(*_):
        raise AssertionError("a frame was touched")

    monkeypatch.setattr(exchange_fault_frames.Line, "carry", forbidden)
    server, clients = run([], S // 10, seconds=4)
    assert not any(site._faults.touches_frames for site in server.sites.values())
    bare = ExchangeServer(SyntheticMarket(3, symbols=("BTCUSDT",)), ORIGIN)
    expected = {key: ([], []) for key in bare.sites}
    desks = {which: site.desks["BTCUSDT"] for which, site in bare.sites.items()}
    writers = {which: [(stream, desk.open_stream(stream.partition("@")[2])) for stream in STREAMS] for which, desk in desks.items()}
    for at in range(S // 10, 4 * S + 1, S // 10):
        for which, desk in desks.items():
            batch = desk.take(desk.book.advance(at))
            frames = sorted(((t, stream, frame) for stream, write in writers[which] for t, frame in write(batch)), key=lambda f: f[0])
            expected[which][0].extend(frame for _, _, frame in frames)
            expected[which][1].extend(wire.envelope(stream, frame) for _, stream, frame in frames)
    sent = {which: tuple(client.sent for client in clients[2 * n : 2 * n + 2]) for n, which in enumerate(server.sites)}
    assert sent == expected
    assert all(len(client.sent) > 100 for client in clients)


def test_the_same_plan_and_seed_send_the_same_bytes_and_another_seed_others():
    first, second, other = (run(EVENTFUL, S // 10, seed=seed) for seed in (1, 1, 2))
    assert [c.digest() for c in first[1]] == [c.digest() for c in second[1]]
    assert [c.digest() for c in first[1]] != [c.digest() for c in other[1]]
    reports = first[0].faults.reports(ORIGIN)
    assert all(report.acted for report in reports), [(r.fault.kind, r.acted) for r in reports]


@pytest.mark.parametrize("faults", [*([fault] for fault in EVENTFUL if fault["kind"] != "crossed_book"), EVENTFUL[:6]])
def test_how_time_is_cut_into_steps_changes_no_fault(faults):
    # What a crossed book is crossed with is the touch at the step's end, so it is left out.
    digests = [[c.digest() for c in run(faults, step_ns)[1]] for step_ns in (S // 50, S // 10)]
    assert digests[0] == digests[1]


def test_every_kind_has_its_behaviour_at_each_of_its_points():
    acts = {
        Point.FRAME: exchange_fault_frames.FRAME_ACTS,
        Point.CONNECTION: exchange_faults.CONNECTION_ACTS,
        Point.REQUEST: exchange_fault_requests.REQUEST_ACTS,
    }
    for point, table in acts.items():
        assert set(table) == {name for name, kind in KINDS.items() if point in kind.points}


def test_a_halt_in_simulated_time_begins_and_ends_when_it_was_asked_for():
    fault = {"kind": "symbol_halt", "market": "spot", "after_s": 2, "for_s": 3}
    server, clients = run([fault], S // 3, seconds=7)
    spot = server.market.books[Market.SPOT, "BTCUSDT"]
    assert spot.now_ns == 7 * S
    times = [int(frame.split('"T":')[1].split(",")[0]) - ORIGIN // 1_000_000 for frame in clients[0].sent if '"e":"trade"' in frame]
    assert not [t for t in times if 2_000 < t < 5_000]
    assert [t for t in times if t <= 2_000]
    assert [t for t in times if t >= 5_000]


@pytest.mark.parametrize("form", ["nan", "bare_nan", "exponent", "binary", "empty"])
def test_faults_that_meet_on_one_frame_never_end_the_exchange(form):
    everything = [
        {"kind": "garbage", "form": form, "size": 50, "probability": 0.5, "instead": False},
        *({"kind": kind, "stream": "*", "count": 0} for kind in ("price_spike", "crossed_book", "empty_book")),
        {"kind": "clock_offset"},
        {"kind": "truncate", "probability": 0.3},
        {"kind": "reorder", "probability": 0.3},
    ]
    server, clients = run(everything, S // 10, seconds=3)
    assert all(report.acted for report in server.faults.reports(ORIGIN))
    assert all(len(client.sent) > 100 for client in clients)
