"""Readers of recordings."""

from contextlib import AsyncExitStack
from typing import override

from tests.simulators.recordings import Recording
from tests.simulators.replay import ReplayedReader

from .console import note, step
from .home_assistant import HomeAssistantApi
from .scenario import Scenario


class ReplayedScenario(Scenario):
    """Readers of recordings in a new Home Assistant."""

    def __init__(self, recordings: list[Recording], *, speed: float, loop: bool) -> None:
        """Make a reader of each recording."""
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
        """Do nothing: the recordings send by themselves."""

    @override
    def guide(self, url: str, hosts: dict[str, str], *, is_announced: bool) -> str:
        return f"""\
Devices and states: {url}/config/integrations/integration/energy_sse

The recording is replayed now. Ctrl-C stops everything. The next start begins from the start."""
