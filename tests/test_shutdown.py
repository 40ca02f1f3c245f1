"""Reload and stop in each state of the connection, and while the recorder is read."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
import logging
import threading
from types import ModuleType
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.energy_sse import statistics, sum_reset
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import ConnectionState

from .home_assistant import entry_for, set_up, tick
from .logs import logged_messages
from .simulators import House, WhatwattSimulator
from .simulators.network import FaultyNetwork
from .test_reliability import drip, responding, status
from .time_machine import TimeMachine
from .wait import wait_until

# Maximum seconds of simulated time for a shutdown.
SECONDS = 2


@pytest.fixture
async def network(house: House) -> AsyncGenerator[FaultyNetwork]:
    """Return the network of a whatwatt that sends by itself, and that has a password and a license."""
    reader = WhatwattSimulator(house, password="secret", license_type="PLUS")
    await reader.start(live=True)
    network = await FaultyNetwork(reader).start()
    yield network
    await network.stop()
    await reader.stop()


def set_response(respond: Callable[..., Awaitable[None]]) -> Callable[[FaultyNetwork], Awaitable[None]]:
    async def begin(network: FaultyNetwork) -> None:
        network.respond = respond
        await network.cut()

    return begin


async def nothing(_network: FaultyNetwork) -> None:
    pass


@pytest.mark.parametrize("how", ["reload", "stop"])
@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (nothing, ConnectionState.STREAMING),
        (FaultyNetwork.stop, ConnectionState.WAITING),
        (FaultyNetwork.ignore_connections, ConnectionState.CONNECTING),
        (set_response(responding(b"", then_wait=True)), ConnectionState.CONNECTING),
        (set_response(drip), ConnectionState.CONNECTING),
        (set_response(status("401 Unauthorized")), ConnectionState.AUTH_FAILED),
    ],
    ids=["streaming", "waiting", "connecting", "no response", "slow headers", "rejected"],
)
async def test_entry_is_unloaded_at_once_in_any_connection_state(
    hass: HomeAssistant,
    network: FaultyNetwork,
    time_machine: TimeMachine,
    *,
    fault: Callable[[FaultyNetwork], Awaitable[None]],
    state: ConnectionState,
    how: str,
) -> None:
    assert isinstance(network.reader, WhatwattSimulator)
    entry = await set_up(hass, network.reader, host=network.host)
    await time_machine.advance(20)
    await fault(network)
    coordinator = entry.runtime_data.coordinator
    for _ in range(100):
        await time_machine.advance(0.5)
        if coordinator.connection_state is state:
            break
    assert coordinator.connection_state is state
    streams = [task for task in asyncio.all_tasks() if task.get_name() == f"{DOMAIN} stream"]
    ending: asyncio.Future[object] = asyncio.ensure_future(
        hass.async_stop(force=True) if how == "stop" else hass.config_entries.async_reload(entry.entry_id)
    )
    await wait_until(lambda: all(stream.done() for stream in streams), within=SECONDS)
    if how == "reload":
        # The next setup waits for the reader.
        await network.stop()
        network.respond = None
        await network.start(network.port)
        while entry.state is not ConfigEntryState.LOADED:
            await time_machine.advance(10)
        await hass.config_entries.async_unload(entry.entry_id)
    await wait_until(ending.done, within=SECONDS)
    # The test package finds lingering tasks, timers and sockets.


@pytest.mark.parametrize(
    "respond", [responding(b"", then_wait=True), drip], ids=["no response", "slow headers"]
)
async def test_home_assistant_stops_at_once_during_a_setup(
    hass: HomeAssistant,
    network: FaultyNetwork,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    respond: Callable[..., Awaitable[None]],
) -> None:
    network.respond = respond
    entry = entry_for(network.reader, host=network.host)
    entry.add_to_hass(hass)
    setting_up = hass.async_create_task(hass.config_entries.async_setup(entry.entry_id))
    await wait_until(
        lambda: hasattr(entry, "runtime_data") and entry.runtime_data.coordinator.reader.stats.attempts
    )
    assert not setting_up.done()
    assert (await async_get_config_entry_diagnostics(hass, entry))["stream"]["attempts"] == 1
    stopping = asyncio.create_task(hass.async_stop(force=True))
    await wait_until(lambda: stopping.done() and setting_up.done(), within=SECONDS)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert logged_messages(caplog, logging.WARNING) == []


class SlowRead:
    """Function that reads from the recorder, and ends only when `may_end` is set."""

    def __init__(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self._read: Callable[..., object] = module._read  # noqa: SLF001
        monkeypatch.setattr(module, "_read", self)

    def __call__(self, *args: Any) -> object:
        self.has_begun.set()
        self.may_end.wait(10)
        return self._read(*args)


@pytest.mark.parametrize("module", [sum_reset, statistics])
async def test_stop_logs_no_error_during_a_read(
    recorder_mock: None,
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
) -> None:
    """Home Assistant does not wait for a read when it stops the recorder."""
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    read = SlowRead(module, monkeypatch)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=11))
    await wait_until(read.has_begun.is_set)
    recorder = get_instance(hass)
    stopping = asyncio.create_task(hass.async_stop(force=True))
    await wait_until(lambda: recorder.engine is None)
    read.may_end.set()
    await stopping
    assert logged_messages(caplog, logging.WARNING) == []


@pytest.mark.parametrize("how", ["unload", "reload", "remove"])
async def test_entry_ends_during_a_read(
    recorder_mock: None,
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    read = SlowRead(statistics, monkeypatch)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=11))
    await wait_until(read.has_begun.is_set)
    entries = hass.config_entries
    ways = {"unload": entries.async_unload, "reload": entries.async_reload, "remove": entries.async_remove}
    assert await ways[how](entry.entry_id)
    assert entry.state is (ConfigEntryState.LOADED if how == "reload" else ConfigEntryState.NOT_LOADED)
    read.may_end.set()
    await hass.async_block_till_done()
    assert logged_messages(caplog, logging.WARNING) == []


async def test_hour_of_failures_logs_two_lines(
    hass: HomeAssistant,
    network: FaultyNetwork,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert isinstance(network.reader, WhatwattSimulator)
    await set_up(hass, network.reader, host=network.host)
    await time_machine.advance(120)
    caplog.clear()
    for _ in range(4):
        await network.stop()
        await time_machine.advance(450)
        await network.start(network.port)
        network.respond = status("500 Oops")
        await time_machine.advance(450)
        network.respond = None
    await time_machine.advance(450)
    assert logged_messages(caplog) == [
        "Meter sends no readings: connection refused",
        "Meter sends readings again",
    ]
