"""The control socket, over a real socket, under asyncio's loop and uvloop's."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import pytest
import uvloop

from smartmoney.adapters import control
from smartmoney.adapters.control import (
    ControlError,
    ControlNotPermitted,
    ControlRequest,
    ControlServer,
    DaemonNotRunning,
    DaemonSilent,
    request,
)
from smartmoney.adapters.state_directory import StateDirectory
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def state(tmp_path):
    with StateDirectory.open(tmp_path / "state") as directory:
        yield directory


async def answer(message):
    if message.command == "flatten":
        raise ControlError("the book is not synced", "wait for the feed")
    return {"command": message.command, "reason": message.reason, **message.arguments}


async def ask(state, message, wait_s=PATIENCE_S):
    return await asyncio.to_thread(request, state.layout.control_socket, message, wait_s)


async def raw(state, *lines):
    reader, writer = await asyncio.open_unix_connection(state.layout.control_socket, limit=1 << 20)
    writer.write(b"".join(lines))
    if lines:
        writer.write_eof()
    received = await reader.read()
    writer.close()
    return [json.loads(line) for line in received.splitlines()]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_requests_are_answered_and_refusals_carry_their_remedy(state, runner):
    async def scenario():
        server = await ControlServer.start(state, answer)
        assert state.layout.control_socket.stat().st_mode & 0o777 == 0o600
        status = await ask(state, ControlRequest(command="status", arguments={"full": True}))
        assert status == {"command": "status", "reason": "", "full": True}
        resumed = await ask(state, ControlRequest(command="resume", reason="looked at it"))
        assert resumed["reason"] == "looked at it"
        with pytest.raises(ControlError, match="resume needs a reason; say why with --reason"):
            await ask(state, ControlRequest(command="resume", reason="  "))
        with pytest.raises(ControlError, match="the book is not synced; wait for the feed"):
            await ask(state, ControlRequest(command="flatten"))
        await server.close()
        assert not state.layout.control_socket.exists()

    runner(scenario())


async def test_one_connection_carries_several_requests_and_bad_lines_get_an_answer(state):
    server = await ControlServer.start(state, answer)
    replies = await raw(
        state, b'{"command":"status"}\n', b'{"command":"dance"}\n', b"\xff{\n", b'{"command":"halt","colour":1}\n', b'{"command":"halt"}\n'
    )
    assert [reply["ok"] for reply in replies] == [True, False, False, False, True]
    assert "cannot be understood" in replies[1]["problem"]
    await server.close()


async def test_an_endless_line_is_cut_off(state):
    server = await ControlServer.start(state, answer)
    replies = await raw(state, b"x" * (control.REQUEST_BYTES_MAX + 10))
    assert "longer than" in replies[0]["problem"]
    await server.close()


async def test_a_slow_handler_and_an_idle_connection_are_given_up(state, monkeypatch):
    async def hang(message):
        await asyncio.Event().wait()

    server = await ControlServer.start(state, hang, answer_s_max=0.05)
    with pytest.raises(ControlError, match=r"no result within 0.05 s"):
        await ask(state, ControlRequest(command="halt"))
    monkeypatch.setattr(control, "IDLE_S_MAX", 0.05)
    assert await raw(state) == []
    await server.close()


async def test_a_silent_daemon_is_told_from_an_absent_one(state):
    async def hang(message):
        await asyncio.Event().wait()

    with pytest.raises(DaemonNotRunning, match="no daemon is running"):
        await ask(state, ControlRequest(command="status"))
    server = await ControlServer.start(state, hang)
    with pytest.raises(DaemonSilent, match=r"did not answer within 0.05 s"):
        await ask(state, ControlRequest(command="status"), wait_s=0.05)
    await server.close()


async def test_a_daemon_that_dies_while_asked_is_reported(state):
    entered = asyncio.Event()

    async def hang(message):
        entered.set()
        await asyncio.Event().wait()

    server = await ControlServer.start(state, hang)
    asking = asyncio.create_task(ask(state, ControlRequest(command="halt")))
    await entered.wait()
    await server.close()
    with pytest.raises(DaemonSilent, match="whether the request was carried out is not known"):
        await asking


async def test_the_file_of_a_dead_daemon_is_replaced_by_the_holder_of_the_lock(state):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(state.layout.control_socket))
    dead.close()
    with pytest.raises(DaemonNotRunning):
        await ask(state, ControlRequest(command="status"))
    server = await ControlServer.start(state, answer)
    assert (await ask(state, ControlRequest(command="status")))["command"] == "status"
    await server.close()
    state.close()
    with pytest.raises(RuntimeError, match="lock"):
        await ControlServer.start(state, answer)


async def test_too_many_connections_are_refused_and_then_served_again(state):
    server = await ControlServer.start(state, answer)
    idle = [await asyncio.open_unix_connection(state.layout.control_socket) for _ in range(control.CONNECTIONS_MAX)]
    with pytest.raises(ControlError, match="too many connections"):
        await ask(state, ControlRequest(command="status"))
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    await until(lambda: not server._connections, "all of them have gone")
    assert (await ask(state, ControlRequest(command="status")))["command"] == "status"
    await server.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_another_user_is_refused(state):
    """The folder and the socket keep others out; the credentials check stands behind both, so here it is opened for everybody."""
    server = await ControlServer.start(state, answer)
    code = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.chdir(sys.argv[1])
os.setuid(65534)
try:
    s.connect("control.sock")
    print(s.recv(65536).decode())
except OSError as error:
    print(type(error).__name__)
"""
    folder = str(state.layout.root)

    async def other():
        return await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)

    assert "PermissionError" in (await other()).stdout
    state.layout.root.chmod(0o711)
    state.layout.control_socket.chmod(0o666)
    assert control._NOT_PERMITTED in (await other()).stdout
    await server.close()


def test_a_socket_without_rights_is_reported_as_such(tmp_path):
    error = control._unreachable(tmp_path / "s", PermissionError(13, "denied"))
    assert isinstance(error, ControlNotPermitted)
