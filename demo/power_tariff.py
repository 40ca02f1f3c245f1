"""Power tariff of the CurrentlyOne in the demo."""

from typing import Final

from .home_assistant import HomeAssistantApi, HomeAssistantFailedError

# The mean of the three highest hours of a month, on different days.
TARIFF: Final = {"interval": "60", "peaks": 3, "one_per_day": True}

_FLOWS: Final = "/api/config/config_entries/subentries/flow"


async def set_up(api: HomeAssistantApi) -> None:
    """Add the power tariff, which counts all the time."""
    for entry in await api.command("config_entries/get", domain="energy_sse"):
        if entry["title"].startswith("Casa Mia"):
            flow = await api.post(_FLOWS, {"handler": [entry["entry_id"], "power_tariff"]})
            path = f"{_FLOWS}/{flow['flow_id']}"
            await api.post(path, TARIFF)
            result = await api.post(path, {})
            if result["type"] != "create_entry":
                raise HomeAssistantFailedError("The power tariff could not be added.")
