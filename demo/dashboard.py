"""Dashboard of Casa Mia: the one of the documentation, with the names of the demo."""

from typing import Final

from homeassistant.util.yaml import parse_yaml

from .home_assistant import ROOT, HomeAssistantApi

PATH: Final = "casa-mia"

_FILE: Final = ROOT / "docs/dashboards/currentlyone.yaml"
_PLACEHOLDER: Final = "currentlyone_b8b418"


async def set_up(api: HomeAssistantApi) -> None:
    """Add the dashboard, and make it the first page."""
    config = parse_yaml(_FILE.read_text().replace(_PLACEHOLDER, "casa_mia"))
    await api.command(
        "lovelace/dashboards/create", url_path=PATH, title="Casa Mia", icon="mdi:home-lightning-bolt"
    )
    await api.command("lovelace/config/save", url_path=PATH, config=config)
    await api.command("frontend/set_system_data", key="core", value={"default_panel": PATH})
