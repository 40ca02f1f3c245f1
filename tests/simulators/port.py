"""Reserved ports for simulated devices."""

import socket
from typing import Final
import weakref

_reserved: Final[set[int]] = set()


class ReservedPort:
    """A TCP port that no other program can bind, even while the device is off.

    A second socket is bound to it without listening, so that connections are refused while the device is off.
    """

    def __init__(self, address: str) -> None:
        """Reserve a free port until this object is deleted."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address, 0))
        self.number: int = holder.getsockname()[1]
        _reserved.add(self.number)
        weakref.finalize(self, _release, holder, self.number)


def is_reserved(port: int) -> bool:
    """Return whether a port is reserved, so that a server needs SO_REUSEPORT to listen at it."""
    return port in _reserved


def _release(holder: socket.socket, number: int) -> None:
    holder.close()
    _reserved.discard(number)
