"""Power tariff: added, changed, shown on a dashboard, and deleted."""

import re
from typing import Any, Final

from playwright.async_api import expect

from e2e.home import CURRENTLYONE, INTEGRATION_PAGE, Home

_SENSORS: Final = (
    "demand",
    "expected_demand",
    "demand_limit",
    "available_power",
    "peak_demand",
    "previous_peak_demand",
)

# Sensors with a state. The last one has the peaks as attributes.
_TILES: Final = len(_SENSORS) - 1

_PEAKS: Final = """\
| | kW |
|:--|--:|
{%- for peak in state_attr('SENSOR', 'intervals') or [] %}
| {{ as_timestamp(peak.start) | timestamp_custom('%d.%m. %H:%M') }} | {{ peak.power | round(2) }} |
{%- endfor %}"""


async def added(home: Home) -> None:
    """A power tariff is added. An invalid rule is rejected at its field, and the others are kept."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    await user.choose_in_menu(home.entry(CURRENTLYONE), text("Add power tariff"))
    dialog = user.page.locator("dialog-data-entry-flow")
    await user.sees(text("Power tariff of {reader}: contract", reader=CURRENTLYONE), dialog)
    await user.picture("tariff_contract")
    await dialog.locator("ha-selector-select").get_by_role("button").click()
    await user.shown(text("Custom")).click()
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}", reader=CURRENTLYONE), dialog)
    await user.picture("tariff")
    peaks = dialog.get_by_role("spinbutton", name=text("Highest demands that count"))
    await peaks.fill("2.5")
    await user.press(text("Next"), dialog)
    await user.sees(text("Enter a whole number."), dialog)
    await user.picture("tariff_refused")
    await peaks.fill("2")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    await user.picture("tariff_times")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: limit and price", reader=CURRENTLYONE), dialog)
    await user.picture("tariff_limit")
    await user.press(text("Submit"), dialog)
    await user.finish("Finish")


async def changed(home: Home) -> None:
    """The power tariff is changed."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    await user.press(text("Reconfigure power tariff"))
    dialog = user.page.locator("dialog-data-entry-flow")
    peaks = dialog.get_by_role("spinbutton", name=text("Highest demands that count"))
    await expect(peaks).to_have_value("2")
    await peaks.fill("3")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    await user.press(text("Next"), dialog)
    await user.press(text("Submit"), dialog)
    await user.sees(text("Reconfiguration was successful"))
    await user.finish("Close")
    await home.is_streaming(home.currentlyone)
    await user.picture("tariff_card")


async def looked_at(home: Home) -> None:
    """A dashboard shows the monthly peak so far, and the available power."""
    user = home.user
    await home.currentlyone.simulator.switch("dishwasher", "heating")
    entities = await _entities(home)
    sensors = {key: entities[key] for key in _SENSORS}
    expected = entities["peak_expected"]
    await home.has_state(sensors["expected_demand"], r"[1-9].*")
    await home.has_state(sensors["peak_demand"], r"[1-9].*")
    await home.api.command(
        "lovelace/dashboards/create",
        url_path="power-tariff",
        title=user.translations.typed("Power tariff"),
        icon="mdi:transmission-tower",
    )
    await home.api.command(
        "lovelace/config/save", url_path="power-tariff", config=_dashboard(home, sensors, expected)
    )
    await user.open("/power-tariff")
    tiles = user.page.locator("hui-tile-card")
    await expect(tiles).to_have_count(_TILES + 1)
    for name in ("Demand", "Expected demand"):
        tile = tiles.filter(has_text=re.compile(user.translations.pattern(name)))
        await expect(tile.first).to_contain_text(re.compile(r"\d\s*kW"))
    await user.picture("power_tariff")
    await home.currentlyone.simulator.switch("dishwasher", "off")


async def deleted(home: Home) -> None:
    """The power tariff is deleted, with its sensors."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    await user.choose_in_menu(user.page.locator("ha-config-sub-entry-row"), text("Delete"))
    await user.press(text("Delete"), user.page.locator("dialog-box"))
    await expect(user.page.locator("ha-config-sub-entry-row")).to_have_count(0)
    assert await _entities(home) == {}
    await home.is_streaming(home.currentlyone)


async def _entities(home: Home) -> dict[str, str]:
    """Return the entities of the power tariff by their keys."""
    return {
        entity["translation_key"]: entity["entity_id"]
        for entity in await home.api.command("config/entity_registry/list")
        if entity["platform"] == "energy_sse" and entity["config_subentry_id"] is not None
    }


def _dashboard(home: Home, sensors: dict[str, str], expected: str) -> dict[str, Any]:
    """Return a dashboard as its editor saves it."""
    tiles = [
        {"type": "tile", "entity": entity, "name": {"type": "entity"}}
        for entity in (*list(sensors.values())[:_TILES], expected)
    ]
    lists = [
        {
            "type": "markdown",
            "title": home.user.translations.typed(name),
            "content": _PEAKS.replace("SENSOR", sensors[key]),
        }
        for name, key in (
            ("Peak demand this month", "peak_demand"),
            ("Peak demand last month", "previous_peak_demand"),
        )
    ]
    sections = [{"type": "grid", "cards": tiles}, {"type": "grid", "cards": lists}]
    return {"views": [{"type": "sections", "max_columns": 2, "sections": sections}]}
