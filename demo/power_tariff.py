"""The power tariff of the demo's CurrentlyOne, with the past of a house behind it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
import random
from typing import Any, Final
from zoneinfo import ZoneInfo

from .home_assistant import HomeAssistantApi, HomeAssistantFailedError
from .houses import CURRENTLYONE

ZONE: Final = ZoneInfo("Europe/Zurich")
HOUR: Final = timedelta(hours=1)
EVENING: Final = 18

# The mean of the month's three highest hours, each of another day.
TARIFF: Final = {"enabled": True, "interval": "60", "peaks": 3, "one_per_day": True}

# Seconds.
_IMPORT_TIMEOUT: Final = 60

# By unique id.
IMPORT: Final = f"{CURRENTLYONE}_active_energy_import"
POWER: Final = f"{CURRENTLYONE}_active_power_net"


async def set_up(api: HomeAssistantApi, entities: dict[str, str]) -> None:
    """Let the house have a past in the statistics, and switch the power tariff on."""
    register = float((await api.get(f"/api/states/{entities[IMPORT]}"))["state"])
    await import_past(api, entities[IMPORT], entities[POWER], register, datetime.now(UTC))
    for entry in await api.command("config_entries/get", domain="energy_sse"):
        if entry["title"].startswith("Casa Mia"):
            flow = await api.post("/api/config/config_entries/options/flow", {"handler": entry["entry_id"]})
            path = f"/api/config/config_entries/options/flow/{flow['flow_id']}"
            answer = await api.post(path, {"power_tariff": TARIFF})
            if answer["type"] != "create_entry":
                raise HomeAssistantFailedError("The power tariff could not be switched on.")


def past(until: datetime) -> Iterator[tuple[datetime, float]]:
    """Yield the full hours of this month and the one before, and what was imported in each, in kWh.

    It is the same past whenever it is asked for.
    """
    local = until.astimezone(ZONE)
    begin = (local.replace(day=1) - timedelta(days=1)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    hour = begin.astimezone(UTC)
    while hour + HOUR <= until:
        yield hour, _imported(hour.astimezone(ZONE))
        hour += HOUR


def _imported(local: datetime) -> float:
    chance, day = random.Random(f"{local:%m-%d %H}"), random.Random(f"{local:%m-%d}")
    energy = chance.uniform(0.4, 0.9)
    if local.hour in (7, 12, 17, 18, 19):
        energy += chance.uniform(0.3, 1.2)
    # On some evenings, laundry or the oven.
    if local.hour == day.randint(12, 20) and local.hour >= EVENING:
        energy += day.uniform(0.6, 1.5)
    return round(energy, 3)


def rows_of_the_past(until: datetime, *, register: float, total: float) -> list[dict[str, Any]]:
    """Return these hours as statistics that end with a register and a sum, both in kWh."""
    rows = []
    for hour, imported in reversed(list(past(until))):
        rows.append({"start": hour.isoformat(), "state": register, "sum": total})
        register, total = register - imported, total - imported
    return rows[::-1]


async def import_past(
    api: HomeAssistantApi, energy_id: str, power_id: str, register: float, until: datetime
) -> None:
    """Import the statistics until a time, when the register was so many kWh.

    Returns when the recorder has written them, because the power tariff reads earlier hours only once. It
    counts only hours in which the power has changed.
    """
    energy, power = [await api.get(f"/api/states/{entity_id}") for entity_id in (energy_id, power_id)]
    # The recorder begins with a sum of zero, and goes on from there.
    rows = rows_of_the_past(until, register=register, total=0.0)
    await _import(api, energy, rows, unit_class="energy", has_sum=True, mean_type=0)
    powers = [
        {
            "start": hour.isoformat(),
            "mean": imported * 1000,
            "min": imported * 700,
            "max": imported * 1300,
        }
        for hour, imported in past(until)
    ]
    await _import(api, power, powers, unit_class="power", has_sum=False, mean_type=1)
    async with asyncio.timeout(_IMPORT_TIMEOUT):
        while not await _has_statistics(api, power_id, until - 2 * HOUR):
            await asyncio.sleep(0.2)


async def _has_statistics(api: HomeAssistantApi, statistic_id: str, begin: datetime) -> bool:
    found = await api.command(
        "recorder/statistics_during_period",
        start_time=begin.isoformat(),
        end_time=(begin + 2 * HOUR).isoformat(),
        statistic_ids=[statistic_id],
        period="hour",
    )
    return bool(found)


async def _import(
    api: HomeAssistantApi, state: dict[str, Any], rows: list[dict[str, Any]], **metadata: Any
) -> None:
    metadata = {
        "source": "recorder",
        "statistic_id": state["entity_id"],
        "name": None,
        "unit_of_measurement": state["attributes"]["unit_of_measurement"],
        **metadata,
    }
    await api.command("recorder/import_statistics", metadata=metadata, stats=rows)
