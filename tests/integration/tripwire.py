"""A TCP relay that watches what a daemon asks of its exchange, and acts at one exact point of one request's way there and back.

Phases: `before` (the request came, nothing was passed on), `after` (the exchange has answered, the daemon has not heard), `heard` (the answer
was passed on just now).
"""

import re
import socket
import threading

_REQUEST = re.compile(rb"^(GET|POST|PUT|DELETE) ([^ ?]+)")


class Tripwire:
    """Relay connections to an address; once armed, call `spring` at the n-th matching request. Use it as a context."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._lock = threading.Lock()
        self._armed = None
        self.sprung = threading.Event()
        self.asked = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.close()

    def arm(self, pattern, nth, phase, spring):
        with self._lock:
            self.sprung.clear()
            self._armed = [re.compile(pattern), nth, phase, spring]

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
                upstream = socket.create_connection(self._target)
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, upstream), daemon=True).start()

    def _serve(self, client, upstream):
        """Relay one connection: HTTP/1.1 without pipelining, so that whatever comes back belongs to the last request."""
        pending = []
        threading.Thread(target=self._back, args=(client, upstream, pending), daemon=True).start()
        try:
            while data := client.recv(65_536):
                found = _REQUEST.match(data)
                if found:
                    name = b" ".join(found.groups()).decode()
                    self.asked.append(name)
                    phase = self._match(name)
                    if phase == "before":
                        self._spring()
                        return
                    pending.append(phase)
                upstream.sendall(data)
        except OSError:
            pass
        finally:
            upstream.close()

    def _back(self, client, upstream, pending):
        try:
            while data := upstream.recv(65_536):
                phase = pending.pop(0) if pending else None
                if phase == "after":
                    self._spring()
                    return
                client.sendall(data)
                if phase == "heard":
                    self._spring()
        except OSError:
            pass
        finally:
            client.close()

    def _match(self, name):
        with self._lock:
            if self._armed is None or not self._armed[0].search(name):
                return None
            self._armed[1] -= 1
            return self._armed[2] if self._armed[1] == 0 else None

    def _spring(self):
        with self._lock:
            spring, self._armed = self._armed[3], None
        spring()
        self.sprung.set()
