"""The log of trials is only added to, counts an evaluation once, and is one process's at a time."""

import apsw
import msgspec
import numpy as np
import pytest

from smartmoney.adapters.trial_log import LoggedTrial, Outcome, TrialLog, TrialLogRefused


def trial(evaluation="e1", past="p", **changes):
    given = LoggedTrial(
        past=past,
        evaluation=evaluation,
        wall_ns=5,
        study="s",
        build="b",
        period_s=10.0,
        parameters='{"a":1}',
        outcome=Outcome(net=0.01, max_drawdown=0.002, orders=3, fills=2, halted=False, digest="d", assumptions=("x",)),
        returns=np.array([0.1, -0.25, 1e-17]),
        fills=np.array([1, 0, 1]),
    )
    return msgspec.structs.replace(given, **changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "trials.db"


def test_what_was_added_is_found_bit_for_bit_after_the_log_was_closed(path):
    with TrialLog.open(path) as log:
        assert log.add(trial())
        assert not log.add(trial(study="another", wall_ns=9))
        assert log.add(trial(past="q"))
    with TrialLog.open(path) as log:
        found = log.find("p", "e1")
        assert found.returns.tobytes() == trial().returns.tobytes()
        assert list(found.fills) == [1, 0, 1]
        assert (found.outcome, found.study) == (trial().outcome, "s")
        assert log.find("p", "e2") is None
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_all_studies_of_a_past_count_in_an_order_that_time_does_not_change(path):
    with TrialLog.open(path) as log:
        for name in ("e3", "e1", "e2"):
            log.add(trial(name, study=f"study of {name}"))
        log.add(trial("e4", past="other"))
        assert [one.evaluation for one in log.of_past("p")] == ["e1", "e2", "e3"]


@pytest.mark.parametrize("statement", ["DELETE FROM trials", "UPDATE trials SET study = 'x'"])
def test_nothing_can_be_taken_away_or_changed(path, statement):
    with TrialLog.open(path) as log:
        log.add(trial())
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError, match="only added"):
        connection.execute(statement)
    connection.close()


def test_one_process_has_it_at_a_time(path):
    with TrialLog.open(path), pytest.raises(TrialLogRefused, match="in use by another search"):
        TrialLog.open(path)
    TrialLog.open(path).close()


def test_other_files_are_refused_and_left_alone(path):
    path.parent.mkdir()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(TrialLogRefused, match="no log of trials"):
        TrialLog.open(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(TrialLogRefused, match="cannot be used"):
        TrialLog.open(path)
    path.unlink()
    TrialLog.open(path).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(TrialLogRefused, match="newer build"):
        TrialLog.open(path)
