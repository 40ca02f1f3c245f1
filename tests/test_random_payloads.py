"""Random payloads: no response or event of a device causes an error."""

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

from custom_components.energy_sse.const import CONF_POWER_TARIFF
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import REDACTOR, connection

from .conftest import Start
from .home_assistant import set_up, tick
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

# Number of events in each stream.
EVENTS_AT_ONCE = 100


class RandomWhatwatt(WhatwattSimulator):
    """A whatwatt that sends random payloads. With a license, so that its report is polled."""

    def __init__(self, house: House, payloads: RandomPayloads) -> None:
        super().__init__(house, license_type="PLUS", interval=5)
        self.payloads = payloads
        self.sub_meters = {"20000741": 123.45, "20000742": None}

    async def respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Change every response, and the id rarely."""
        response = await handler(request)
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        body = self.payloads.response_body(json.loads(response.body))
        if request.path == "/api/v1/system" and self.device_id.encode() not in body:
            body = self.payloads.choose(body, response.body)
        return web.Response(body=body, content_type="application/json")

    def close(self) -> None:
        """End the streams."""
        self.end_streams()

    async def send_events(self) -> None:
        """Send changed readings."""
        await self.advance(5)
        live = self.live()
        await self.broadcast(b"".join(self.payloads.event("live", live) for _ in range(EVENTS_AT_ONCE)))


class RandomCurrentlyOne(CurrentlyOneSimulator):
    """A CurrentlyOne that sends random payloads, also at the connect."""

    def __init__(self, house: House, payloads: RandomPayloads) -> None:
        super().__init__(house)
        self.payloads = payloads
        self.prepare()

    def close(self) -> None:
        """End the streams, and prepare the first events of the next one."""
        self.prepare()
        self.end_streams()

    def prepare(self) -> None:
        """Prepare the first events of a stream."""
        config = self.payloads.event("config", json.loads(self.config()))
        if self.device_id.encode() not in config:
            config = self.payloads.choose(
                config, b"event: config\r\ndata: " + self.config().encode() + b"\r\n\r\n"
            )
        self.recording = config + b"".join(self._events())

    async def respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Change the inventory."""
        if request.path != "/api/v1/device":
            return await handler(request)
        return web.Response(
            body=self.payloads.response_body(self.inventory()), content_type="application/json"
        )

    async def send_events(self) -> None:
        """Send changed events of all types."""
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
    """Errors and invalid states of a Home Assistant."""

    def __init__(self, hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.errors: Counter[str] = Counter()
        self.invalid_states: list[str] = []
        """States that a database or a file cannot store."""

        hass.bus.async_listen(EVENT_STATE_CHANGED, self._check)

    @callback
    def _check(self, event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is None:
            return
        json_bytes(state.as_dict())
        if not state.state.isprintable() or "\\u0000" in json.dumps(dict(state.attributes), default=str):
            self.invalid_states.append(repr(state))

    def update(self) -> None:
        """Count the errors in the log, and clear it."""
        self.errors.update(
            f"{record.name}: {record.msg}"
            for record in self._caplog.records
            if record.levelno >= logging.ERROR
        )
        # The log of 100,000 messages would be too large.
        self._caplog.clear()


def task_names(entry: MockConfigEntry) -> Counter[str]:
    return Counter(task.get_name() for task in entry._background_tasks if not task.done())  # noqa: SLF001


@pytest.fixture
def watch(
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
    every_entity_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Watch:
    """Watch a Home Assistant in which every entity is enabled."""
    # Random names must not be identities in later tests.
    monkeypatch.setattr(REDACTOR, "_identities", {})
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    return Watch(hass, caplog)


@pytest.fixture(params=[RandomWhatwatt, RandomCurrentlyOne])
async def reader(
    request: pytest.FixtureRequest, house: House, start: Start
) -> RandomWhatwatt | RandomCurrentlyOne:
    """Return a reader of each kind in turn."""
    reader: RandomWhatwatt | RandomCurrentlyOne = request.param(
        house, RandomPayloads(request.config.getoption("--hypothesis-seed"))
    )
    await start(reader)
    return reader


@pytest.mark.timeout(3600)  # enough for any number of messages
async def test_random_payloads_cause_no_error(  # noqa: PLR0917 (fixtures)
    recorder_mock: None,
    hass: HomeAssistant,
    time_machine: TimeMachine,
    watch: Watch,
    reader: RandomWhatwatt | RandomCurrentlyOne,
    caplog: pytest.LogCaptureFixture,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each short stream of a whatwatt is contention, so that its report is polled.
    monkeypatch.setattr(connection, "_MAX_SHORT_STREAMS", 1)
    messages: int = pytestconfig.getoption("--messages")
    # A small number of messages is also logged.
    caplog.set_level(logging.DEBUG if messages < 10_000 else logging.WARNING)
    entry = await set_up(hass, reader, options={CONF_POWER_TARIFF: {"enabled": True}})
    await hass.async_block_till_done()
    # These tasks end.
    await wait_until(
        lambda: not task_names(entry).keys() & {"energy_sse sums", "energy_sse units of sub-meters"}
    )
    tasks = task_names(entry)
    stats = entry.runtime_data.coordinator.reader.stats
    paths = {f"GET {route.path}" for route in reader.routes() if route.method == "GET"}
    while stats.events.total() < messages or not paths <= set(reader.requests):
        while not reader.streams:
            await time_machine.advance(60)
        await reader.send_events()
        await time_machine.advance(5)
        reader.close()
        watch.update()
    assert watch.errors == {}
    assert watch.invalid_states == []
    assert task_names(entry) >= tasks
    assert "Meter" in files_of(hass, entry)["core.config_entries"]
    assert json.dumps(await async_get_config_entry_diagnostics(hass, entry), cls=ExtendedJSONEncoder)
    coordinator = entry.runtime_data.coordinator
    assert len(list(coordinator.data.appliances)) <= 250
    assert len(coordinator.data.sub_meters.values) <= 64
    # Valid payloads are processed again.
    reader.payloads.is_valid = True
    reader.close()
    while not reader.streams:
        await time_machine.advance(5)
    await tick(hass, reader)
