"""What `smartmoney import` writes of files as people have them, and what the commands after it make of that."""

import gzip
import json
import re
import zipfile

import numpy as np
import pytest

from smartmoney.adapters.history import hftbacktest

DAY_US = 86_400 * 10**6
US = 20_000 * DAY_US + 3_600 * 10**6
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"


def said(call, *words):
    code, out, err = call(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def book_rows(at, count=60, symbol="BTCUSDT", exchange="binance-futures"):
    """Return rows of a book of two levels, and an update each second."""
    rows = [
        f"{exchange},{symbol},{at},{at},true,{side},{price},5" for side, price in (("bid", 100), ("bid", 99), ("ask", 101), ("ask", 102))
    ]
    for n in range(1, count):
        rows.append(f"{exchange},{symbol},{at + n * 10**6},{at + n * 10**6},false,{'bid' if n % 2 else 'ask'},{99 + 3 * (n % 2 == 0)},{n}")
    return rows


def trade_rows(at, count=50, symbol="BTCUSDT", exchange="binance-futures", name=lambda n: f"{n:08x}-0000-4000-8000-000000000000"):
    return [f"{exchange},{symbol},{at + n * 10**6},{at + n * 10**6 + 5},{name(at + n)},buy,101,1" for n in range(count)]


@pytest.fixture
def days(tmp_path):
    """Return the files of two days, each in its own order: books, and trades whose ids are no numbers."""
    return [
        (
            write(tmp_path / f"book{day}.csv", BOOK, *book_rows(US + day * DAY_US)),
            write(tmp_path / f"trades{day}.csv", TRADES, *trade_rows(US + day * DAY_US)),
        )
        for day in range(2)
    ]


def test_days_that_were_imported_one_by_one_are_one_dataset(call, tmp_path, days):
    for files in days:
        said(call, "import", "tardis", *files, "--market", "usdm", "--out", tmp_path / "data")
    told = said(call, "dataset", "stats", tmp_path / "data")["binance/usdm/BTCUSDT"]["days"]
    assert [(day["snapshots"], day["updates"], day["trades"], day["gaps"], day["repairs"]) for day in told] == [(1, 59, 50, 0, [])] * 2
    tested = said(call, "backtest", "--dataset", tmp_path / "data")
    assert not [line for line in tested["assumptions"] if "no book" in line or "already" in line or "twice" in line], tested["assumptions"]
    ids = []
    for table in sorted((tmp_path / "data").rglob("trades.parquet")):
        import pyarrow.parquet

        ids += pyarrow.parquet.read_table(table).column("trade_id").to_pylist()
    assert ids == sorted(set(ids))


def test_recordings_that_were_imported_one_by_one_are_one_session(call, tmp_path, days):
    for number, files in enumerate(days):
        said(call, "import", "tardis", *files, "--market", "usdm", "--out", tmp_path / f"{number}.gz")
    lines = [line.split(" ", 1)[1] for number in range(2) for line in gzip.open(tmp_path / f"{number}.gz", "rt")]
    frames = [json.loads(line) for line in lines]
    books = [frame["lastUpdateId"] for frame in frames if "lastUpdateId" in frame]
    updates = [frame["data"]["u"] for frame in frames if frame.get("data", {}).get("e") == "depthUpdate"]
    assert books[0] < updates[0] < updates[58] < books[1] < updates[59]
    tested = said(call, "backtest", tmp_path / "0.gz", tmp_path / "1.gz", "--market", "usdm")
    assert not [line for line in tested["assumptions"] if "no book" in line or "already" in line or "twice" in line], tested["assumptions"]

    # So were recordings numbered that were imported before ids began with a time.
    for number, book in enumerate(books):
        whole = gzip.decompress((tmp_path / f"{number}.gz").read_bytes()).decode()
        old = re.sub(r'"(lastUpdateId|U|u|pu)":(\d+)', lambda found, book=book: f'"{found[1]}":{int(found[2]) - book + 1}', whole)
        (tmp_path / f"old{number}.gz").write_bytes(gzip.compress(old.encode()))
    again = said(call, "backtest", tmp_path / "old0.gz", tmp_path / "old1.gz", "--market", "usdm")
    assert not [line for line in again["assumptions"] if "no book" in line or "already" in line or "twice" in line], again["assumptions"]


def test_days_of_an_npz_whose_trades_have_no_ids_go_on_from_each_other(call, tmp_path):
    both = hftbacktest.EXCHANGE | hftbacktest.LOCAL
    for day in range(2):
        at = (US + day * DAY_US) * 1000
        rows = [
            (both | hftbacktest.SNAPSHOT | hftbacktest.BUY, at, at, 100.0, 1.0, 0, 0, 0.0),
            (both | hftbacktest.SNAPSHOT | hftbacktest.SELL, at, at, 101.0, 1.0, 0, 0, 0.0),
        ]
        rows += [(both | hftbacktest.TRADE | hftbacktest.BUY, at + n, at + n, 101.0, 1.0, 0, 0, 0.0) for n in range(1, 21)]
        path = tmp_path / f"btcusdt_{day}.npz"
        np.savez_compressed(path, data=np.array(rows, hftbacktest.EVENT))
        said(call, "import", "hftbacktest", path, "--market", "usdm", "--out", tmp_path / "data")
    told = said(call, "dataset", "stats", tmp_path / "data")["binance/usdm/BTCUSDT"]["days"]
    assert [(day["snapshots"], day["trades"], day["repairs"]) for day in told] == [(1, 20, [])] * 2


def test_one_number_with_float_noise_does_not_spoil_the_rest(call, tmp_path):
    rows = book_rows(US)
    rows[20] = rows[20].rpartition(",")[0] + ",0.30000000000000004"
    book, trades = write(tmp_path / "book.csv", BOOK, *rows), write(tmp_path / "trades.csv", TRADES, *trade_rows(US))
    told = said(call, "import", "tardis", book, trades, "--market", "usdm", "--out", tmp_path / "day.gz")
    assert "numbers with the noise of binary floating point, rounded to what they were: 1" in told["repairs"]
    tested = said(call, "backtest", tmp_path / "day.gz", "--market", "usdm")
    assert not [line for line in tested["assumptions"] if "malformed" in line or "snapshot" in line]


def test_files_of_two_exchanges_or_of_another_market_are_refused(call, tmp_path):
    book = write(tmp_path / "book.csv", BOOK, *book_rows(US))
    trades = write(tmp_path / "trades.csv", TRADES, *trade_rows(US, exchange="binance"))
    code, _, err = call("import", "tardis", book, trades, "--market", "usdm", "--out", tmp_path / "none.gz")
    assert (code, "mixed instruments: rows of binance beside those of binance-futures" in err) == (1, True), err
    code, _, err = call("import", "tardis", book, "--out", tmp_path / "none.gz")
    assert (code, "rows of binance-futures, whose market is usdm, not spot; say --market usdm" in err) == (1, True), err
    assert "line" not in err
    two = write(tmp_path / "two.csv", TRADES, *trade_rows(US), *trade_rows(US, exchange="bybit"))
    code, _, err = call("import", "tardis", two, "--market", "usdm", "--out", tmp_path / "none.gz")
    assert (code, "rows of bybit beside those of binance-futures" in err) == (1, True), err
    assert not list(tmp_path.glob("*none*"))


def test_what_is_given_twice_counts_once_and_is_told(call, tmp_path, days):
    book, trades = days[0]
    again = write(tmp_path / "again.csv", book.read_text().strip())
    once = said(call, "import", "tardis", book, trades, "--market", "usdm", "--out", tmp_path / "once.gz")
    told = said(call, "import", "tardis", book, trades, again, trades, "--market", "usdm", "--out", tmp_path / "told.gz")
    assert (told["updates"], told["trades"]) == (once["updates"], once["trades"]) == (59, 50)
    assert told["repairs"] == [
        *once["repairs"],
        "files given twice, left out, such as again.csv, which is book0.csv: 1",
        "files given twice, left out, such as trades0.csv, which is trades0.csv: 1",
    ]


def test_trades_whose_ids_are_no_numbers_are_known_by_them_and_others_may_repeat(call, tmp_path):
    rows = trade_rows(US)
    for name, lines in (("twice", [line for row in rows for line in (row, row)]), ("block", rows + rows)):
        found = said(
            call, "import", "tardis", write(tmp_path / f"{name}.csv", TRADES, *lines), "--market", "usdm", "--out", tmp_path / f"{name}.gz"
        )
        assert found["trades"] == 50, name
        assert sum(int(line.rpartition(" ")[2]) for line in found["repairs"] if "twice" in line) == 50, name
    unnamed = [line for row in trade_rows(US, name=lambda n: "") for line in (row, row)]
    found = said(call, "import", "tardis", write(tmp_path / "n.csv", TRADES, *unnamed), "--market", "usdm", "--out", tmp_path / "n.gz")
    assert found["trades"] == 100


def test_what_overlapping_files_tell_alike_counts_once(call, tmp_path):
    rows, prints = book_rows(US), [line for row in trade_rows(US, name=lambda n: "") for line in (row, row)]
    files = [
        write(tmp_path / "a.csv", BOOK, *rows[:40]),
        write(tmp_path / "b.csv", BOOK, *rows[20:]),
        write(tmp_path / "c.csv", TRADES, *prints[:60]),
        write(tmp_path / "d.csv", TRADES, *prints[40:]),
    ]
    found = said(call, "import", "tardis", *files, "--market", "usdm", "--out", tmp_path / "day.gz")
    assert (found["updates"], found["trades"]) == (59, 100)
    assert "rows or messages that another of the files holds alike, left out: 40" in found["repairs"]


def test_pauses_between_files_and_books_that_trades_never_meet_are_told(call, tmp_path, days):
    found = said(call, "import", "tardis", *days[0], *days[1], "--market", "usdm", "--out", tmp_path / "two.gz")
    assert "pauses of more than a minute in all files together: 1" in found["repairs"]
    assert not [line for line in found["repairs"] if "before any" in line]
    found = said(call, "import", "tardis", days[0][0], days[1][1], "--market", "usdm", "--out", tmp_path / "never.gz")
    assert "books that end at 2024-10-04 01:00:59, before any trades begin at 2024-10-05 01:00:00: 1" in found["repairs"]


def refused(call, form, *files):
    code, _, err = call("import", form, *files, "--market", "usdm", "--out", files[0].with_name("none.gz"))
    assert code == 1, err
    return err


def test_gzip_is_known_whatever_its_name_is(call, tmp_path):
    path = tmp_path / "trades.csv"
    path.write_bytes(gzip.compress("\n".join([TRADES, *trade_rows(US), ""]).encode()))
    assert said(call, "import", "tardis", path, "--market", "usdm", "--out", tmp_path / "day.gz")["trades"] == 50


def test_lines_that_are_none_are_refused_with_their_number_instead_of_eating_those_below(call, tmp_path):
    rows = trade_rows(US)
    long = write(tmp_path / "long.csv", TRADES, *rows[:5], "a" * 200_000, *rows[5:])
    assert "long.csv: line 7 is no line of a table (field larger than field limit" in refused(call, "tardis", long)
    open_quote = write(tmp_path / "quote.csv", TRADES, *rows[:5], rows[5].replace("buy", '"buy'), *rows[6:])
    assert "quote.csv: line 7 has a quote that is not closed" in refused(call, "tardis", open_quote)
    nul = write(tmp_path / "nul.csv", TRADES, *rows[:5], "\0" * 4096 + rows[5], *rows[6:])
    assert "is no exchange; is the file damaged?" in refused(call, "tardis", nul)


def zipped(path, how=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, lines in members.items():
            archive.writestr(f"{name}.csv", "\n".join(lines) + "\n")
    return path


def binance_rows(first, count=500):
    return [f"{number},100.{number % 7},1,50.0,{US // 1000 + number},true" for number in range(first, first + count)]


def test_archives_of_several_tables_or_with_damage_or_of_another_form(call, tmp_path):
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    path = zipped(tmp_path / "X-trades-2025-01.zip", one=[header, *binance_rows(1)], two=[header, *binance_rows(501)])
    found = said(call, "import", "binance", path, "--market", "usdm", "--out", tmp_path / "two.gz")
    assert (found["trades"], found["repairs"][0]) == (1_000, "headers again, as of files put together, passed over: 1")
    assert "no npz of hftbacktest, but an archive of one.csv" in refused(call, "hftbacktest", path)
    whole = zipped(tmp_path / "whole.zip", zipfile.ZIP_STORED, one=[header, *binance_rows(1)])
    (tmp_path / "Y-trades-2025-01.zip").write_bytes(whole.read_bytes().replace(b"\n5,100.5", b"\n5,1?0.5"))
    assert "one.csv in it is damaged; download the archive again" in refused(call, "binance", tmp_path / "Y-trades-2025-01.zip")


def test_sides_in_any_letters_and_what_was_left_out_of_a_file_that_gives_nothing(call, tmp_path):
    rows = [row.replace(",buy,", ",Buy,") for row in trade_rows(US)]
    found = said(call, "import", "tardis", write(tmp_path / "t.csv", TRADES, *rows), "--market", "usdm", "--out", tmp_path / "day.gz")
    assert found["trades"] == 50
    touch = hftbacktest.LOCAL | hftbacktest.EXCHANGE | hftbacktest.TOUCH | hftbacktest.BUY
    path = tmp_path / "x_1.npz"
    np.savez_compressed(
        path, data=np.array([(touch, US * 1000 + n, US * 1000 + n, 100.0, 1.0, 0, 0, 0.0) for n in range(9)], hftbacktest.EVENT)
    )
    assert "nothing that makes a book or a trade: best quotes beside the book, left out: 9" in refused(call, "hftbacktest", path)


def test_a_book_without_trades_is_told(call, tmp_path, days):
    found = said(call, "import", "tardis", days[0][0], "--market", "usdm", "--out", tmp_path / "day.gz")
    assert found["repairs"][-1] == "recordings without trades: flows are unknown, and what a model decides rests on missing flows: 1"
