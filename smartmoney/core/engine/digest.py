"""The digest of a run: a chained SHA-256 over every command, in order.

Two runs that asked the world for the same things in the same order have the same digest, in any process, whatever PYTHONHASHSEED is.
Explanations and screens are computed outside and are no part of it.
"""

import hashlib
from struct import Struct

from smartmoney.core.domain.commands import Command, encode_command

_HEAD = Struct("<QI")
"""What stands before a command: the number of its entry, and its length."""


class Digest:
    """Fold commands into a chain; `hexdigest` may be read at any point."""

    __slots__ = ("_chain",)

    def __init__(self) -> None:
        self._chain = hashlib.sha256()

    def add(self, seq: int, command: Command) -> None:
        """Fold one command of the step of entry `seq`."""
        self.add_encoded(seq, encode_command(command))

    def add_encoded(self, seq: int, body: bytes) -> None:
        """Fold one command that is encoded already."""
        self._chain.update(_HEAD.pack(seq, len(body)) + body)

    def hexdigest(self) -> str:
        """Return the digest of all commands so far."""
        return self._chain.hexdigest()
