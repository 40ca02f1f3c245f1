"""Statistics of a sub-meter from the first choice of its kind, and the log lines about them."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
import logging

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder.statistics import get_last_short_term_statistics, get_metadata
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from .home_assistant import set_up, state_of, tick
from .logs import OURS
from .simulators import WhatwattSimulator
from .test_sub_meters import choose
from .time_machine import TimeMachine
from .wait import wait_until

METER_ID = "20000741"


class GasHome:
    """A reader with a sub-meter and a recorder, in simulated time that begins at 10:00."""

    def __init__(self, hass: HomeAssistant, reader: WhatwattSimulator, machine: TimeMachine) -> None:
        self.hass = hass
        self.reader = reader
        self.machine = machine
        self._compiled_until = 0
        """Minute of the hour."""

    async def set_up(self) -> None:
        """Set the reader up, and send the first register of the sub-meter."""
        self.reader.sub_meters = {METER_ID: 123.45}
        self.entry = await set_up(self.hass, self.reader)
        await tick(self.hass, self.reader)
        self.sensor = state_of(self.hass, "sensor", f"{self.reader.device_id}:counter:{METER_ID}").entity_id

    async def choose(self, kind: str) -> None:
        """Choose the kind of the sub-meter."""
        await choose(self.hass, self.entry, self.reader, **{METER_ID: kind})
        await wait_until(lambda: self.reader.streams)

    async def compile_statistics(self, times: int) -> None:
        """Send readings, and compile statistics after every five minutes."""
        for _ in range(times):
            end = self._compiled_until = self._compiled_until + 5
            while datetime.now(UTC).minute < end:
                await tick(self.hass, self.reader, 10)
                await self.machine.advance(10)
            await async_wait_recording_done(self.hass)
            do_adhoc_statistics(self.hass, start=datetime(2026, 11, 10, 10, end - 5, tzinfo=UTC))
            await async_wait_recording_done(self.hass)

    @property
    def has_state_class(self) -> bool:
        """True if the recorder compiles statistics of the sensor."""
        state = self.hass.states.get(self.sensor)
        assert state is not None
        return "state_class" in state.attributes

    async def statistics(self) -> tuple[str | None, float | None]:
        """Return the unit and the last register in the statistics."""

        def read() -> tuple[str | None, float | None]:
            _, metadata = get_metadata(self.hass, statistic_ids={self.sensor})[self.sensor]
            rows = get_last_short_term_statistics(
                self.hass, 1, self.sensor, convert_units=False, types={"state"}
            )
            return metadata["unit_of_measurement"], rows[self.sensor][0].get("state")

        return await get_instance(self.hass).async_add_executor_job(read)


@pytest.fixture
async def home(
    recorder_mock: None, hass: HomeAssistant, whatwatt: WhatwattSimulator, freezer: FrozenDateTimeFactory
) -> AsyncGenerator[GasHome]:
    freezer.move_to("2026-11-10 10:00:05")
    home = GasHome(hass, whatwatt, TimeMachine(asyncio.get_running_loop(), freezer.tick))
    await home.set_up()
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)


def visible_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what Home Assistant logs by default, and all lines of the integration with debug logging.

    The server of the simulated reader logs nothing in a real home.
    """
    return [
        record
        for record in caplog.records
        if record.name.startswith(OURS.name)
        or (record.levelno >= logging.WARNING and record.name != "aiohttp.access")
    ]


@pytest.mark.parametrize("minutes", [2, 4])
async def test_sub_meter_has_statistics_after_its_first_kind(
    home: GasHome, caplog: pytest.LogCaptureFixture, minutes: int
) -> None:
    caplog.set_level(logging.DEBUG, OURS.name)
    await home.machine.advance(minutes * 60)
    await home.choose("gas")
    await home.compile_statistics(4)
    assert await home.statistics() == ("m³", 123.45)
    records = visible_records(caplog)
    assert any(record.levelno == logging.DEBUG for record in records)
    assert [record for record in records if METER_ID in record.getMessage()] == []
    assert [record for record in records if not record.name.startswith(OURS.name)] == []


async def test_statistics_begin_330_s_after_the_first_kind(home: GasHome) -> None:
    await home.choose("gas")
    await home.machine.advance(200)
    # Options that are saved again load the entry again.
    await home.choose("water")
    await home.machine.advance(325)
    assert not home.has_state_class
    await home.machine.advance(10)
    assert home.has_state_class


@pytest.mark.parametrize("second", ["none", "water"])
async def test_warning_is_not_logged_when_the_kind_changes(
    home: GasHome, caplog: pytest.LogCaptureFixture, second: str
) -> None:
    await home.choose("gas")
    await home.compile_statistics(3)
    await home.choose(second)
    await home.compile_statistics(2)
    assert home.has_state_class == (second == "water")
    await home.choose("gas")
    await home.compile_statistics(3)
    assert home.has_state_class
    assert [record.getMessage() for record in visible_records(caplog) if record.levelno > logging.INFO] == []
    assert await home.statistics() == ("m³", 123.45)
