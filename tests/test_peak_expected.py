"""Attributes of *Peak expected* that the blueprint *Stay below the peak* reads."""

from homeassistant.core import HomeAssistant

from custom_components.energy_sse.const import PowerTariffKey as K

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator
from .tariffs import add_tariff, tariff_state
from .wait import wait_until


async def test_peak_expected_has_the_sensors_of_its_tariff(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    for _ in range(2):
        await add_tariff(hass, entry)
        await hass.async_block_till_done()
        await wait_until(lambda: currentlyone.streams)
        await tick(hass, currentlyone)
    assert len(entry.subentries) == 2
    for subentry_id in entry.subentries:
        attributes = tariff_state(hass, entry, K.PEAK_EXPECTED, subentry_id).attributes
        for key in (K.EXPECTED_DEMAND, K.DEMAND_LIMIT):
            assert attributes[key] == tariff_state(hass, entry, key, subentry_id).entity_id
