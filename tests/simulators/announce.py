"""Announcements of simulated readers by mDNS."""

from ipaddress import IPv4Address
import socket

from zeroconf import InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from . import SIMULATORS
from .server import Server


def own_address() -> IPv4Address | None:
    """Return the address of this machine on its default network, or None without one. Send nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Any address outside the network. Connecting a datagram socket only selects the route.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return IPv4Address(probe.getsockname()[0])


def service_info(reader: Server, address: IPv4Address) -> AsyncServiceInfo:
    """Return the mDNS announcement of a reader."""
    service = SIMULATORS[reader.kind].service(reader.device_id, reader.port)
    return AsyncServiceInfo(
        service.type,
        f"{service.name}.{service.type}",
        port=service.port,
        addresses=[address.packed],
        server=f"{service.hostname}.local.",
        properties=dict(service.properties),
    )


class Announcer:
    """Announcer of readers on the default network, until it is closed."""

    def __init__(self, address: IPv4Address) -> None:
        self._address = address
        self._zeroconf = AsyncZeroconf(interfaces=InterfaceChoice.Default, ip_version=IPVersion.V4Only)

    async def announce(self, reader: Server) -> None:
        """Announce a reader."""
        info = service_info(reader, self._address)
        await (await self._zeroconf.async_register_service(info, allow_name_change=True))

    async def close(self) -> None:
        """Withdraw all announcements."""
        await self._zeroconf.async_unregister_all_services()
        await self._zeroconf.async_close()
