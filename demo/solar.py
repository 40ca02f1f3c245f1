"""Solar energy and power, as an inverter reports them."""

import asyncio
from contextlib import suppress
from time import monotonic

import aiohttp

from tests.simulators import House

from .home_assistant import HomeAssistantApi, HomeAssistantFailedError

ENERGY, POWER = "sensor.solar_energy", "sensor.solar_power"

# As the settings of the Energy dashboard save it.
SOURCE = {
    "type": "solar",
    "stat_energy_from": ENERGY,
    "stat_rate": POWER,
    "config_entry_solar_forecast": None,
}

# Seconds.
_INTERVAL = 5
_STAY_LOGGED_IN_INTERVAL = 600


async def send(api: HomeAssistantApi, house: House) -> None:
    """Set the states of the power and the energy."""
    for entity_id, state, unit, kind, state_class in (
        (ENERGY, house.solar_energy / 1000, "kWh", "energy", "total_increasing"),
        (POWER, round(house.solar_power), "W", "power", "measurement"),
    ):
        attributes = {
            "friendly_name": f"Solar {kind}",
            "unit_of_measurement": unit,
            "device_class": kind,
            "state_class": state_class,
        }
        await api.post(f"/api/states/{entity_id}", {"state": state, "attributes": attributes})


async def keep_sending(api: HomeAssistantApi, house: House) -> None:
    """Set the states regularly."""
    logged_in_at = monotonic()
    while True:
        await asyncio.sleep(_INTERVAL)
        # Home Assistant does not respond while it restarts.
        with suppress(aiohttp.ClientError, HomeAssistantFailedError):
            if monotonic() - logged_in_at >= _STAY_LOGGED_IN_INTERVAL:
                await api.stay_logged_in()
                logged_in_at = monotonic()
            await send(api, house)
