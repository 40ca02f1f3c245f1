"""Nothing of an entry is left when it ends, whatever was happening."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
import logging
from typing import Any

from aiohttp import web
from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_POWER_TARIFF,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)
from custom_components.energy_sse.coordinator import EnergySseCoordinator
from custom_components.energy_sse.reader import ConnectionState, Property, ReaderStatus

from .home_assistant import entry_for
from .leftovers import living_objects
from .simulators import SIMULATORS, House, Simulator, WhatwattSimulator
from .simulators.server import Handler
from .test_issues import Rival
from .time_machine import TimeMachine

pytestmark = pytest.mark.slow(
    "__init__.py",
    "coordinator.py",
    "store.py",
    "issues.py",
    "reader/*",
    "power_tariff/*",
    "tests/leftovers.py",
)

# Seconds of simulated time. The longest timeout of a first set-up is one minute.
ENDS_WITHIN = 70

OPTIONS = {CONF_WRITE_INTERVAL: 30, CONF_FILL_MISSED_HOURS: True}


class World:
    """A reader that sends by itself, and an entry of it."""

    def __init__(self, hass: HomeAssistant, reader: Simulator, time: TimeMachine) -> None:
        self.hass, self.reader, self.time = hass, reader, time
        self.entry = entry_for(reader)
        self.asked: list[str] = []
        """Paths of the requests that get no response."""

        self.rival: Rival | None = None
        self.setting_up: asyncio.Task[bool] | None = None
        self._hangs_on: str | None = None
        self._is_refused = False
        reader.answer = self._answer  # type: ignore[method-assign] # for this one reader

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._is_refused:
            challenge = {"WWW-Authenticate": 'Digest realm="reader", nonce="1", qop="auth"'}
            return web.Response(status=401, headers=challenge)
        if self._hangs_on is not None and request.path.endswith(self._hangs_on):
            self.asked.append(request.path)
            await asyncio.Event().wait()
        return await handler(request)

    @property
    def coordinator(self) -> EnergySseCoordinator:
        coordinator = self.entry.runtime_data.coordinator
        assert isinstance(coordinator, EnergySseCoordinator)
        return coordinator

    def begin_set_up(self, **options: Any) -> None:
        self.entry.add_to_hass(self.hass)
        self.hass.config_entries.async_update_entry(self.entry, options=options)
        self.setting_up = asyncio.create_task(self.hass.config_entries.async_setup(self.entry.entry_id))

    async def set_up(self, **options: Any) -> None:
        self.begin_set_up(**options)
        await self.pass_until(lambda: self.entry.state is ConfigEntryState.LOADED)
        await self.time.advance(20)
        assert self.hass.states.async_entity_ids_count() > 10

    async def pass_until(self, condition: Callable[[], object]) -> None:
        for _ in range(400):
            if condition():
                return
            await self.time.advance(1)
        pytest.fail("it does not happen")

    async def hang(self, path: str) -> None:
        """Let requests for a path hang, and wait for one."""
        self._hangs_on = path
        await self.pass_until(lambda: self.asked)

    def refuse(self) -> None:
        self._is_refused = True
        self.reader.end_streams()

    def become_another_device(self) -> None:
        self.reader.device_id = "ECC9FF8A2B30"
        self.reader.end_streams()


@pytest.fixture(params=["whatwatt"])
async def world(
    hass: HomeAssistant,
    house: House,
    time_machine: TimeMachine,
    *,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> AsyncGenerator[World]:
    # A record with an error holds all that the error came by.
    caplog.set_level(logging.ERROR)
    for logger in ("custom_components.energy_sse", "homeassistant", "aiohttp", "asyncio"):
        caplog.set_level(logging.ERROR, logger)
    # With a license, the values are polled while another client has the stream.
    options: dict[str, Any] = {"whatwatt": {"licence": "PLUS"}}.get(request.param, {})
    reader = SIMULATORS[request.param](house, interval=5, **options)
    await reader.start(live=True)
    world = World(hass, reader, time_machine)
    yield world
    if world.rival is not None:
        await world.rival.leave()
    await reader.stop()


# ----------------------------------------------------------------------------- what is happening meanwhile


async def streaming(world: World) -> None:
    await world.set_up()


async def following_a_tariff(world: World) -> None:
    await world.set_up(**OPTIONS, **{CONF_POWER_TARIFF: {"enabled": True}})


async def first_contact(world: World) -> None:
    world.begin_set_up()
    await world.hang("")


async def unreachable_at_the_start(world: World) -> None:
    await world.reader.stop()
    world.begin_set_up()
    await world.pass_until(lambda: world.entry.state is ConfigEntryState.SETUP_RETRY)


async def refused_at_the_start(world: World) -> None:
    world.refuse()
    world.begin_set_up()
    await world.pass_until(world.hass.config_entries.flow.async_progress)


async def refused(world: World) -> None:
    await world.set_up()
    world.refuse()
    await world.pass_until(lambda: world.coordinator.connection_state is ConnectionState.AUTH_FAILED)


async def waiting(world: World) -> None:
    await world.set_up()
    await world.reader.stop()
    await world.pass_until(lambda: world.coordinator.connection_state is ConnectionState.WAITING)


async def contended(world: World) -> None:
    await world.set_up()
    world.rival = Rival(world.reader)
    await world.pass_until(lambda: world.coordinator.connection_state is ConnectionState.CONTENDED)


async def polling(world: World) -> None:
    await contended(world)
    await world.hang("/report")


async def asking_for_the_status(world: World) -> None:
    await world.set_up()
    world.reader.stop_meter()
    await world.hang("/system")


async def asking_for_the_inventory(world: World) -> None:
    world.begin_set_up()
    await world.hang("/device")


async def without_credentials(world: World) -> None:
    await world.set_up()
    world.become_another_device()
    await world.pass_until(lambda: ir.async_get(world.hass).issues)


async def another_device_at_the_start(world: World) -> None:
    world.become_another_device()
    world.begin_set_up()
    await world.pass_until(lambda: ir.async_get(world.hass).issues)


async def option_change(world: World) -> None:
    await world.set_up()
    options = world.hass.config_entries.options
    form = await options.async_init(world.entry.entry_id)
    choice = OPTIONS | {CONF_WRITE_INTERVAL: "60"}
    result = await options.async_configure(form["flow_id"], choice)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def open_dialogs(world: World) -> None:
    await world.set_up()
    await world.hass.config_entries.options.async_init(world.entry.entry_id)
    await world.entry.start_reconfigure_flow(world.hass)


CASES = [
    *(
        pytest.param("whatwatt", each, id=f"whatwatt {each.__name__}")
        for each in (
            streaming,
            following_a_tariff,
            first_contact,
            unreachable_at_the_start,
            refused_at_the_start,
            refused,
            waiting,
            contended,
            polling,
            asking_for_the_status,
            without_credentials,
            another_device_at_the_start,
            option_change,
            open_dialogs,
        )
    ),
    *(
        pytest.param("currentlyone", each, id=f"CurrentlyOne {each.__name__}")
        for each in (streaming, following_a_tariff, first_contact, asking_for_the_inventory)
    ),
]


async def end(world: World, ways: dict[str, Callable[[], Awaitable[object]]], how: str) -> None:
    """End the entry, and wait for it and for what was going on."""
    ending = asyncio.ensure_future(ways[how]())
    began = world.time.now()
    while not ending.done() or (world.setting_up is not None and not world.setting_up.done()):
        await world.time.advance(0.5)
        assert world.time.now() - began < ENDS_WITHIN
    await ending
    await world.hass.async_block_till_done()


def tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(DOMAIN)]


@pytest.mark.parametrize("how", ["disable", "remove"])
@pytest.mark.parametrize(("world", "happens"), CASES, indirect=["world"])
async def test_nothing_is_left_when_an_entry_ends(
    hass: HomeAssistant,
    world: World,
    hass_storage: dict[str, Any],
    *,
    happens: Callable[[World], Awaitable[None]],
    how: str,
) -> None:
    def files() -> list[str]:
        return [key for key in hass_storage if world.entry.entry_id in key]

    entries, before = hass.config_entries, living_objects()
    await happens(world)
    entry_id, was_loaded = world.entry.entry_id, world.entry.state is ConfigEntryState.LOADED
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "disable": lambda: entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER),
        "remove": lambda: entries.async_remove(entry_id),
    }
    await end(world, ways, how)
    assert world.entry.state is ConfigEntryState.NOT_LOADED
    assert tasks() == []
    assert world.rival is not None or world.reader.streams == []
    assert [issue for issue in ir.async_get(hass).issues if entry_id in issue[1]] == []
    # A dialog that the user has opened is the user's.
    assert [
        each for each in entries.flow.async_progress() if each["context"]["source"] != SOURCE_RECONFIGURE
    ] == []
    assert [state for state in hass.states.async_all() if not state.attributes.get("restored")] == []
    if was_loaded:
        # A coordinator that could not be set up stays with its entry, for the diagnostics.
        assert living_objects() == before
    requests, stored = len(world.reader.requests), files()
    assert how == "disable" or stored == []
    if world.rival is None:
        await world.time.advance(3600)
        assert len(world.reader.requests) == requests
    assert files() == stored


@pytest.mark.parametrize("world", ["whatwatt"], indirect=True)
async def test_issue_that_is_raised_during_an_unload_is_closed(hass: HomeAssistant, world: World) -> None:
    await world.set_up()
    coordinator = world.coordinator

    @callback
    def send_status(_event: Event[EventStateChangedData]) -> None:
        status = ReaderStatus(values={Property.METER_STATUS: "KEY REQUIRED"})
        hass.loop.call_soon(coordinator.handle_message, status)

    # The first entity is removed.
    hass.bus.async_listen_once(EVENT_STATE_CHANGED, send_status)
    await hass.config_entries.async_unload(world.entry.entry_id)
    assert list(ir.async_get(hass).issues) == []


async def test_repair_of_a_removed_entry_ends(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    assert await async_setup_component(hass, "repairs", {})
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    whatwatt.device_id = "ECC9FF8A2B30"
    await hass.config_entries.async_setup(entry.entry_id)
    ((_, issue_id),) = ir.async_get(hass).issues
    repairs = hass.data[REPAIRS]["flow_manager"]
    form = await repairs.async_init(DOMAIN, data={"issue_id": issue_id})
    await hass.config_entries.async_remove(entry.entry_id)
    result = await repairs.async_configure(form["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert hass.config_entries.flow.async_progress() == []
