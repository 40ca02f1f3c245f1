"""Ports of simulated devices, which stay theirs while a device is off."""

import socket
import weakref


class ReservedPort:
    """A port that no other program gets, whether a device listens at it or not.

    A second socket holds it without listening, so that connections are refused while the device is off.
    Servers that listen at a reserved port need the socket option SO_REUSEPORT.
    """

    def __init__(self, address: str) -> None:
        """Reserve a port that is free."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address, 0))
        self.number: int = holder.getsockname()[1]
        weakref.finalize(self, holder.close)
