"""A recording that is repeated: times and numbers move on, all else stays, and each turn begins after the one before."""

import gzip

import pytest

from smartmoney.cli.main import exit_code
from smartmoney.runtime.bench_day import NotRepeatable, Repeating

LINES = (
    b'1700000000000000000 {"lastUpdateId":100,"E":1700000000000,"T":1700000000000,"bids":[["5.10","7"]],"asks":[["5.20","8"]]}',
    (
        b'1700000000250000000 {"stream":"ababcd@depth","data":{"e":"depthUpdate","E":1700000000240,"T":1700000000239,"s":"ABABCD","U":99,'
        b'"u":110,"pu":98,"b":[["5.10","0"]],"a":[]}}'
    ),
    b'1700000001500000001 {"stream":"ababcd@trade","data":{"e":"trade","E":1700000001490,"T":1700000001489,"s":"ABABCD","t":31,"p":"5.20"}}',
    b'1700000001500000001 {"stream":"ababcd@trade","data":{"e":"trade","E":1700000001490,"T":1700000001489,"s":"ABABCD","t":32,"p":"5.20"}}',
)
AGAIN = (
    b'1700000001502000000 {"lastUpdateId":113,"E":1700000001502,"T":1700000001502,"bids":[["5.10","7"]],"asks":[["5.20","8"]]}',
    (
        b'1700000001752000000 {"stream":"xy@depth","data":{"e":"depthUpdate","E":1700000001742,"T":1700000001741,"s":"XY","U":112,'
        b'"u":123,"pu":111,"b":[["5.10","0"]],"a":[]}}'
    ),
    b'1700000003002000001 {"stream":"xy@trade","data":{"e":"trade","E":1700000002992,"T":1700000002991,"s":"XY","t":33,"p":"5.20"}}',
    b'1700000003002000001 {"stream":"xy@trade","data":{"e":"trade","E":1700000002992,"T":1700000002991,"s":"XY","t":34,"p":"5.20"}}',
)


def test_times_and_numbers_move_on_and_the_symbol_is_another(tmp_path):
    path = tmp_path / "one.txt"
    path.write_bytes(b"\n".join(LINES))
    repeating = Repeating(path)
    assert (repeating.frames, repeating.span_ns) == (3, 1_502_000_000)
    once = gzip.decompress(repeating.write(1, tmp_path / "once.gz").read_bytes()).splitlines()
    assert once == list(LINES)
    twice = gzip.decompress(repeating.write(2, tmp_path / "twice.gz", "XY").read_bytes()).splitlines()
    assert twice[:4] == [line.replace(b"ABABCD", b"XY").replace(b"ababcd", b"xy") for line in LINES]
    assert twice[4:] == list(AGAIN)


BEST_ALONE = b'1700000000000000000 {"e":"bookTicker","s":"XY","u":1,"E":1700000000000,"T":1700000000000,"b":"5.10","a":"5.20"}\n'


@pytest.mark.parametrize("text", [b"", b'{"e":"trade","s":"XY"}\n', BEST_ALONE, b"\n".join((*LINES, LINES[1].replace(b"ABABCD", b"XY")))])
def test_what_could_not_be_repeated_is_refused(tmp_path, text):
    path = tmp_path / "other.txt"
    path.write_bytes(text)
    with pytest.raises(NotRepeatable, match=r"other\.txt: measuring needs .* one instrument") as refused:
        Repeating(path)
    assert exit_code(refused.value) == 1
