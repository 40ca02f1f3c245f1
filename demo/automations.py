"""Automations of the demo: one reacts to an event of an appliance, the others are from a blueprint."""

from collections.abc import Mapping
from pathlib import Path
import shutil
from typing import Any, Final

from .home_assistant import ROOT, HomeAssistantApi
from .houses import CASA_MIA

_BLUEPRINTS: Final = "blueprints/automation/energy_sse"

# Inputs of the blueprint in a fast house, whose runs last less than a minute.
_FAST_INPUTS: Final = {"pause": {"seconds": 1}, "minimum_minutes": 0, "minimum_watt_hours": 0}


async def set_up(api: HomeAssistantApi, folder: Path, entities: Mapping[str, str], *, is_fast: bool) -> None:
    """Copy the blueprints, and add the automations. `entities` are the entity ids by unique id."""
    shutil.copytree(ROOT / _BLUEPRINTS, folder / _BLUEPRINTS, dirs_exist_ok=True)
    coffee = {
        "alias": "Coffee is coming",
        "description": "Reacts to an event of an appliance.",
        "triggers": [
            {
                "trigger": "event.received",
                "target": {"entity_id": entities[f"{CASA_MIA}:mocca_mast:transition"]},
                "options": {"event_type": ["turned_on"]},
            }
        ],
        "actions": [_notify("coffee", "Coffee is coming", "The Mocca Master was turned on.")],
    }
    await api.post("/api/config/automation/config/demo_coffee", coffee)
    for appliance, name in (("dishwasher", "Dishwasher"), ("washing_machine", "Washing machine")):
        message = "It ran for {{ minutes }} minutes and used {{ watt_hours }} Wh."
        finished = {
            "alias": f"{name} has finished",
            "description": "Made from the blueprint An appliance has finished.",
            "use_blueprint": {
                "path": "energy_sse/appliance_finished.yaml",
                "input": {
                    "running": entities[f"{CASA_MIA}:{appliance}:running"],
                    "actions": [_notify(appliance, "{{ appliance }} has finished", message)],
                    **(_FAST_INPUTS if is_fast else {}),
                },
            },
        }
        await api.post(f"/api/config/automation/config/demo_{appliance}", finished)


def _notify(key: str, title: str, message: str) -> dict[str, Any]:
    return {
        "action": "persistent_notification.create",
        "data": {"title": title, "message": message, "notification_id": key},
    }
