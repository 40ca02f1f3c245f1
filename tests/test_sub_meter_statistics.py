"""Statistics of a sub-meter from the first choice of its kind."""

import asyncio
from datetime import UTC, datetime

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
from .simulators import WhatwattSimulator
from .test_sub_meters import choose
from .time_machine import TimeMachine
from .wait import wait_until

METER_ID = "20000741"


@pytest.mark.parametrize("minutes", [2, 4])
async def test_sub_meter_has_statistics_after_its_first_kind(
    recorder_mock: None,
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    freezer: FrozenDateTimeFactory,
    minutes: int,
) -> None:
    freezer.move_to("2026-11-10 10:00:05")
    machine = TimeMachine(asyncio.get_running_loop(), freezer.tick)
    whatwatt.sub_meters = {METER_ID: 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await machine.advance(minutes * 60)
    await choose(hass, entry, whatwatt, **{METER_ID: "gas"})
    await wait_until(lambda: whatwatt.streams)
    sensor = state_of(hass, "sensor", f"{whatwatt.device_id}:counter:{METER_ID}").entity_id
    for index in range(4):
        while datetime.now(UTC).minute < 5 * (index + 1):
            await tick(hass, whatwatt, 10)
            await machine.advance(10)
        await async_wait_recording_done(hass)
        do_adhoc_statistics(hass, start=datetime(2026, 11, 10, 10, 5 * index, tzinfo=UTC))
        await async_wait_recording_done(hass)

    def read() -> tuple[str | None, float | None]:
        _, metadata = get_metadata(hass, statistic_ids={sensor})[sensor]
        rows = get_last_short_term_statistics(hass, 1, sensor, convert_units=False, types={"state"})
        return metadata["unit_of_measurement"], rows[sensor][0].get("state")

    assert await get_instance(hass).async_add_executor_job(read) == ("m³", 123.45)
