"""Ask a running built-in exchange on this machine for faults: list, add and take away, over its `/sim/faults`."""

import http.client
import json
from typing import Any
from urllib.parse import quote

_HOST = "127.0.0.1"
_ROOT = "/sim/faults"
_ANSWER_S_MAX = 10.0
_ANSWER_BYTES_MAX = 8 << 20
_BAD_REQUEST = 400
_EXIT_FAILED, _EXIT_USAGE = 1, 2


class FaultRefused(Exception):
    """Carry the exchange's own words: which field is wrong, and what to do."""

    def __init__(self, problem: str, status: int) -> None:
        super().__init__(problem)
        self.exit_code = _EXIT_USAGE if status == _BAD_REQUEST else _EXIT_FAILED


class NoExchange(Exception):
    """Report that no built-in exchange answers on a port."""

    exit_code = _EXIT_FAILED

    def __init__(self, port: int, why: str) -> None:
        super().__init__(
            f"no built-in exchange answers on {_HOST}:{port} ({why}): start one with `smartmoney sim --port {port}`, "
            "or name the port that it printed with --port"
        )


class FaultClient:
    """Speak to the exchange one of whose markets listens on a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    def faults(self) -> dict[str, Any]:
        """Return what stands: `{now_ms, seed, faults: [...]}`, each fault with its counters.

        Raises:
            NoExchange, FaultRefused: nobody answers, or not so.
        """
        return self._ask("GET", _ROOT)

    def add(self, fault: dict[str, Any]) -> list[str]:
        """Let a fault stand from now on and return its name in a list.

        Raises:
            NoExchange, FaultRefused: nobody answers; a key or its value is wrong.
        """
        names: list[str] = self._ask("POST", _ROOT, json.dumps(fault))["added"]
        return names

    def clear(self, name: str = "") -> list[str]:
        """Take a fault away, or all, and return their names.

        Raises:
            NoExchange, FaultRefused: nobody answers; there is no such fault.
        """
        names: list[str] = self._ask("DELETE", f"{_ROOT}/{quote(name, safe='')}" if name else _ROOT)["removed"]
        return names

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_ANSWER_S_MAX)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
            response = connection.getresponse()
            text = response.read(_ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise NoExchange(self._port, str(error) or type(error).__name__) from None
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise NoExchange(self._port, "something else does")
        if not 200 <= response.status < 300:
            problem = answer.get("problem")
            if not isinstance(problem, str):
                raise NoExchange(self._port, "something else does")
            raise FaultRefused(problem, response.status)
        return answer
