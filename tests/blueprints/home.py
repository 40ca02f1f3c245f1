"""A simulated reader, and Home Assistant with automations from blueprints."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
import json
import logging
from pathlib import Path
import shutil
from typing import Any, Final

from freezegun import freeze_time
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import CoreState, HomeAssistant, ServiceCall, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import DOMAIN

from ..home_assistant import entity_id, tick
from ..simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from ..time_machine import TimeMachine
from ..wait import wait_until

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "blueprints/automation" / DOMAIN

# Seconds between readings. It is shorter than any freshness, so that the values stay available.
STEP: Final = 20.0


# A minute past an hour.
BEGIN: Final = datetime(2026, 11, 15, 11, 1, tzinfo=UTC)


@contextmanager
def simulated_time(caplog: pytest.LogCaptureFixture, begin: datetime = BEGIN) -> Iterator[TimeMachine]:
    """Control all clocks, and start them at `begin`."""
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # It does not support a stopped wall clock.
    with freeze_time(begin) as wall_clock:
        yield TimeMachine(asyncio.get_running_loop(), wall_clock.tick)


class Home[R: WhatwattSimulator | CurrentlyOneSimulator]:
    """A home with a reader, in simulated time."""

    def __init__(self, hass: HomeAssistant, reader: R, time_machine: TimeMachine) -> None:
        self.hass = hass
        self.reader: R = reader
        self._time_machine = time_machine
        self._blueprint: dict[str, Any] = {}

    async def advance(self, seconds: float) -> None:
        """Advance the time without a reading."""
        await self._time_machine.advance(seconds)

    async def run(self, minutes: float) -> None:
        """Advance the time, with readings."""
        for _ in range(round(minutes * 60 / STEP)):
            await self.advance(STEP)
            self.set_power()
            await tick(self.hass, self.reader, STEP)

    def set_power(self) -> None:
        """Set the power of the next reading."""

    async def disconnect_reader(self, minutes: float) -> None:
        """Disconnect the reader for some time."""
        port = self.reader.port
        await self.reader.stop()
        await self.advance(minutes * 60)
        assert self.hass.states.is_state(self.entity("_active_power_net"), STATE_UNAVAILABLE)
        await self.reader.advance(minutes * 60)
        await self.reconnect_reader(port)

    async def reconnect_reader(self, port: int) -> None:
        """Connect the reader again."""
        await self.reader.start(port)
        entry = self.hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, self.reader.device_id)
        assert entry is not None
        # Its announcement ends the wait for the next attempt.
        entry.runtime_data.coordinator.async_handle_announcement(self.reader.host)
        await wait_until(lambda: self.reader.streams)
        await tick(self.hass, self.reader)

    def entity(self, key: str, platform: str = "sensor") -> str:
        """Return one of the reader's entities."""
        found = entity_id(self.hass, platform, self.reader.device_id + key)
        assert found is not None
        return found

    async def show_in(self, entity: str, unit: str) -> None:
        """Choose another unit for an entity."""
        options = {"unit_of_measurement": unit}
        er.async_get(self.hass).async_update_entity_options(entity, "sensor", options)
        await tick(self.hass, self.reader)

    async def automate(self, blueprint: str, **inputs: Any) -> list[dict[str, Any]]:
        """Add an automation from a blueprint. Return a list that fills with the data of its actions.

        Actions are that data, or a list of other actions.
        """
        shutil.copytree(FOLDER, self.hass.config.path("blueprints/automation", DOMAIN), dirs_exist_ok=True)
        calls: list[dict[str, Any]] = []

        @callback
        def record(call: ServiceCall) -> None:
            calls.append(dict(call.data))

        self.hass.services.async_register("test", "record", record)
        recorded = {
            name: [{"action": "test.record", "data": data}]
            for name, data in inputs.items()
            if name.endswith("actions") and isinstance(data, dict)
        }
        self._blueprint = {"path": f"{DOMAIN}/{blueprint}.yaml", "input": {**inputs, **recorded}}
        config = {"automation": [{"use_blueprint": self._blueprint}]}
        assert await async_setup_component(self.hass, "automation", config)
        assert [state.state for state in self.hass.states.async_all("automation")] == ["on"]
        return calls

    async def automate_at_start(self, blueprint: str, **inputs: Any) -> list[dict[str, Any]]:
        """Add an automation, and start Home Assistant after it."""
        self.hass.set_state(CoreState.not_running)
        calls = await self.automate(blueprint, **inputs)
        await self.hass.async_start()
        return calls

    async def change_automation(self, **inputs: Any) -> None:
        """Change inputs of the automation, as its editor does."""
        self._blueprint["input"] |= inputs
        await self.reload_automations()

    async def reload_automations(self) -> None:
        """Reload all automations, as after a change of another one."""
        # Valid JSON is valid YAML.
        config = json.dumps({"automation": [{"use_blueprint": self._blueprint}]})
        file = Path(self.hass.config.path("configuration.yaml"))
        await self.hass.async_add_executor_job(file.write_text, config)
        await self.hass.services.async_call("automation", "reload", blocking=True)

    async def stop_automations(self) -> None:
        """Stop all automations, and their waits."""
        await self.hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)


class ControlledHouse(House):
    """A house with values that a test sets."""

    shown_power = 300.0
    shown_currents: tuple[float, float, float] | None = None
    """Signed A per phase at 230 V, instead of equal shares of the power."""

    shown_voltages = (230.0, 230.0, 230.0)
    shown_tariff = 1

    @property
    def tariff(self) -> int:
        return self.shown_tariff

    def _measure(self) -> None:
        super()._measure()
        self.power = [self.shown_power / 3] * 3
        if self.shown_currents is not None:
            self.power = [230 * amperes for amperes in self.shown_currents]
        # Each reading differs, because tests wait for it.
        noise = self._random.uniform(0, 0.5)
        self.voltage = [volts + noise for volts in self.shown_voltages]


class MeterHome(Home[WhatwattSimulator]):
    """A home with meter values that a test sets."""

    @property
    def meter(self) -> ControlledHouse:
        assert isinstance(self.reader.house, ControlledHouse)
        return self.reader.house

    def phases(self, key: str) -> list[str]:
        return [self.entity(f"_{key}_l{phase}") for phase in (1, 2, 3)]
