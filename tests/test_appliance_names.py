"""Names and entity ids of the appliances of a new reader."""

from homeassistant.core import HomeAssistant
import pytest

from .home_assistant import entity_id, set_up, tick
from .simulators import CurrentlyOneSimulator
from .wait import wait_until


@pytest.mark.parametrize("appliance", ["mocca_mast", "dishwasher", "heat_pump"])
async def test_entity_id_has_the_name_of_its_appliance(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, appliance: str
) -> None:
    await set_up(hass, currentlyone)
    await wait_until(
        lambda: entity_id(hass, "binary_sensor", f"{currentlyone.device_id}:{appliance}:running")
    )
    await tick(hass, currentlyone)
    name = "mocca_master" if appliance == "mocca_mast" else appliance
    for platform, key, suffix in (
        ("binary_sensor", "running", "running"),
        ("sensor", "power", "power"),
        ("event", "transition", "state_change"),
    ):
        found = entity_id(hass, platform, f"{currentlyone.device_id}:{appliance}:{key}")
        assert found == f"{platform}.{name}_{suffix}"
