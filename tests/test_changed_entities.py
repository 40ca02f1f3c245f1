"""Statistics of sensors that the user renames, disables or removes, or whose unit the user changes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest

from .conftest import MakeTimeLapse
from .home_assistant import set_up, settle
from .simulators import CurrentlyOneSimulator
from .test_backfill import at, check_hours, run_past_hours
from .time_lapse import REGISTERS, TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow("statistics.py", "sensor.py", "entity.py", "devices.py", "tests/time_lapse.py"),
]


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    async with make_time_lapse(None) as time_lapse:
        yield time_lapse


def sensors(time_lapse: TimeLapse) -> list[str]:
    return [time_lapse.sensor(register) for register in REGISTERS]


def change(time_lapse: TimeLapse, **changes: Any) -> None:
    for sensor in sensors(time_lapse):
        er.async_get(time_lapse.hass).async_update_entity(sensor, **changes)


async def rename(time_lapse: TimeLapse) -> None:
    for sensor in sensors(time_lapse):
        er.async_get(time_lapse.hass).async_update_entity(sensor, new_entity_id=f"{sensor}_renamed")


async def choose_unit(time_lapse: TimeLapse) -> None:
    options = {"unit_of_measurement": "MWh", "display_precision": 0}
    for sensor in sensors(time_lapse):
        er.async_get(time_lapse.hass).async_update_entity_options(sensor, "sensor", options)


async def choose_device_class(time_lapse: TimeLapse) -> None:
    change(time_lapse, device_class="energy_storage", name="Mine", icon="mdi:sun")


async def disable(time_lapse: TimeLapse) -> None:
    change(time_lapse, disabled_by=er.RegistryEntryDisabler.USER)
    await time_lapse.run_for(hours=2)
    change(time_lapse, disabled_by=None)
    # Home Assistant reloads the entry.
    await time_lapse.run_for(minutes=1)


async def remove(time_lapse: TimeLapse) -> None:
    for sensor in sensors(time_lapse):
        er.async_get(time_lapse.hass).async_remove(sensor)
    await time_lapse.run_for(hours=2)
    await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)


@pytest.mark.parametrize("make_change", [rename, choose_unit, choose_device_class, disable, remove])
@pytest.mark.parametrize("is_offline", [False, True], ids=["streaming", "outage"])
async def test_hours_are_right_after_a_change_of_the_sensor(
    time_lapse: TimeLapse, make_change: Callable[[TimeLapse], Awaitable[None]], *, is_offline: bool
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:57:20"))
    if is_offline:
        await time_lapse.disconnect_reader()
        await time_lapse.run_until(at("08:41:20"))
    await make_change(time_lapse)
    await time_lapse.settle()
    if is_offline:
        await time_lapse.run_until(at("11:41:20"))
        await time_lapse.reconnect_reader()
    await run_past_hours(time_lapse, 2)
    assert (await check_hours(time_lapse, at("06:00:00"))).missed < 1e-3


async def test_device_keeps_the_name_and_area_that_the_user_chose(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, device_registry: dr.DeviceRegistry
) -> None:
    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("dishwasher", "washing")
    await settle(hass, entry, currentlyone)
    for device in dr.async_entries_for_config_entry(device_registry, entry.entry_id):
        device_registry.async_update_device(device.id, name_by_user="Mine", area_id="cellar", labels={"old"})
    await currentlyone.switch("dishwasher", "off")
    await settle(hass, entry, currentlyone)
    await hass.config_entries.async_reload(entry.entry_id)
    await settle(hass, entry, currentlyone)
    devices = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert len(devices) == 4
    chosen = {(device.name_by_user, device.area_id, *device.labels) for device in devices}
    assert chosen == {("Mine", "cellar", "old")}
