"""Power tariff of the CurrentlyOne in the demo."""

from typing import Final

from .home_assistant import HomeAssistantApi, HomeAssistantFailedError

# The mean of the three highest hours of a month, on different days.
TARIFF: Final = {"enabled": True, "interval": "60", "peaks": 3, "one_per_day": True}


async def set_up(api: HomeAssistantApi) -> None:
    """Enable the power tariff."""
    for entry in await api.command("config_entries/get", domain="energy_sse"):
        if entry["title"].startswith("Casa Mia"):
            flow = await api.post("/api/config/config_entries/options/flow", {"handler": entry["entry_id"]})
            path = f"/api/config/config_entries/options/flow/{flow['flow_id']}"
            result = await api.post(path, {"power_tariff": TARIFF})
            if result["type"] != "create_entry":
                raise HomeAssistantFailedError("The power tariff could not be enabled.")
