"""`smartmoney sim fault` against a running exchange: what it lists, adds and clears, and what it says to what it cannot use."""

import asyncio
import json
import socket
import sys

import pytest

from smartmoney.cli import main as command_line
from smartmoney.core.domain.instruments import Market

from .faulty import ask, exchange


@pytest.fixture
def call(monkeypatch, capsys):
    """Run one command; return exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["smartmoney", "sim", "fault", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


async def test_faults_are_added_listed_and_cleared_on_either_port(call):
    async with exchange() as (server, endpoints):
        spot, usdm = (endpoints[market].rest.rpartition(":")[2] for market in (Market.SPOT, Market.USDM))

        async def say(*words):
            return await asyncio.to_thread(call, *words)

        assert await say("list", "--port", spot) == (0, "no faults stand\n", "")
        assert await say("add", "rate_limit", "market=spot", "retry_after_s=5", "banned=true", "--port", usdm) == (
            0,
            "added rate_limit-1\n",
            "",
        )
        assert (await ask("GET", endpoints[Market.SPOT].rest + "/api/v3/time"))[0] == 418
        code, out, _ = await say("add", "lost_fill", "name=mine", "for_s=0.5", "--port", spot, "--json")
        assert (code, json.loads(out)) == (0, {"added": ["mine"]})
        assert [(r.fault.kind, r.fault.for_s) for r in server.faults.reports(0)] == [("rate_limit", None), ("lost_fill", 0.5)]
        code, out, _ = await say("list", "--port", spot)
        lines = [line.split() for line in out.splitlines()]
        assert (code, lines[0]) == (0, ["NAME", "KIND", "ACTIVE", "MATCHED", "ACTED"])
        assert lines[1] == ["rate_limit-1", "rate_limit", "yes", "1", "1", "market=spot", "banned=true", "retry_after_s=5"]
        assert lines[2][:2] == ["mine", "lost_fill"]
        code, out, _ = await say("list", "--port", usdm, "--json")
        assert [(each["name"], each["acted"]) for each in json.loads(out)["faults"]] == [("rate_limit-1", 1), ("mine", 0)]
        assert await say("clear", "mine", "--port", spot) == (0, "cleared mine\n", "")
        assert json.loads((await say("clear", "--port", spot, "--json"))[1]) == {"removed": ["rate_limit-1"]}
        assert (await say("clear", "--port", spot))[1] == "no faults stood\n"
        assert not server.faults.reports(0)

        for words, code, problem in (
            (("add", "silense"), 2, "kind: there is no kind 'silense'; did you mean silence?"),
            (("add", "gap", "evry=3"), 2, "evry: unknown key; did you mean every?"),
            (("add", "gap", "every=0"), 2, "every: 0 is refused: input should be greater than or equal to 1; correct it;"),
            (("add", "gap", "every"), 78, "every: is not of the form key=value; write for example for_s=20"),
            (("add", "gap", "every=1", "every=2"), 78, "every: is given twice; keep one of the two"),
            (("clear", "nothing"), 1, "there is no fault named 'nothing'; GET /sim/faults lists them"),
        ):
            ended, out, err = await say(*words, "--port", spot)
            assert (ended, out) == (code, "")
            assert err.startswith(f"smartmoney: {problem}")
            assert len(err.splitlines()) == 1
        ended, out, _ = await say("add", "silense", "--port", spot, "--json")
        assert (ended, json.loads(out)["error"]) == (2, "FaultRefused")
        assert not server.faults.reports(0)


def test_without_an_exchange_the_error_says_how_to_start_one(call):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, out, err = call("list", "--port", port)
    assert (code, out) == (1, "")
    assert err.startswith(f"smartmoney: no built-in exchange answers on 127.0.0.1:{port} (")
    assert f"smartmoney sim --port {port}" in err
