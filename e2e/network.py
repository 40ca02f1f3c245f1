"""Network namespaces for a home and for each reader, joined by a bridge.

They are visible only in this process, and end with it, because a namespace without a name ends with the last
file that refers to it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address
import os
from typing import Final, Self

from pyroute2 import IPRoute

# The file of the thread, because each thread can have its own namespace.
_OWN: Final = "/proc/thread-self/ns/net"

_FIRST_ADDRESS: Final = IPv4Address("10.83.0.1")
_PREFIX_LENGTH: Final = 24
_ANNOUNCEMENTS: Final = "224.0.0.0/4"


def _in_a_thread[T](work: Callable[[], T]) -> T:
    """Run a function in its own thread, because a thread cannot leave the namespace that it has entered."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(work).result()


class Namespace:
    """Network namespace without a name. Raises PermissionError without the permission."""

    def __init__(self) -> None:
        """Make the namespace with a loopback interface."""

        def make() -> int:
            os.unshare(os.CLONE_NEWNET)
            return os.open(_OWN, os.O_RDONLY)

        self.file = _in_a_thread(make)
        self.configure(lambda links: links.link("set", index=1, state="up"))

    def configure[T](self, work: Callable[[IPRoute], T]) -> T:
        """Run a function with the links of the namespace."""

        def enter_and_work() -> T:
            os.setns(self.file, os.CLONE_NEWNET)
            with IPRoute() as links:
                return work(links)

        return _in_a_thread(enter_and_work)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the namespace: new sockets and processes belong to it."""
        before = os.open(_OWN, os.O_RDONLY)
        os.setns(self.file, os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(before, os.CLONE_NEWNET)
            os.close(before)


class Host:
    """Namespace with a link to the bridge, and an address."""

    def __init__(self, namespace: Namespace, address: IPv4Address) -> None:
        """Set the namespace and its first address."""
        self.namespace = namespace
        self.address = address
        self.move_to(address)

    def move_to(self, address: IPv4Address) -> None:
        """Take another address. The old one does not respond any more."""

        def take(links: IPRoute) -> None:
            index = links.link_lookup(ifname="eth0")[0]
            links.flush_addr(index=index)
            links.link("set", index=index, state="up")
            links.addr("add", index=index, address=str(address), prefixlen=_PREFIX_LENGTH)
            # Nothing leaves the bridge. Only announcements need a route.
            links.route("add", dst=_ANNOUNCEMENTS, oif=index)

        self.namespace.configure(take)
        self.address = address

    def unplug(self) -> None:
        """Disconnect the link. Another address connects it again."""
        self.namespace.configure(
            lambda links: links.link("set", index=links.link_lookup(ifname="eth0")[0], state="down")
        )


class Bridge:
    """Bridge with its hosts."""

    def __init__(self) -> None:
        """Make the bridge."""
        self._last_address = _FIRST_ADDRESS
        self._bridge = Namespace()
        self._namespaces = [self._bridge]

        def make(links: IPRoute) -> int:
            links.link("add", ifname="bridge", kind="bridge")
            index: int = links.link_lookup(ifname="bridge")[0]
            links.link("set", index=index, state="up")
            return index

        self._bridge_index = self._bridge.configure(make)

    def __enter__(self) -> Self:
        """Return the bridge, which is removed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bridge."""
        for namespace in self._namespaces:
            os.close(namespace.file)

    def free_address(self) -> IPv4Address:
        """Return an unused address."""
        self._last_address += 1
        return self._last_address

    def add_host(self) -> Host:
        """Return a new host on the bridge."""
        namespace = Namespace()
        self._namespaces.append(namespace)
        cable = f"host{len(self._namespaces)}"

        def connect(links: IPRoute) -> None:
            links.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace.file})
            index = links.link_lookup(ifname=cable)[0]
            links.link("set", index=index, master=self._bridge_index)
            links.link("set", index=index, state="up")

        self._bridge.configure(connect)
        return Host(namespace, self.free_address())


def is_possible() -> bool:
    """Return whether this process can make namespaces, as root or in a user namespace."""
    try:
        namespace = Namespace()
        with namespace.entered():
            pass
    except PermissionError:
        return False
    os.close(namespace.file)
    return True
