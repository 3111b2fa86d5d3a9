"""Workers say how far they are with what they do."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from smartmoney.runtime import stretch_shares, workers
from smartmoney.runtime.workers import LocalProcesses
from tests.waiting import PATIENCE_S


def test_shares_of_what_is_under_way_are_told_before_it_comes(monkeypatch):
    seen = [Event(), Event()]

    def evaluate(encoded, on_share):
        index = int(encoded)
        on_share(0.25 + index)
        assert seen[index].wait(PATIENCE_S)
        return encoded

    def tell(index, share):
        told.append((index, share))
        if share:
            seen[index].set()

    told, came, shares = [], [], stretch_shares.shares_of(workers._SHARES)
    monkeypatch.setattr(workers, "evaluate", evaluate)
    monkeypatch.setattr(stretch_shares, "_shared", [shares])
    with ThreadPoolExecutor(2) as pool:
        LocalProcesses(pool, shares).run([b"0", b"1"], lambda *one: came.append(one), tell)
    assert sorted(came) == [(0, b"0"), (1, b"1")]
    assert {(0, 0.25), (1, 1.25)} <= set(told)
    assert not any(shares)
