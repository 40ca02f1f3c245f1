"""Scenario of the demo."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import ClassVar

from tests.simulators.server import Server

from .home_assistant import HomeAssistantApi


class Scenario(ABC):
    """Readers, and their use in Home Assistant."""

    password: ClassVar[str] = ""
    """Password of the readers that have one."""

    def __init__(self, readers: list[Server], added: list[str]) -> None:
        """Set the readers, and the ids of those to add."""
        self.readers = readers
        self.added = added

    @abstractmethod
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        """Run after the readers have been added, until `stack` ends."""

    @abstractmethod
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        """Return a text for the user. `hosts` are the addresses of the readers by id."""
