"""Funding in recordings that hold mark prices: real frames of Binance around a midnight, paid alike however they are read."""

import gzip
import itertools
import re
import zipfile
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from smartmoney.adapters.dataset_export import export_frames
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_reader import stored_instruments
from smartmoney.adapters.history.assembly import write_recording
from smartmoney.adapters.history.binance_frames import events_of
from smartmoney.adapters.history.binance_funding import beside_the_rest
from smartmoney.adapters.history.binance_public import read_binance_public
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.history.order import in_order
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.entries import FundingPaid
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.engine import Engine
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.chronicler import Chronicler
from smartmoney.runtime.codecs import recorded_codec
from smartmoney.runtime.funding_sources import FundingSources
from smartmoney.runtime.models import Models
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay, frame_summary
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.load import load_settings
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper_depth import FundingTerms
from smartmoney.venues.binance.codec import fold_frame, new_states
from smartmoney.venues.binance.grid_inference import infer_grid

from .test_stretches import VERY_EAGER

FILES = ("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz")
MIDNIGHT_MS = 1_680_652_800_000
HOURS_MS = 8 * 3_600_000
MARK = re.compile(rb'"markPriceUpdate","E":(\d+),"s":"BTCUSDT","p":"([\d.]+)".*"r":"(-?[\d.]+)","T":(\d+)')


class Watch(Chronicler):
    """Keep the payments, and what is held as each time goes by."""

    def __init__(self):
        super().__init__()
        self.paid = []

    def append(self, entry):
        super().append(entry)
        if isinstance(entry.payload, FundingPaid):
            self.paid.append(entry.payload)


@pytest.fixture(scope="module")
def frames(captures: Path):
    return [one for name in FILES for one in read_recording(captures / "hftbacktest" / name)]


def ran(replay, watch, blocks):
    watch.use(replay.engine)
    replay.run(blocks)
    summary = frame_summary(replay)
    for name in ("rss_mb", "frames_from"):
        summary.pop(name)
    return summary, [(one.amount, one.reference, one.ts_event_ns) for one in watch.paid], watch.fundings, watch.costs.fills


def settings_with(**changes):
    return load_settings(overrides={"market": "usdm", **VERY_EAGER, **changes})


def replay_of(grid, chosen, watch, *, each=False):
    latency = OrderLatency(median_ms=50.0, p99_ms=300.0)
    return FrameReplay(grid, chosen, latency=latency, watcher=watch, each=each, paper=paper_parameters(chosen))


def run(frames, *, each=False, ends=(), **changes):
    """Replay frames in blocks that end there; return what came of it, the payments, their sources and the fills."""
    grid, watch = infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM), Watch()
    cuts = [0, *ends, len(frames)]
    blocks = [block for begin, end in itertools.pairwise(cuts) for block in blocks_of(frames[begin:end])]
    return ran(replay_of(grid, settings_with(**changes), watch, each=each), watch, blocks)


def test_a_real_midnight_is_settled_at_the_last_rate_before_the_next_time_was_named(frames):
    states = new_states(infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM), FeatureParameters())
    for one in frames:
        if b"markPriceUpdate" in one.frame:
            fold_frame(one.frame, states, -1, one.ts_wall_ns)
    told = KernelDepth(states, 0, lambda: True).funding()
    assert told.settled == FundingTerms(MIDNIGHT_MS * 10**6, D("0.00002760"), D("28155.10000000"))
    assert told.next.at_ns == (MIDNIGHT_MS + HOURS_MS) * 10**6
    assert int(states[0]["funding_turns"]) == 2


def held_at(fills, wall_ns):
    return sum(fill.side.sign * fill.quantity for fill in fills if fill.wall_ns <= wall_ns)


def test_what_is_held_over_a_real_midnight_pays_what_binance_settled(frames):
    _, (paid,), sources, fills = run(frames, strategy_class="smartmoney.runtime.drill_strategies:Hold")
    held = held_at(fills, MIDNIGHT_MS * 10**6)
    assert held > 0
    assert paid[0] == -held * D("0.00002760") * D("28155.1")
    assert paid[1] == f"paper BTC/USDT {MIDNIGHT_MS // 1_000} as recorded"
    assert sources == FundingSources(recorded=1)


@pytest.fixture(scope="module")
def moved(frames):
    """The same frames, whose mark prices name a time just before a position is closed; that time, what is held then, what a unit pays."""
    _, _, _, fills = run(frames)
    due_ms = next(after.wall_ns for one, after in itertools.pairwise(fills) if held_at(fills, after.wall_ns - 1)) // 10**6 - 150

    def named(one):
        found = MARK.search(one.frame)
        if not found:
            return one
        # As the venue does it, the frame of the time itself names it still.
        time_ms = due_ms if int(found[1]) < due_ms + 500 else due_ms + HOURS_MS
        return msgspec.structs.replace(one, frame=one.frame.replace(b'"T":' + found[4], b'"T":%d' % time_ms))

    told = [found for one in frames if (found := MARK.search(one.frame)) and int(found[1]) < due_ms + 500][-1]
    return [named(one) for one in frames], due_ms, held_at(fills, due_ms * 10**6), D(told[3].decode()) * D(told[2].decode())


def test_what_is_held_pays_the_recorded_rate_of_the_recorded_mark_price(moved):
    changed, due_ms, held, per_unit = moved
    _, (paid,), sources, _ = run(changed)
    assert held != 0
    assert paid[0] == -held * per_unit
    assert paid[1].split()[-3:] == [str(due_ms // 1_000), "as", "recorded"]
    assert sources == FundingSources(recorded=1)


def test_the_inbox_of_a_run_replays_to_the_same_money_without_a_venue(moved):
    class Inbox(Watch):
        """Keep every entry, as a daemon's capture does."""

        def append(self, entry):
            entries.append(entry)
            super().append(entry)

    entries, chosen, inbox = [], settings_with(), Inbox()
    replay = replay_of(infer_grid(((one.frame, one.symbol) for one in moved[0]), Market.USDM), chosen, inbox, each=True)
    ran(replay, inbox, blocks_of(moved[0]))
    engine = Engine(recorded_codec(), strategy_factory(chosen.directory), Models(None).bundle)
    for entry in entries:
        engine.step(entry)
    assert engine.digest == replay.engine.digest == run(moved[0])[0]["digest"]
    assert engine.view().account.funding == moved[2] * moved[3] != 0


@pytest.mark.parametrize("ends", [(), (1, 7, 5_000, 9_321)], ids=["whole", "cut"])
def test_stretches_come_to_what_single_frames_come_to(moved, ends):
    assert run(moved[0], ends=ends) == run(moved[0], each=True)


def test_the_prepared_form_comes_to_what_the_text_comes_to(moved, tmp_path):
    lines = [b"%d %b\n" % (one.ts_wall_ns, one.frame) for one in moved[0]]
    recording = tmp_path / "moved.gz"
    recording.write_bytes(gzip.compress(b"".join(lines), 1))
    told = []
    for store in (None, PreparedRecordings(tmp_path / "kept"), PreparedRecordings(tmp_path / "kept")):
        watch = Watch()
        replay, blocks = frame_replay(
            [recording], "usdm", settings_with(), lambda grid, on=watch: replay_of(grid, settings_with(), on), store
        )
        told.append(ran(replay, watch, blocks))
    assert told[0][1]
    assert told[0] == told[1] == told[2]


def test_without_mark_prices_nothing_is_as_recorded(moved, frames):
    bare = [one for one in frames if b"markPriceUpdate" not in one.frame]
    later = (moved[1] // HOURS_MS + 1) * HOURS_MS - moved[1]
    shifted = [msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later * 10**6) for one in bare]
    _, (paid,), sources, _ = run(shifted)
    assert not paid[1].endswith("recorded")
    assert sources == FundingSources(assumed=1)


def archived(frames, folder):
    """Return the real midnight without its mark prices, beside Binance's archive of what was paid, as one recording."""
    name = "BTCUSDT-fundingRate-2023-04"
    rows = (f"{MIDNIGHT_MS - HOURS_MS},8,0.00009", f"{MIDNIGHT_MS + 4},8,0.00002760", f"{MIDNIGHT_MS + HOURS_MS},8,0.00007")
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as file:
        file.writestr(f"{name}.csv", "\n".join(("calc_time,funding_interval_hours,last_funding_rate", *rows)) + "\n")
    repairs = Repairs()
    bare = events_of((one for one in frames if b"markPriceUpdate" not in one.frame), repairs)
    events = in_order([bare, read_binance_public(folder / f"{name}.zip", repairs)], repairs)
    write_recording(beside_the_rest(events, repairs), Market.USDM, folder / "archived.gz", repairs)
    return list(read_recording(folder / "archived.gz"))


def test_archives_of_what_was_paid_are_paid_at_their_time_and_rate_on_the_mid(frames, tmp_path):
    recorded = archived(frames, tmp_path)
    holding = {"strategy_class": "smartmoney.runtime.drill_strategies:Hold"}
    told = run(recorded, **holding)
    _, (paid,), sources, fills = told
    held = held_at(fills, MIDNIGHT_MS * 10**6)
    assert held > 0
    mid = -paid[0] / held / D("0.00002760")
    assert abs(mid - D("28155.1")) < 20, "Binance's mark price of that midnight"
    assert mid * 20 == (mid * 20).to_integral_value(), "between two ticks"
    assert paid[1] == f"paper BTC/USDT {MIDNIGHT_MS // 1_000} as recorded, at the mid"
    assert sources == FundingSources(recorded=1, at_mid=1)
    assert run(recorded, each=True, **holding) == told


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "text"])
@pytest.mark.parametrize("is_archived", [True, False], ids=["archive", "mark prices"])
def test_a_dataset_pays_what_the_recordings_that_it_is_made_of_pay(frames, tmp_path, packs, is_archived):
    recorded = archived(frames, tmp_path) if is_archived else frames
    grid = infer_grid(((one.frame, one.symbol) for one in recorded), Market.USDM)
    repairs = Repairs()
    export_frames(iter(recorded), grid, tmp_path / "data", repairs)
    (stored,) = stored_instruments(tmp_path / "data")
    watch = Watch()
    settings = settings_with(strategy_class="smartmoney.runtime.drill_strategies:Hold")
    blocks = blocks_of_days(stored, repairs, packs=packs)
    _, paid, sources, fills = ran(replay_of((stored.instrument,), settings, watch), watch, blocks)
    of_recordings = run(recorded, strategy_class="smartmoney.runtime.drill_strategies:Hold")
    assert [one[:2] for one in paid] == [one[:2] for one in of_recordings[1]]
    assert len(paid) == 1
    assert sources == of_recordings[2]
    assert held_at(fills, MIDNIGHT_MS * 10**6) == held_at(of_recordings[3], MIDNIGHT_MS * 10**6) > 0
