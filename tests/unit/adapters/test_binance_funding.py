"""Binance's archives of paid funding: what they stand for, what is mended and said, what is refused."""

import zipfile

import pytest

from smartmoney.adapters.history.binance_funding import beside_the_rest
from smartmoney.adapters.history.binance_public import read_binance_public
from smartmoney.adapters.history.events import FundingTold, HistoryRefused, Printed, Repairs
from smartmoney.adapters.history.order import in_order

HEADER = "calc_time,funding_interval_hours,last_funding_rate"
MS = 10**6
NEW_YEAR = 1_704_067_200_000
HOUR = 3_600_000
ROWS = (f"{NEW_YEAR},8,0.00037409", f"{NEW_YEAR + 8 * HOUR + 5},8,0.00023370", f"{NEW_YEAR + 16 * HOUR + 1},8,-0.00001000")


def archive(folder, rows, header=HEADER, name="BTCUSDT-fundingRate-2024-01"):
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.csv", "\n".join((header, *rows)) + "\n")
    return path


def read(folder, rows, **more):
    repairs = Repairs()
    return list(in_order([read_binance_public(archive(folder, rows, **more), repairs)], repairs)), repairs.counts


def told(events):
    """Return when, in hours of the year, what is told of which time."""
    return [((one.event_ns // MS - NEW_YEAR) / HOUR // 0.01 / 100, one.rate, (one.next_ns // MS - NEW_YEAR) / HOUR) for one in events]


def test_each_time_is_named_when_the_one_before_is_over_and_has_its_rate_at_itself_alone(tmp_path):
    events, repairs = read(tmp_path, ROWS)
    assert told(events) == [
        (-8.0, "0", 0),
        (0.0, "0.00037409", 0),
        (0.0, "0.00037409", 8),
        (8.0, "0.0002337", 8),
        (8.0, "0.0002337", 16),
        (16.0, "-0.00001", 16),
        (16.0, "-0.00001", 24),
    ]
    assert {(one.symbol, one.mark) for one in events} == {("BTCUSDT", "0")}
    assert repairs == {}


def test_another_interval_is_named_as_it_came(tmp_path):
    rows = (
        f"{NEW_YEAR},8,0.0001",
        f"{NEW_YEAR + 4 * HOUR},4,0.0002",
        f"{NEW_YEAR + 8 * HOUR},4,0.0003",
        f"{NEW_YEAR + 16 * HOUR},8,0.0001",
    )
    events, repairs = read(tmp_path, rows)
    assert [following for _, _, following in told(events)] == [0, 0, 4, 4, 8, 8, 16, 16, 24]
    assert repairs == {}


def test_rows_out_of_order_there_twice_and_missing_are_mended_and_said(tmp_path):
    later = f"{NEW_YEAR + 40 * HOUR + 2},8,0.0005"
    events, repairs = read(tmp_path, (ROWS[1], ROWS[0], ROWS[1], ROWS[2], later))
    assert told(events)[:7] == told(read(tmp_path, ROWS)[0])
    assert told(events)[7:] == [(40.0, "0.0005", 40), (40.0, "0.0005", 48)]
    assert repairs == {
        "payments of funding out of order, put back into their place": 1,
        "payments of funding there twice, left out": 1,
        "payments of funding that are missing between those that are there": 2,
    }


def test_times_in_another_unit_are_read_and_said(tmp_path):
    events, repairs = read(tmp_path, [row.replace(",", "000,", 1) for row in ROWS])
    assert told(events) == told(read(tmp_path, ROWS)[0])
    assert repairs == {"times (calc_time) in us where the form has ms, read as us": 3}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((f"{NEW_YEAR},0,0.0001",), "funding_interval_hours 0"),
        ((f"{NEW_YEAR},x,0.0001",), "funding_interval_hours: 'x'"),
        ((f"{NEW_YEAR},8,1.5",), "is it in per cent"),
        ((f"{NEW_YEAR},8,",), "'' is no number"),
        (("soon,8,0.0001",), "calc_time: 'soon'"),
        ((f"{NEW_YEAR},8,0.0001", f"{NEW_YEAR + 3},8,0.0002"), "at two rates"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, rows, words):
    with pytest.raises(HistoryRefused, match=words):
        read(tmp_path, rows)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(HistoryRefused, match="of fundingRate it has no column funding_interval_hours"):
        read(tmp_path, ROWS, header="calc_time,interval,last_funding_rate")


def printed(hours):
    at_ns = (NEW_YEAR + round(hours * HOUR)) * MS
    return Printed(at_ns, at_ns, "BTCUSDT", round(hours * 100), "1", "1", False)


def test_only_what_is_told_beside_the_rest_stays_and_the_last_word_before_it(tmp_path):
    events, repairs = read(tmp_path, ROWS)[0], Repairs()
    trades = [printed(one) for one in (7.0, 7.5, 9.0)]
    kept = list(beside_the_rest(in_order([iter(events), iter(trades)], repairs), repairs))
    assert [type(one) for one in kept] == [FundingTold, Printed, Printed, FundingTold, FundingTold, Printed]
    assert kept[0].wall_ns == trades[0].wall_ns
    assert told(one for one in kept if isinstance(one, FundingTold)) == [
        (0.0, "0.00037409", 8),
        (8.0, "0.0002337", 8),
        (8.0, "0.0002337", 16),
    ]
    assert repairs.counts["payments of funding before or after all other rows, left out"] == 2


def test_an_archive_alone_is_refused(tmp_path):
    with pytest.raises(HistoryRefused, match="neither a book nor trades"):
        list(beside_the_rest(iter(read(tmp_path, ROWS)[0]), Repairs()))
