"""Two entries of one reader, which only a change of the stored entries can cause."""

from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey

from .conftest import MakeTimeLapse
from .home_assistant import entity_id, entry_for, state_of, tick
from .simulators import CurrentlyOneSimulator
from .test_backfill import at, run_past_hours
from .time_lapse import REGISTERS
from .wait import wait_until

pytestmark = pytest.mark.slow("entity.py", "devices.py", "statistics.py", "power_tariff/tracker.py")

_, EXPORT = REGISTERS


async def set_up_twice(
    hass: HomeAssistant, reader: CurrentlyOneSimulator
) -> tuple[MockConfigEntry, MockConfigEntry]:
    """Set up a reader twice. Only the first entry has a power tariff, and the entities."""
    one, two = entry_for(reader), entry_for(reader)
    one.add_to_hass(hass)
    hass.config_entries.async_update_entry(one, options={CONF_POWER_TARIFF: {"enabled": True}})
    assert await hass.config_entries.async_setup(one.entry_id)
    await wait_until(lambda: len(reader.streams) == 1)
    await tick(hass, reader)
    two.add_to_hass(hass)
    assert await hass.config_entries.async_setup(two.entry_id)
    await wait_until(lambda: len(reader.streams) == 2)
    await tick(hass, reader)
    await hass.async_block_till_done()
    return one, two


async def test_second_entry_does_not_affect_the_first(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    _, two = await set_up_twice(hass, currentlyone)
    assert entity_id(hass, "sensor", f"{currentlyone.device_id}_{PowerTariffKey.DEMAND}") is not None
    before = hass.states.async_entity_ids_count()
    await hass.config_entries.async_remove(two.entry_id)
    assert hass.states.async_entity_ids_count() == before
    await tick(hass, currentlyone)
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_voltage_l1").state != "unavailable"


async def test_second_entry_has_the_entities_once_the_first_is_removed(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    one, two = await set_up_twice(hass, currentlyone)
    await hass.config_entries.async_set_disabled_by(one.entry_id, ConfigEntryDisabler.USER)
    await hass.config_entries.async_remove(one.entry_id)
    await hass.config_entries.async_reload(two.entry_id)
    await wait_until(lambda: len(currentlyone.streams) == 1)
    await tick(hass, currentlyone)
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_voltage_l1").state != "unavailable"


async def test_statistics_are_corrected_by_one_of_two_entries(make_time_lapse: MakeTimeLapse) -> None:
    async with make_time_lapse(None) as time_lapse:
        await time_lapse.start()
        other = entry_for(time_lapse.reader)
        other.add_to_hass(time_lapse.hass)
        assert await time_lapse.hass.config_entries.async_setup(other.entry_id)
        await time_lapse.run_until(at("08:06:30"))
        time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
        await run_past_hours(time_lapse, 3)
        (replacement,) = time_lapse.entry.runtime_data.coordinator.histories.by_register[EXPORT].replacements
        assert replacement.first > 50
        hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
        old = replacement.last - truth[at("08:00:00")]
        new = time_lapse.received[EXPORT][at("09:00:00")] - replacement.first
        assert hours[at("08:00:00")].change == pytest.approx(old + new, abs=1.001)
