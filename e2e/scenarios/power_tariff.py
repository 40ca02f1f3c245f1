"""Power tariff: enabled, shown on a dashboard, and disabled."""

import re
from typing import Any, Final

from playwright.async_api import Locator, expect

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


async def switched_on(home: Home) -> None:
    """The power tariff is enabled. Invalid settings are rejected, and the others are kept."""
    user, text = home.user, home.user.text
    dialog = await _open_options(home)
    await dialog.get_by_role("button", name=text("Power tariff")).click()
    await _switch(home, dialog)
    # From the first minutes with the tariff.
    begin = dialog.get_by_role("group").first.get_by_role("spinbutton").nth(1)
    peaks = dialog.get_by_role("spinbutton", name=text("Highest demands that count"))
    await begin.fill("15")
    await peaks.fill("2")
    await user.press(text("Submit"), dialog)
    await user.sees(text(user.translations.whole("“From” and “To” have to be times")), dialog)
    await user.picture("tariff_refused")
    await expect(peaks).to_have_value("2")
    await begin.fill("0")
    await peaks.fill("3")
    await user.press(text("Submit"), dialog)
    await user.finish("Finish")


async def looked_at(home: Home) -> None:
    """A dashboard shows the monthly peak so far, and the available power."""
    user = home.user
    await home.currentlyone.simulator.switch("dishwasher", "heating")
    sensors = {key: await home.entity(home.currentlyone, f"_{key}") for key in _SENSORS}
    expected = await home.entity(home.currentlyone, "_peak_expected")
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


async def switched_off(home: Home) -> None:
    """The power tariff is disabled, and its sensors are removed."""
    user, text = home.user, home.user.text
    dialog = await _open_options(home)
    await _switch(home, dialog)
    await user.press(text("Submit"), dialog)
    await user.finish("Finish")
    unique_ids = {f"{home.currentlyone.simulator.device_id}_{key}" for key in (*_SENSORS, "peak_expected")}
    registry = await home.api.command("config/entity_registry/list")
    assert not unique_ids & {entity["unique_id"] for entity in registry}
    await home.is_streaming(home.currentlyone)


async def _open_options(home: Home) -> Locator:
    await home.user.open(INTEGRATION_PAGE)
    await home.user.press(home.user.text("Configure"), home.entry(CURRENTLYONE))
    return home.user.page.locator("dialog-data-entry-flow")


async def _switch(home: Home, dialog: Locator) -> None:
    label = home.user.translations.pattern("Track what a power tariff bills")
    # With the keyboard, because another element covers the button.
    await dialog.get_by_role("switch", name=re.compile(label)).press("Space")


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
        for name, key in (("Peak demand", "peak_demand"), ("Previous peak demand", "previous_peak_demand"))
    ]
    sections = [{"type": "grid", "cards": tiles}, {"type": "grid", "cards": lists}]
    return {"views": [{"type": "sections", "max_columns": 2, "sections": sections}]}
