"""Power tariff of Casa Mia, with the simulated past in its register history."""

import json
from pathlib import Path
from typing import Any, Final

from .home_assistant import HomeAssistantApi, HomeAssistantFailedError
from .setting_up import wait_until_loaded

# Francs per kW and month.
PRICE: Final = 12

_FLOWS: Final = "/api/config/config_entries/subentries/flow"


async def set_up(api: HomeAssistantApi, entry_id: str) -> None:
    """Add a power tariff that bills the mean of the month's three highest hours, on different days."""
    result = await api.post(_FLOWS, {"handler": [entry_id, "power_tariff"]})
    path = f"{_FLOWS}/{result['flow_id']}"
    fields: dict[str, Any] = {"contract": "effekttariff"}
    while result["type"] == "form" and not result["errors"]:
        result = await api.post(path, fields)
        fields = {"price": PRICE} if result.get("step_id") == "limit" else {}
    if result["type"] != "create_entry":
        raise HomeAssistantFailedError("The power tariff could not be added.")


async def add_past(api: HomeAssistantApi, entry_id: str, storage: Path, registers: dict[int, float]) -> None:
    """Add registers in Wh, by the timestamp of their hour, to the stored data of an entry.

    The integration reads its stored data only while an entry is set up.
    """
    await api.command("config_entries/disable", entry_id=entry_id, disabled_by="user")
    path = storage / f"energy_sse.{entry_id}"
    stored: dict[str, Any] = json.loads(path.read_text())
    history = stored["data"]["registers"]["registers"]["active_energy_import"]
    hours = {**registers, **dict(history["boundaries"])}
    history["boundaries"] = [[time, hours[time]] for time in sorted(hours)]
    history["received"] = sorted({*history["received"], *registers})
    path.write_text(json.dumps(stored))
    await api.command("config_entries/disable", entry_id=entry_id, disabled_by=None)
    await wait_until_loaded(api, entry_id)
