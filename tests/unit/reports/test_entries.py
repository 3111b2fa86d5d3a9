"""What a report concludes of entries: no advice without enough of them, and the right one with enough."""

import pytest

from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.reports.entries import advice, entry_line, entry_rows, entry_section
from smartmoney.runtime.entry_costs import EntryCost


def entries_of(costs, *, expected=3.0, style=EntryStyle.MAKER, filled=1.0, rested=None):
    return [
        EntryCost(
            signal_id=f"s{number}",
            instrument=0,
            style=style,
            lots=10,
            filled=filled,
            rested=filled if rested is None else rested,
            wait_s=2.0,
            price_bps=(cost - 2.0) / filled,
            missed_bps=0.0,
            fee_bps=2.0,
            expected_bps=expected,
        )
        for number, cost in enumerate(costs)
    ]


def test_means_are_over_entries_and_intervals_want_ten():
    (row,) = entry_rows(entries_of([2.0, 4.0, 6.0]))
    assert (row.entries, row.reckoned, row.cost_interval, row.over_interval) == (3, 3, None, None)
    assert (row.cost_bps, row.expected_bps, row.over_bps) == (pytest.approx(4.0), 3.0, pytest.approx(1.0))
    assert advice([row]) is None
    assert not row.is_off


def test_twenty_entries_that_all_cost_more_say_by_how_much_the_setting_is_wrong():
    rows = entry_rows([*entries_of([4.8, 5.2] * 10, filled=0.8), *entries_of([5.0] * 3, style=EntryStyle.TAKER)])
    assert [row.style for row in rows] == [EntryStyle.TAKER, EntryStyle.MAKER]
    said = advice(rows)
    assert said is not None
    assert "2.00 bps more" in said
    assert "2.50 higher, execution.passive_loss_bps" in said
    cheaper = advice(entry_rows(entries_of([1.0, 1.5] * 10)))
    assert cheaper is not None
    assert "1.75 lower" in cheaper


def test_what_crossed_at_the_time_out_says_nothing_of_what_waiting_loses():
    said = advice(entry_rows(entries_of([4.8, 5.2] * 10, rested=0.5)))
    assert "2.00 bps more" in said
    assert "4.00 higher, execution.passive_loss_bps" in said
    assert advice(entry_rows(entries_of([4.8, 5.2] * 10, rested=0.0))) is None


@pytest.mark.parametrize("costs", [[4.0] * 19, [2.0, 4.0] * 20])
def test_nothing_is_advised_of_too_few_or_of_what_luck_explains(costs):
    rows = entry_rows(entries_of(costs))
    assert advice(rows) is None
    assert "execution.passive_loss_bps" not in " ".join(entry_section(rows))


def test_crossing_is_never_a_reason_to_change_what_waiting_loses():
    assert advice(entry_rows(entries_of([9.0] * 30, style=EntryStyle.TAKER))) is None


def test_words_say_what_is_not_known():
    assert "No entry was sent" in " ".join(entry_section(()))
    assert "Not known" in " ".join(entry_section((), is_known=False))
    rows = entry_rows(entries_of([4.0] * 12, expected=None))
    page = " ".join(entry_section(rows))
    assert page.count("<td>–</td>") == 2
    assert "expected" not in entry_line(rows)
    assert "12 waited in the queue, 100% filled after 2.0 s: +4.00 bps" in entry_line(rows)
