"""The drill's judge: what a ledger shows, and how long a position was without its stop."""

from decimal import Decimal

import pytest

from smartmoney.runtime import bench_safety
from smartmoney.runtime.drill_watch import Watch, duplicates, of_others, orphans, read_look

LOT = Decimal("0.00001")


def order(name, side="BUY", status="FILLED", kind="LIMIT", lots=1000, number=None, market="spot", reduce_only=False):
    shown = {"id": number or hash(name), "client_id": name, "side": side, "status": status, "kind": kind, "lots": lots, "market": market}
    return {**shown, "reduce_only": reduce_only}


def fill(of, side="BUY", lots=1000, fee="0", asset="USDT"):
    return {"market": "spot", "order_id": of["id"], "side": side, "lots": lots, "commission": fee, "commission_asset": asset}


def ledger(orders=(), fills=(), algos=(), positions=()):
    return {"accounts": [{"orders": list(orders), "fills": list(fills), "algos": list(algos), "positions": list(positions)}]}


def test_spot_counts_our_own_fills_less_what_the_venue_kept_and_nobody_elses():
    ours, theirs = order("sm1-1-0"), order("byhand")
    stop = order("sm1-2-0", "SELL", "NEW", "STOP_LOSS", lots=998)
    look = read_look(ledger([ours, theirs, stop], [fill(ours, fee="0.00001", asset="BTC"), fill(theirs)]), "spot", LOT, 1.0)
    assert (look.held, look.stops, look.entries) == (999, (998,), ())
    assert look.is_naked
    assert not look.is_covered


def test_what_an_owner_had_is_what_our_orders_have_not_bought():
    ours, theirs = order("sm1-1-0"), order("byhand")
    shown = ledger([ours, theirs], [fill(ours, fee="0.00001", asset="BTC"), fill(theirs)])
    shown["accounts"][0]["owner"] = 192
    shown["balances"] = {"spot:192": {"BTC": "1.01999"}}
    assert of_others(shown, LOT) == Decimal("1.01")


def test_usdm_takes_the_position_and_the_conditional_orders():
    algo = {"client_id": "sm1-2-0", "status": "NEW", "lots": 5}
    resting = order("sm1-3-0", status="NEW", market="usdm")
    target = order("sm1-2-1", status="NEW", market="usdm", reduce_only=True)
    shown = ledger([resting, target], algos=[algo], positions=[{"symbol": "BTCUSDT", "lots": 5}])
    look = read_look(shown, "usdm", Decimal("0.001"), 1.0)
    assert look.is_covered
    assert not look.is_naked
    assert look.entries == ("sm1-3-0",)


def test_nothing_held_wants_no_stop_and_dust_wants_none_either():
    assert read_look(ledger(), "spot", LOT, 1.0).is_covered
    dust = order("sm1-1-0", lots=5)
    look = read_look(ledger([dust], [fill(dust, lots=5)]), "spot", LOT, 1.0)
    assert look.is_covered
    assert not look.is_naked


async def test_the_longest_time_without_a_stop_is_kept_by_phase(monkeypatch):
    watch = Watch("", "spot", LOT)
    at = [0.0]
    monkeypatch.setattr("smartmoney.runtime.drill_watch.time.monotonic", lambda: at[0])
    bought = order("sm1-1-0")
    stop = order("sm1-2-0", "SELL", "NEW", "STOP_LOSS")
    bare, covered = ledger([bought], [fill(bought)]), ledger([bought, stop], [fill(bought)])
    for seconds, phase, shown in ((0, "running", ledger()), (1, "running", bare), (1.2, "running", bare), (1.5, "running", covered)):
        at[0], watch.phase = seconds, phase
        await watch._take(shown)
    for seconds in (10, 13, 14):
        at[0], watch.phase = seconds, "dead"
        await watch._take(bare)
    assert watch.naked_ms == {"running": pytest.approx(200.0), "dead": pytest.approx(4000.0)}
    assert watch.covers_ms == [pytest.approx(500.0)]
    assert watch.worst.startswith("dead: 1000 lots held, stops []")


def test_doubled_and_unknown_orders_are_named():
    shown = ledger([order("sm1-1-0"), order("sm1-1-0", number=2), order("sm1-2-0"), order("smg1-1"), order("byhand")])
    assert duplicates(shown, "spot") == ["sm1-1-0"]
    assert orphans(shown, "spot", ["sm1-1-0"], ["smg1-1"]) == ["sm1-2-0"]


def test_the_way_from_decision_to_wire_can_be_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_safety, "ORDERS", 5)
    monkeypatch.setattr(bench_safety, "EVENTS", 300)
    rows = {row.name: row for row in bench_safety.measure(tmp_path)}
    assert len(rows) == 6
    assert rows["decision to request on the wire, without the floor"].p50_ms < rows["decision to request on the wire"].p50_ms
    total, beyond = rows["decision to request on the wire"], rows["decision to request on the wire, beyond the commit"]
    assert total.p99_ms >= beyond.p50_ms > 0
    assert rows["intent commit"].floor_p50_ms > 0
