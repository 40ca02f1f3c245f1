"""Power tariff: added, changed, shown on a dashboard, and deleted."""

from datetime import datetime, timedelta
import re
from typing import Any, Final
from zoneinfo import ZoneInfo

from playwright.async_api import Locator, expect

from demo.setting_up import HOME
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

_SECOND: Final = "Workdays"

_CALENDAR: Final = "Public holidays"

_PEAKS: Final = """\
| | kW |
|:--|--:|
{%- for peak in state_attr('SENSOR', 'intervals') or [] %}
| {{ as_timestamp(peak.start) | timestamp_custom('%d.%m. %H:%M') }} | {{ peak.power | round(2) }} |
{%- endfor %}"""


async def added(home: Home) -> None:
    """A power tariff is added. Invalid rules are rejected at their fields, and the others are kept."""
    user, text, dialog = home.user, home.user.text, home.dialog
    await _open_new_tariff(home)
    await home.list_field("Contract").click()
    await user.picture("tariff_contract")
    await user.page.keyboard.press("Escape")
    await home.select("Contract", text("Effekttariff: mean of the three highest hours on different days"))
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}", reader=CURRENTLYONE), dialog)
    await user.picture("tariff")
    peaks = dialog.get_by_role("spinbutton", name=text("Number of peaks"))
    await expect(peaks).to_have_value("3")
    await peaks.fill("2.5")
    await user.press(text("Next"), dialog)
    await home.sees_error(text("Enter a whole number."), "Number of peaks")
    await user.picture("tariff_refused")
    await peaks.fill("2")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    await user.picture("tariff_times")
    await home.select("From", "06:00")
    await home.select("To", "06:00")
    await user.press(text("Next"), dialog)
    await home.sees_error(text(user.translations.whole("“From” and “To” are the same time")), "To")
    await user.picture("tariff_times_refused")
    await home.select("From", "00:00")
    await home.select("To", "24:00")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: limit and price", reader=CURRENTLYONE), dialog)
    await dialog.get_by_role("spinbutton", name=text("Price per kW")).fill("5.5")
    await user.picture("tariff_limit")
    await user.press(text("Submit"), dialog)
    await user.finish("Finish")


async def changed(home: Home) -> None:
    """The power tariff is changed. The dialogs show its rules."""
    user, text, dialog = home.user, home.user.text, home.dialog
    await user.open(INTEGRATION_PAGE)
    await user.press(text("Reconfigure power tariff"))
    peaks = dialog.get_by_role("spinbutton", name=text("Number of peaks"))
    await expect(peaks).to_have_value("2")
    await peaks.fill("3")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    await user.press(text("Next"), dialog)
    await expect(dialog.get_by_role("spinbutton", name=text("Price per kW"))).to_have_value("5.5")
    await user.press(text("Submit"), dialog)
    await user.sees(text("Reconfiguration was successful"))
    await user.finish("Close")
    await home.is_streaming(home.currentlyone)
    await user.picture("tariff_card")


async def shown_in_dashboard(home: Home) -> None:
    """A dashboard shows the monthly peak so far, and the available power."""
    user = home.user
    await home.currentlyone.simulator.switch("dishwasher", "heating")
    entities = await _entities(home)
    sensors = {key: entities[key] for key in _SENSORS}
    expected = entities["peak_expected"]
    await home.has_state(sensors["expected_demand"], r"\d.*")
    await home.has_state(sensors["peak_demand"], _pattern_of_month(r"\d.*", "unknown"))
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


async def sensors(home: Home) -> None:
    """The page of the power tariff shows its peak, the time of the peak, missed intervals and the cost."""
    user = home.user
    await user.open(INTEGRATION_PAGE)
    await _tariff_rows(home).first.locator("ha-config-entry-device-row").click()
    await user.page.wait_for_url("**/config/devices/device/*")
    for name, state in (
        ("Peak demand this month", r"\d\s*kW"),
        ("Power cost this month", r"CHF\s*\d|\d\s*CHF"),
        ("Missed intervals", r"\d"),
    ):
        unknown = user.translations.pattern("Unknown")
        await expect(home.row(name)).to_contain_text(re.compile(_pattern_of_month(state, unknown)))
    await expect(home.row("Time of highest peak")).to_be_visible()
    await home.has_state((await _entities(home))["peak_time"], _pattern_of_month(r"\d{4}-.*", "unknown"))
    await user.picture("tariff_device")


async def blueprint(home: Home) -> None:
    """The blueprint *Stay below the peak* needs only one entity of the power tariff."""
    user = home.user
    await user.open("/config/blueprint/dashboard")
    await user.shown("Stay below the peak").click()
    await user.page.wait_for_url("**/config/automation/edit/new")
    editor = user.page.locator("blueprint-automation-editor")
    fields = editor.locator("ha-selector-entity")
    field = re.compile(rf"^\s*{user.translations.pattern('Select an entity')}")
    for index, name in enumerate((user.translations.typed("Peak expected"), "Boiler")):
        await user.pick(field, re.compile(rf"^\s*{name}"), fields.nth(index), search=name)
    await user.picture("blueprint")
    await user.press(user.text("Save"), editor)
    await user.page.wait_for_url(re.compile(r"/config/automation/edit/\d+"))
    await home.has_state("automation.stay_below_the_peak", "on")
    # Without the power tariff, it could not run.
    await home.api.delete(f"/api/config/automation/config/{user.page.url.rpartition('/')[2]}")


async def days_off(home: Home) -> None:
    """Days with an event in a calendar, past ones too, do not count as soon as the calendar is selected."""
    user, text, dialog = home.user, home.user.text, home.dialog
    peak = (await _entities(home))["peak_demand"]
    await home.has_state(peak, _pattern_of_month(r"\d.*", "unknown"))
    await _add_calendar(home)
    await user.open(INTEGRATION_PAGE)
    await user.press(text("Reconfigure power tariff"))
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    field = re.compile(rf"^\s*{user.translations.pattern('Days off')}")
    await user.pick(field, re.compile(rf"^\s*{_CALENDAR}"), dialog, search=_CALENDAR)
    await user.picture("tariff_days_off")
    await user.press(text("Next"), dialog)
    await user.press(text("Submit"), dialog)
    await user.sees(text("Reconfiguration was successful"))
    await user.finish("Close")
    await home.has_state(peak, "unknown")


async def second(home: Home) -> None:
    """A second power tariff has its own name and sensors, beside the first one."""
    user, text, dialog = home.user, home.user.text, home.dialog
    await _open_new_tariff(home)
    contract = "Leistungstarif: highest quarter-hour, Monday to Friday from 07:00 to 20:00"
    await home.select("Contract", text(contract))
    await user.press(text("Next"), dialog)
    await dialog.get_by_role("textbox", name=text("Name")).fill(_SECOND)
    await expect(dialog.get_by_role("spinbutton", name=text("Number of peaks"))).to_have_value("1")
    await user.press(text("Next"), dialog)
    await user.sees(text("Power tariff of {reader}: times", reader=CURRENTLYONE), dialog)
    for field, option in (
        ("Days", user.translations.pattern("Monday to Friday")),
        ("From", "07:00"),
        ("To", "20:00"),
    ):
        await expect(home.list_field(field)).to_have_accessible_name(re.compile(rf"{option}$"))
    await user.picture("tariff_second_times")
    await user.press(text("Next"), dialog)
    await user.press(text("Submit"), dialog)
    await user.finish("Finish")
    await expect(_tariff_rows(home)).to_have_count(2)
    await user.sees(_SECOND, home.entry(CURRENTLYONE))
    await _tariff_rows(home).last.scroll_into_view_if_needed()
    await user.picture("tariff_cards")
    await _tariff_rows(home).filter(has_text=_SECOND).locator("ha-config-entry-device-row").click()
    await user.page.wait_for_url("**/config/devices/device/*")
    await expect(home.row("Peak demand this month")).to_be_visible()
    # It has no price.
    await expect(home.row("Power cost this month")).to_have_count(0)


async def deleted(home: Home) -> None:
    """Both power tariffs are deleted, with their sensors."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    for left in (1, 0):
        await user.choose_in_menu(_tariff_rows(home).first, text("Delete"))
        await user.press(text("Delete"), user.page.locator("dialog-box"))
        await expect(_tariff_rows(home)).to_have_count(left)
    assert await _entities(home) == {}
    await home.is_streaming(home.currentlyone)


async def _add_calendar(home: Home) -> None:
    """Add a calendar in which all simulated days are holidays."""
    flow = await home.api.post("/api/config/config_entries/flow", {"handler": "local_calendar"})
    await home.api.post(f"/api/config/config_entries/flow/{flow['flow_id']}", {"calendar_name": _CALENDAR})
    entities = await home.api.command("config/entity_registry/list")
    (calendar,) = (each["entity_id"] for each in entities if each["platform"] == "local_calendar")
    first_day = home.first_hour.date() - timedelta(days=1)
    event = {
        "entity_id": calendar,
        "summary": _CALENDAR,
        "start_date": first_day.isoformat(),
        "end_date": (first_day + timedelta(days=7)).isoformat(),
    }
    await home.api.post("/api/services/calendar/create_event", event)


def _pattern_of_month(number: str, unknown: str) -> str:
    """Return a pattern of a value of this month, which is unknown in the first hour of the month."""
    now = datetime.now(ZoneInfo(HOME["time_zone"]))
    return f"{number}|{unknown}" if (now.day, now.hour) == (1, 0) else number


def _tariff_rows(home: Home) -> Locator:
    """Return the rows of the power tariffs on the page of the integration."""
    return home.user.page.locator("ha-config-sub-entry-row")


async def _open_new_tariff(home: Home) -> None:
    """Open the dialog that adds a power tariff to the CurrentlyOne."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    await user.choose_in_menu(home.entry(CURRENTLYONE), text("Add power tariff"))
    await user.sees(text("Power tariff of {reader}: contract", reader=CURRENTLYONE), home.dialog)


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
