"""What there is to see."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import ClassVar

from tests.simulators.server import Server

from .home_assistant import HomeAssistantApi


class Scenario(ABC):
    """Readers, and what a Home Assistant shows of them."""

    password: ClassVar[str] = ""
    """Of the readers that have one."""

    def __init__(self, readers: list[Server], added: list[str]) -> None:
        """Scenario some readers, and add those with these ids."""
        self.readers = readers
        self.added = added

    @abstractmethod
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        """Do what follows when the readers have been added, until `stack` ends."""

    @abstractmethod
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        """Return what there is to look at. `hosts` are where the readers are, by their ids."""
