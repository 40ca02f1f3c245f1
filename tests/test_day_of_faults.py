"""Memory, tasks and files after a day with five faults an hour."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
import gc
import logging
import tracemalloc
from typing import Any, Final, cast
from unittest.mock import Mock

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .home_assistant import set_up
from .logs import logged_messages
from .saved_files import files_of
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.network import FaultyNetwork, close_connection
from .test_reliability import STREAM_HEAD, responding, status
from .time_machine import TimeMachine

GARBAGE: Final = b'event: \xff\x00\r\ndata: {"a":[1,\r\n\r\ndata: ' + b"x" * 300_000 + b"\r\n\r\n"

FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"respond": close_connection},
    {"respond": responding(STREAM_HEAD, then_wait=True)},
    {"respond": status("503 Busy")},
    {"is_frozen": True},
    {"mangle": lambda piece: (piece, GARBAGE)},
)

# Seconds of a fault, and of the time after it.
FAULT_LASTS, RECOVERY_LASTS = 240, 480

# Hours. Entities, buffers and sub-meters exist after the first ones.
WARM_UP, DAY = 3, 24

# Bytes by which the memory of the integration may grow. One object for each fault or reading needs more.
GROWTH: Final = 20 * 1024


@dataclass
class Home:
    """A Home Assistant with both readers, each in its own network."""

    entries: list[MockConfigEntry]
    networks: list[FaultyNetwork]
    time_machine: TimeMachine

    async def run_for(self, hours: int) -> None:
        """Inject all faults in every hour."""
        for fault in FAULTS * hours:
            for network in self.networks:
                vars(network).update(fault)
                await network.cut()
            await self.time_machine.advance(FAULT_LASTS)
            for network in self.networks:
                vars(network).update(respond=None, mangle=None, is_frozen=False)
                await network.cut()
            await self.time_machine.advance(RECOVERY_LASTS)


@pytest.fixture
async def home(hass: HomeAssistant, house: House, time_machine: TimeMachine) -> AsyncGenerator[Home]:
    """Return a home without faults."""
    # Long intervals make the test fast. A CurrentlyOne sends at least every 30 seconds.
    readers = (WhatwattSimulator(house, interval=60), CurrentlyOneSimulator(house, interval=30))
    networks = []
    entries = []
    for reader in readers:
        await reader.start(live=True)
        networks.append(await FaultyNetwork(reader).start())
        entries.append(await set_up(hass, reader, host=networks[-1].host))
    yield Home(entries, networks, time_machine)
    for entry in entries:
        await hass.config_entries.async_unload(entry.entry_id)
    for network in networks:
        await network.stop()
        await network.reader.stop()


def allocated() -> int:
    """Return the bytes that the modules of the integration have allocated."""
    # The mock of the storage keeps all data that were written.
    cast("Mock", Store._async_write_data).reset_mock()  # noqa: SLF001
    gc.collect()
    ours = tracemalloc.Filter(inclusive=True, filename_pattern="*/custom_components/energy_sse/*")
    snapshot = tracemalloc.take_snapshot().filter_traces([ours])
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


@pytest.mark.weekly
@pytest.mark.timeout(600)
async def test_day_of_faults_does_not_leak(
    hass: HomeAssistant,
    home: Home,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    caplog.set_level(logging.WARNING)
    tasks = [len(entry._background_tasks) for entry in home.entries]  # noqa: SLF001
    tracemalloc.start()
    try:
        await home.run_for(WARM_UP)
        before = allocated()
        await home.run_for(DAY - WARM_UP)
        after = allocated()
    finally:
        tracemalloc.stop()
    record_property(f"bytes after {WARM_UP} hours", before)
    record_property(f"bytes after {DAY} hours", after)
    assert after - before < GROWTH
    assert [len(entry._background_tasks) for entry in home.entries] == tasks  # noqa: SLF001
    for entry in home.entries:
        assert entry.runtime_data.coordinator.reader.stats.failures.total() >= DAY * len(FAULTS)
        assert entry.runtime_data.coordinator.data.is_streaming
    files = files_of(hass, *home.entries)
    assert max(map(len, files.values())) < 200_000
    assert logged_messages(caplog) == []
