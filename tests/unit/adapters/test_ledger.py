"""An append-only list survives torn lines and counts what it holds."""

from smartmoney.adapters.ledger import append, entries


def test_entries_come_back_in_order_and_are_counted(tmp_path):
    path = tmp_path / "new" / "runs.jsonl"
    assert entries(path) == []
    assert append(path, {"a": 1}) == 1
    assert append(path, {"a": 2}) == 2
    assert entries(path) == [{"a": 1}, {"a": 2}]


def test_a_line_that_a_power_cut_tore_hides_no_other(tmp_path):
    path = tmp_path / "runs.jsonl"
    append(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b'{"a": 2, "half')
    assert append(path, {"a": 3}) == 2
    assert entries(path) == [{"a": 1}, {"a": 3}]
