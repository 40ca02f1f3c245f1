"""Whatever a device says, as answer or event, Home Assistant stays whole."""

from collections import Counter
import json
import logging
from typing import Any

from aiohttp import web
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.json import ExtendedJSONEncoder, json_bytes
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from custom_components.energy_sse.const import CONF_POWER_TARIFF
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import REDACTOR

from .conftest import Start
from .home_assistant import entry_for, tick
from .random_payloads import RandomPayloads
from .saved_files import files_of
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.server import Handler
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow(
    "reader/*",
    "appliances.py",
    "coordinator.py",
    "sub_meters.py",
    "diagnostics.py",
    "tests/random_payloads.py",
)

# Said in one go, and between two ends of the stream, after which the reader is asked again who and how it is.
EVENTS_AT_ONCE = 100


class TalkativeWhatwatt(WhatwattSimulator):
    """Says anything; with a licence, so that it is asked for its report while others take its stream."""

    def __init__(self, house: House, payloads: RandomPayloads) -> None:
        super().__init__(house, licence="PLUS", interval=5)
        self.payloads = payloads
        self.sub_meters = {"20000741": 123.45, "20000742": None}

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Change every answer; the id too, but seldom."""
        response = await handler(request)
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        body = self.payloads.answer(json.loads(response.body))
        if request.path == "/api/v1/system" and self.device_id.encode() not in body:
            body = self.payloads.choose(body, response.body)
        return web.Response(body=body, content_type="application/json")

    def hang_up(self) -> None:
        """End the streams."""
        self.end_streams()

    async def say(self) -> None:
        """Let the house live on, and say what comes of it in many ways."""
        await self.advance(5)
        live = self.live()
        await self.broadcast(b"".join(self.payloads.event("live", live) for _ in range(EVENTS_AT_ONCE)))


class TalkativeCurrentlyOne(CurrentlyOneSimulator):
    """Says anything, and repeats anything on connect."""

    def __init__(self, house: House, payloads: RandomPayloads) -> None:
        super().__init__(house)
        self.payloads = payloads
        self.greet()

    def hang_up(self) -> None:
        """End the streams, and prepare what the next client is told."""
        self.greet()
        self.end_streams()

    def greet(self) -> None:
        """Prepare what the next client is told."""
        config = self.payloads.event("config", json.loads(self.config()))
        if self.device_id.encode() not in config:
            config = self.payloads.choose(
                config, b"event: config\r\ndata: " + self.config().encode() + b"\r\n\r\n"
            )
        self.recording = config + b"".join(self._events())

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Change the inventory."""
        if request.path != "/api/v1/device":
            return await handler(request)
        return web.Response(body=self.payloads.answer(self.inventory()), content_type="application/json")

    async def say(self) -> None:
        """Let the house live on, and say what comes of it in many ways."""
        for _ in self.house.advance(10):
            pass
        await self.broadcast(b"".join(self._events()))

    def _events(self) -> list[bytes]:
        now = int(self.house.clock.timestamp())
        appliance = self.payloads.choose(*self.house.appliances)
        index = self.payloads.choose(*range(len(appliance.states)))
        state = appliance.states[index]
        transition = {
            "id": appliance.id,
            "bs": "ON" if state.is_on else "OFF",
            "W": state.power,
            "Wh": int(appliance.energy),
            "sec": now,
            "dName": appliance.name,
            "sName": state.name,
            "from": appliance.state.name,
            "cat": appliance.category,
        }
        detected = {"sec": now, "detected": [{"id": appliance.id, "to": index, "Wh": int(appliance.energy)}]}
        kinds: tuple[tuple[str, Any], ...] = (
            ("config", json.loads(self.config())),
            ("state", json.loads(self.state())),
            ("state", json.loads(self.state())),
            ("state", detected),
            ("transition", transition),
            ("hourly", {"sec": now, "Wh": 30_095_650, "Ph": 0}),
            ("ping", {"sec": now}),
            ("status", "online"),
            ("log", "anything"),
            ("progress", 5),
        )
        return [self.payloads.event(*self.payloads.choose(*kinds)) for _ in range(EVENTS_AT_ONCE)]


class Watch:
    """What is wrong with a Home Assistant."""

    def __init__(self, hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.errors: Counter[str] = Counter()
        self.unfit_states: list[str] = []
        """Those that some database refuses, or that its file cannot hold."""

        hass.bus.async_listen(EVENT_STATE_CHANGED, self._check)

    @callback
    def _check(self, event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is None:
            return
        json_bytes(state.as_dict())
        if not state.state.isprintable() or "\\u0000" in json.dumps(dict(state.attributes), default=str):
            self.unfit_states.append(repr(state))

    def look(self) -> None:
        """Count what was logged since the last time."""
        self.errors.update(
            f"{record.name}: {record.msg}"
            for record in self._caplog.records
            if record.levelno >= logging.ERROR
        )
        # A hundred thousand messages leave more lines than memory should hold.
        self._caplog.clear()


def task_names(entry: MockConfigEntry) -> Counter[str]:
    return Counter(task.get_name() for task in entry._background_tasks if not task.done())  # noqa: SLF001


async def until_heard(
    hass: HomeAssistant, time_machine: TimeMachine, reader: TalkativeWhatwatt | TalkativeCurrentlyOne
) -> None:
    """Wait for the next attempt, and for a reading."""
    while not reader.streams:
        await time_machine.advance(5)
    await tick(hass, reader)


@pytest.fixture
async def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Set up the recorder first, as the test package wants it."""


@pytest.fixture
def watch(
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
    every_entity_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Watch:
    """Watch a Home Assistant in which everything is enabled that there is."""
    # What is said here as the name of somebody is a word of the wire to other tests of this process.
    monkeypatch.setattr(REDACTOR, "_identities", {})
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    return Watch(hass, caplog)


@pytest.fixture(params=[TalkativeWhatwatt, TalkativeCurrentlyOne])
async def reader(
    request: pytest.FixtureRequest, house: House, start: Start
) -> TalkativeWhatwatt | TalkativeCurrentlyOne:
    """Return a reader of each kind in turn."""
    reader: TalkativeWhatwatt | TalkativeCurrentlyOne = request.param(
        house, RandomPayloads(request.config.getoption("--hypothesis-seed"))
    )
    await start(reader)
    return reader


@pytest.mark.timeout(3600)  # ends only what has failed, of however many messages
async def test_whatever_a_device_says_all_can_be_saved_and_nothing_ends_or_fills_the_log(  # noqa: PLR0917 (each is a part of the world)
    recorder_mock: None,
    hass: HomeAssistant,
    time_machine: TimeMachine,
    watch: Watch,
    reader: TalkativeWhatwatt | TalkativeCurrentlyOne,
    caplog: pytest.LogCaptureFixture,
    pytestconfig: pytest.Config,
) -> None:
    messages: int = pytestconfig.getoption("--messages")
    # The few are also written down as they are heard.
    caplog.set_level(logging.DEBUG if messages < 10_000 else logging.WARNING)
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    # With all that runs beside the stream: hours to fill, and peaks to count.
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {"enabled": True}})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await hass.async_block_till_done()
    # What looks once and is done.
    await wait_until(
        lambda: not task_names(entry).keys() & {"energy_sse sums", "energy_sse units of sub-meters"}
    )
    tasks = task_names(entry)
    stats = entry.runtime_data.coordinator.reader.stats
    answers = {f"GET {route.path}" for route in reader.routes() if route.method == "GET"}
    while stats.events.total() < messages or not answers <= set(reader.requests):
        # Short streams in a row are another client to a whatwatt: it is asked for its report then.
        while not reader.streams:
            await time_machine.advance(60)
        await reader.say()
        await time_machine.advance(5)
        reader.hang_up()
        watch.look()
    assert watch.errors == {}
    assert watch.unfit_states == []
    assert task_names(entry) >= tasks
    assert "Meter" in files_of(hass, entry)["core.config_entries"]
    assert json.dumps(await async_get_config_entry_diagnostics(hass, entry), cls=ExtendedJSONEncoder)
    coordinator = entry.runtime_data.coordinator
    assert len(list(coordinator.data.appliances)) <= 250
    assert len(coordinator.data.sub_meters.values) <= 64
    # A reader that comes to its senses is heard.
    reader.payloads.is_sane = True
    reader.hang_up()
    await until_heard(hass, time_machine, reader)
