"""Addresses of one reader, and the order of attempts."""

from collections.abc import Iterable
from typing import Final

# A reader with two interfaces announces two addresses. After a move, both old addresses can be kept, too.
_MAX_ANNOUNCED: Final = 8

# Attempts in one round: at the current address, the entered one, and the announced ones.
_MAX_ATTEMPTS: Final = 2 + _MAX_ANNOUNCED


class Addresses:
    """Addresses of one reader, as `host` or `host:port`.

    The current address, where the reader has identified itself, is tried first. The address that the owner
    entered comes next, then the announced addresses. In a round, each of them is tried once. A round also
    ends after a number of attempts, so that repeated announcements cannot delay attempts at known addresses.
    """

    def __init__(self, current: str, entered: str | None = None) -> None:
        """Start with the stored addresses, which can be equal. `entered` is None without an entered one."""
        self.current = current
        self.entered = entered
        self._trusted = {current, entered or current}
        self._announced: list[str] = []
        self._failed: set[str] = set()
        self._preferred: str | None = None
        self._attempts = 0
        """Number of attempts in this round."""

    def next(self) -> str:
        """Return the address of the next attempt."""
        if self._preferred is not None:
            host, self._preferred = self._preferred, None
            return host
        if not self.has_untried:
            self._start_round()
        self._attempts += 1
        return self._untried[0]

    @property
    def has_untried(self) -> bool:
        """Return whether there is an address that has not failed in this round."""
        return self._attempts < _MAX_ATTEMPTS and bool(self._untried)

    @property
    def _untried(self) -> list[str]:
        stored = [self.current, *([self.entered] if self.entered else [])]
        hosts = dict.fromkeys([*stored, *self._announced])
        return [host for host in hosts if host not in self._failed]

    def is_trusted(self, host: str) -> bool:
        """Return whether the owner agreed to send the password to an address with any scheme."""
        return host in self._trusted

    def announce(self, hosts: Iterable[str]) -> None:
        """Add announced addresses, and try each of them again."""
        hosts = list(hosts)
        self._failed.difference_update(hosts)
        self._announced = list(dict.fromkeys([*hosts, *self._announced]))[:_MAX_ANNOUNCED]

    def succeed(self, host: str) -> bool:
        """Make an address the current one. Return whether the current address has changed."""
        self._start_round()
        if host == self.current:
            return False
        self.announce([self.current])
        self.current = host
        return True

    def fail(self, host: str) -> None:
        """Record a failed attempt, so that the other addresses are tried before this one."""
        self._failed.add(host)

    def remove(self, host: str) -> None:
        """Remove an announced address."""
        if host in self._announced:
            self._announced.remove(host)

    def _start_round(self) -> None:
        self._failed.clear()
        self._attempts = 0

    def prefer_entered(self) -> None:
        """Try the entered address first, once."""
        self._preferred = self.entered
