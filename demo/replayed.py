"""Recorded readers, in a Home Assistant of their own."""

from contextlib import AsyncExitStack
from typing import override

from tests.simulators.recordings import Recording
from tests.simulators.replay import ReplayedReader

from .console import note, step
from .home_assistant import HomeAssistantApi
from .scenario import Scenario


class ReplayedShow(Scenario):
    """Plays recordings to a Home Assistant that has never heard of them."""

    def __init__(self, recordings: list[Recording], *, speed: float, loop: bool) -> None:
        """Scenario recordings."""
        step(
            f"Starting the readers of {len(recordings)} recordings"
            if recordings[1:]
            else "Starting the reader"
        )
        for recording in recordings:
            for line in recording.description:
                note(line)
        readers = [ReplayedReader(each, speed=speed, loop=loop) for each in recordings]
        super().__init__([*readers], [reader.device_id for reader in readers])

    @override
    async def run(self, stack: AsyncExitStack, api: HomeAssistantApi) -> None:
        """Leave it to the recordings."""

    @override
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        return "\nThe recording plays now. Ctrl-C stops everything; the next start begins anew."
