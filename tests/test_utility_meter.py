"""Home Assistant's utility meter helper over an absence of the reader."""

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.reader import Measurement as M

from .simulators import Simulator
from .test_update_interval import Home
from .wait import wait_until


@pytest.mark.parametrize(("is_resetting", "counted"), [(True, 3.0), (False, 6.0)])
async def test_utility_meter_counts_an_outage(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    any_reader: Simulator,
    *,
    is_resetting: bool,
    counted: float,
) -> None:
    home = Home(hass, freezer, any_reader)
    await home.set_up(5)
    meter = {"source": home.sensor(M.ACTIVE_ENERGY_IMPORT), "periodically_resetting": is_resetting}
    assert await async_setup_component(hass, "utility_meter", {"utility_meter": {"used": meter}})
    await hass.async_block_till_done()
    registers = any_reader.house.active_import
    await home.send()
    for _ in range(3):
        registers[1] += 1000
        await home.advance(10)
        await home.send()
    await any_reader.stop()
    registers[1] += 3000
    await home.advance(200)
    assert home.shown(M.ACTIVE_ENERGY_IMPORT) == "unavailable"
    await any_reader.start(any_reader.port)
    while not any_reader.streams:
        await home.advance(10)
    await home.send()
    await wait_until(lambda: home.shown(M.ACTIVE_ENERGY_IMPORT) != "unavailable")
    state = hass.states.get("sensor.used")
    assert state is not None
    assert float(state.state) == pytest.approx(counted, abs=0.01)
    await hass.config_entries.async_unload(home.entry.entry_id)
