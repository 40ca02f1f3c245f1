"""Tasks, timers, issues, files and objects that are left after an entry has ended."""

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

from .dialogs import change_options, open_options
from .home_assistant import entry_for
from .remaining_objects import count_objects
from .simulators import SIMULATORS, House, Simulator, WhatwattSimulator
from .simulators.server import Handler
from .tariffs import open_tariff
from .test_issues import OtherClient
from .time_machine import TimeMachine

pytestmark = pytest.mark.slow(
    "__init__.py",
    "coordinator.py",
    "store.py",
    "issues.py",
    "reader/*",
    "power_tariff/*",
    "tests/remaining_objects.py",
)

# Seconds of simulated time. The longest timeout of a first setup is one minute.
ENDS_WITHIN = 70

OPTIONS = {CONF_WRITE_INTERVAL: 30, CONF_FILL_MISSED_HOURS: True}


class Home:
    """A reader that sends by itself, and an entry of it."""

    def __init__(self, hass: HomeAssistant, reader: Simulator, time: TimeMachine) -> None:
        self.hass, self.reader, self.time = hass, reader, time
        self.entry = entry_for(reader)
        self.hanging: list[str] = []
        """Paths of the requests that get no response."""

        self.other_client: OtherClient | None = None
        self.setting_up: asyncio.Task[bool] | None = None
        self._hangs_on: str | None = None
        self._is_rejecting = False
        reader.respond = self._respond  # type: ignore[method-assign] # for this one reader

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._is_rejecting:
            challenge = {"WWW-Authenticate": 'Digest realm="reader", nonce="1", qop="auth"'}
            return web.Response(status=401, headers=challenge)
        if self._hangs_on is not None and request.path.endswith(self._hangs_on):
            self.hanging.append(request.path)
            await asyncio.Event().wait()
        return await handler(request)

    @property
    def coordinator(self) -> EnergySseCoordinator:
        coordinator = self.entry.runtime_data.coordinator
        assert isinstance(coordinator, EnergySseCoordinator)
        return coordinator

    def begin_setup(self, **options: Any) -> None:
        self.entry.add_to_hass(self.hass)
        self.hass.config_entries.async_update_entry(self.entry, options=options)
        self.setting_up = asyncio.create_task(self.hass.config_entries.async_setup(self.entry.entry_id))

    async def set_up(self, **options: Any) -> None:
        self.begin_setup(**options)
        await self.pass_until(lambda: self.entry.state is ConfigEntryState.LOADED)
        await self.time.advance(20)
        assert self.hass.states.async_entity_ids_count() > 10

    async def pass_until(self, condition: Callable[[], object]) -> None:
        for _ in range(400):
            if condition():
                return
            await self.time.advance(1)
        pytest.fail("the condition is not met within 400 seconds")

    async def hang(self, path: str) -> None:
        """Stop responding to requests for a path, and wait for one."""
        self._hangs_on = path
        await self.pass_until(lambda: self.hanging)

    def reject_password(self) -> None:
        self._is_rejecting = True
        self.reader.end_streams()

    def become_another_device(self) -> None:
        self.reader.device_id = "ECC9FF8A2B30"
        self.reader.end_streams()


@pytest.fixture(params=["whatwatt"])
async def home(
    hass: HomeAssistant,
    house: House,
    time_machine: TimeMachine,
    *,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> AsyncGenerator[Home]:
    # A log record with an error keeps the objects in its traceback.
    caplog.set_level(logging.ERROR)
    for logger in ("custom_components.energy_sse", "homeassistant", "aiohttp", "asyncio"):
        caplog.set_level(logging.ERROR, logger)
    # With a license, the values are polled while another client has the stream.
    options: dict[str, Any] = {"whatwatt": {"license_type": "PLUS"}}.get(request.param, {})
    reader = SIMULATORS[request.param](house, interval=5, **options)
    await reader.start(live=True)
    home = Home(hass, reader, time_machine)
    yield home
    if home.other_client is not None:
        await home.other_client.stop()
    await reader.stop()


# -------------------------------------------------------------------------------------- states of an entry


async def streaming(home: Home) -> None:
    await home.set_up()


async def following_a_tariff(home: Home) -> None:
    await home.set_up(**OPTIONS, **{CONF_POWER_TARIFF: {"enabled": True}})


async def connecting(home: Home) -> None:
    home.begin_setup()
    await home.hang("")


async def unreachable_at_the_start(home: Home) -> None:
    await home.reader.stop()
    home.begin_setup()
    await home.pass_until(lambda: home.entry.state is ConfigEntryState.SETUP_RETRY)


async def rejected_at_the_start(home: Home) -> None:
    home.reject_password()
    home.begin_setup()
    await home.pass_until(home.hass.config_entries.flow.async_progress)


async def rejected(home: Home) -> None:
    await home.set_up()
    home.reject_password()
    await home.pass_until(lambda: home.coordinator.connection_state is ConnectionState.AUTH_FAILED)


async def waiting(home: Home) -> None:
    await home.set_up()
    await home.reader.stop()
    await home.pass_until(lambda: home.coordinator.connection_state is ConnectionState.WAITING)


async def contended(home: Home) -> None:
    await home.set_up()
    home.other_client = OtherClient(home.reader)
    await home.pass_until(lambda: home.coordinator.connection_state is ConnectionState.CONTENDED)


async def polling(home: Home) -> None:
    await contended(home)
    await home.hang("/report")


async def asking_for_the_status(home: Home) -> None:
    await home.set_up()
    home.reader.stop_meter()
    await home.hang("/system")


async def asking_for_the_inventory(home: Home) -> None:
    home.begin_setup()
    await home.hang("/device")


async def without_credentials(home: Home) -> None:
    await home.set_up()
    home.become_another_device()
    await home.pass_until(lambda: ir.async_get(home.hass).issues)


async def another_device_at_the_start(home: Home) -> None:
    home.become_another_device()
    home.begin_setup()
    await home.pass_until(lambda: ir.async_get(home.hass).issues)


async def option_change(home: Home) -> None:
    await home.set_up()
    result = await change_options(home.hass, home.entry, "updates", **{CONF_WRITE_INTERVAL: "60"})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def open_dialogs(home: Home) -> None:
    await home.set_up()
    await open_options(home.hass, home.entry, "updates")
    await open_tariff(home.hass, home.entry)
    await home.entry.start_reconfigure_flow(home.hass)


CASES = [
    *(
        pytest.param("whatwatt", each, id=f"whatwatt {each.__name__}")
        for each in (
            streaming,
            following_a_tariff,
            connecting,
            unreachable_at_the_start,
            rejected_at_the_start,
            rejected,
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
        for each in (streaming, following_a_tariff, connecting, asking_for_the_inventory)
    ),
]


async def end(home: Home, ways: dict[str, Callable[[], Awaitable[object]]], how: str) -> None:
    """End the entry, and wait for that and for its setup."""
    ending = asyncio.ensure_future(ways[how]())
    began = home.time.now()
    while not ending.done() or (home.setting_up is not None and not home.setting_up.done()):
        await home.time.advance(0.5)
        assert home.time.now() - began < ENDS_WITHIN
    await ending
    await home.hass.async_block_till_done()


def tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(DOMAIN)]


@pytest.mark.parametrize("how", ["disable", "remove"])
@pytest.mark.parametrize(("home", "reach_state"), CASES, indirect=["home"])
async def test_nothing_is_left_when_an_entry_ends(
    hass: HomeAssistant,
    home: Home,
    hass_storage: dict[str, Any],
    *,
    reach_state: Callable[[Home], Awaitable[None]],
    how: str,
) -> None:
    def files() -> list[str]:
        return [key for key in hass_storage if home.entry.entry_id in key]

    entries, before = hass.config_entries, count_objects()
    await reach_state(home)
    entry_id, was_loaded = home.entry.entry_id, home.entry.state is ConfigEntryState.LOADED
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "disable": lambda: entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER),
        "remove": lambda: entries.async_remove(entry_id),
    }
    await end(home, ways, how)
    assert home.entry.state is ConfigEntryState.NOT_LOADED
    assert tasks() == []
    assert home.other_client is not None or home.reader.streams == []
    assert [issue for issue in ir.async_get(hass).issues if entry_id in issue[1]] == []
    # Only the user closes a dialog that the user has opened.
    assert [
        each for each in entries.flow.async_progress() if each["context"]["source"] != SOURCE_RECONFIGURE
    ] == []
    assert [state for state in hass.states.async_all() if not state.attributes.get("restored")] == []
    if was_loaded:
        # The coordinator of a failed setup stays with its entry, for the diagnostics.
        assert count_objects() == before
    requests, stored = len(home.reader.requests), files()
    assert how == "disable" or stored == []
    if home.other_client is None:
        await home.time.advance(3600)
        assert len(home.reader.requests) == requests
    assert files() == stored


@pytest.mark.parametrize("home", ["whatwatt"], indirect=True)
async def test_issue_raised_during_an_unload_is_closed(hass: HomeAssistant, home: Home) -> None:
    await home.set_up()
    coordinator = home.coordinator

    @callback
    def send_status(_event: Event[EventStateChangedData]) -> None:
        status = ReaderStatus(values={Property.METER_STATUS: "KEY REQUIRED"})
        hass.loop.call_soon(coordinator.handle_message, status)

    # The first entity is removed.
    hass.bus.async_listen_once(EVENT_STATE_CHANGED, send_status)
    await hass.config_entries.async_unload(home.entry.entry_id)
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
