"""Energy dashboard: two tariffs, solar panels, gas, and another meter with its appliances."""

from datetime import timedelta
import math
import re
from typing import Final

from playwright.async_api import Locator, expect

from demo import solar
from e2e.home import ATTIC, CURRENTLYONE, INTEGRATION_PAGE, SUB_METER, WHATWATT, Home
from e2e.readers import PAST_HOURS, SOLAR

# Names of the tariffs.
_TARIFFS: Final = {"1": "Day", "2": "Night"}

# Number of simulated hours before the sums are reset.
_RESET_HOUR: Final = 30


async def settings(home: Home) -> None:
    """The Energy dashboard accepts named tariffs, another meter, an appliance and solar panels."""
    user = home.user
    await _import_past(home)
    await user.open("/config/energy")
    for tariff, name in _TARIFFS.items():
        dialog = await _open_grid(home)
        await _pick_import_and_export(home, dialog, WHATWATT, " tariff {part}", part=tariff)
        if tariff == "1":
            await _pick_power(home, dialog, WHATWATT)
            await expect(dialog.get_by_role("button", name=user.text("Save"))).to_be_enabled()
            await user.picture("grid")
        # These fields are shown after the choice of an export, which clears a name that was typed before.
        await expect(dialog.get_by_role("radio", name=user.text("Do not track compensation"))).to_be_checked()
        await dialog.get_by_role("textbox", name=user.text("Display name")).fill(name)
        await _save(home, dialog)
    dialog = await _open_grid(home)
    await home.pick_entity("Energy imported from grid", "Energy import", CURRENTLYONE, dialog)
    await _pick_power(home, dialog, CURRENTLYONE)
    await _save(home, dialog)
    await _add_sun(home)
    await _add_appliance(home)
    assert await _issues(home) <= _AT_FIRST


async def gas(home: Home) -> None:
    """The sub-meter for gas is offered as gas, and Home Assistant reports no problem."""
    user = home.user
    await user.open("/config/energy/gas")
    await user.press(user.text("Add gas source"))
    dialog = user.page.locator("dialog-energy-gas-settings")
    name = user.translations.pattern("Gas meter {meter_id}", meter_id=SUB_METER)
    field = re.compile(rf"^\s*{user.translations.pattern('Gas consumption')}")
    await user.pick(field, re.compile(rf"^\s*{name}"), dialog, search=SUB_METER)
    await _save(home, dialog)
    assert await _issues(home) <= _AT_FIRST
    # Home Assistant has no problem with the unit or the kind of the imported hours. The sensor gets its state
    # class six minutes after the choice.
    sensor = await home.entity(home.whatwatt, f":counter:{SUB_METER}")
    problems = (await home.api.command("recorder/validate_statistics")).get(sensor, [])
    assert {each["type"] for each in problems} <= {"state_class_removed"}
    issues = (await home.api.command("repairs/list_issues"))["issues"]
    assert {each["translation_key"] for each in issues} <= {"state_class_removed"} | home.import_issues


async def yesterday(home: Home) -> None:
    """The Energy dashboard shows the import and the gas of yesterday, by reader and tariff."""
    user, words = home.user, home.user.translations
    await user.open("/energy/electricity")
    await user.press(user.text("Previous"))
    for name in (*_TARIFFS.values(), f"{CURRENTLYONE} {words.pattern('Energy import')}", "Solar energy"):
        imported = re.compile(rf"{name}.*[1-9][\d.,]*\skWh")
        row = user.page.get_by_role("table").get_by_role("row", name=imported)
        await expect(row.first).to_be_visible()
    await user.sees("Dishwasher")
    await user.picture("energy")
    await user.page.get_by_role("tab", name=user.text("Gas")).click()
    meter = words.pattern("Gas meter {meter_id}", meter_id=SUB_METER)
    await expect(
        user.page.get_by_role("row", name=re.compile(rf"{meter}.*[45][.,]\d+\sm³")).first
    ).to_be_visible()


async def now(home: Home) -> None:
    """The Energy dashboard shows the present power, with solar power."""
    user = home.user
    await home.currentlyone.simulator.switch("dishwasher", "heating")
    await solar.send(home.api, home.whatwatt.simulator.house)
    await user.open("/energy/now")
    drawn = user.page.locator("hui-power-total-badge")
    await expect(drawn).to_contain_text(re.compile(r"[1-9][.,]\d+\s*kW"))
    await user.sees(user.text("Current power flow"))
    await user.picture("now")
    await home.currentlyone.simulator.switch("dishwasher", "off")


async def reset_sums(home: Home) -> None:
    """A repair raises sums that were reset to zero after a long outage."""
    user, text = home.user, home.user.text
    sensor = await home.entity(home.attic, "_active_energy_import")
    registers = [hour["_active_energy_import"] for hour in home.attic.registers]
    await home.import_hours(sensor, registers[:_RESET_HOUR])
    await home.import_hours(sensor, registers[_RESET_HOUR:], first=_RESET_HOUR)
    await user.open(INTEGRATION_PAGE)
    await user.choose_in_menu(home.entry(ATTIC), text("Reload"))
    await home.open_repairs("sum_restart")
    title = text("{name}: the sums of {sensor} were reset to zero", name=ATTIC, sensor=sensor)
    while min(await _changes(home, sensor)) < 0:
        # After the end of an hour, there is a second issue.
        await user.shown(title).click()
        await user.sees(text("Sums were reset to zero"), home.dialog)
        await user.picture("reset_sums")
        await user.press(text("Submit"), home.dialog)
        await user.finish("Finish")
    changes = await _changes(home, sensor)
    assert math.isclose(sum(changes), registers[-1] - registers[0], abs_tol=0.01), changes


# Problems of a power without statistics, because it is new, and of a sub-meter whose kind was chosen less
# than six minutes ago.
_AT_FIRST: Final = {"statistics_not_defined", "entity_unexpected_state_class"}


async def _issues(home: Home) -> set[str]:
    """Return the problems that the Energy dashboard reports."""
    found = await home.api.command("energy/validate")
    return {issue["type"] for kind in found.values() for each in kind for issue in each}


async def _changes(home: Home, sensor: str) -> list[float]:
    """Return the energy of each simulated hour in the Energy dashboard, in kWh."""
    found = await home.api.command(
        "recorder/statistics_during_period",
        statistic_ids=[sensor],
        period="hour",
        start_time=home.first_hour.isoformat(),
        end_time=(home.first_hour + timedelta(hours=PAST_HOURS)).isoformat(),
        types=["change"],
        units={"energy": "kWh"},
    )
    # The first hour has no change, because no earlier hour was imported.
    return [row["change"] for row in found[sensor] if row["change"] is not None]


async def _open_grid(home: Home) -> Locator:
    await home.user.press(home.user.text("Add grid connection"))
    return home.user.page.locator("dialog-energy-grid-settings")


async def _save(home: Home, dialog: Locator) -> None:
    await home.user.press(home.user.text("Save"), dialog)
    await expect(dialog.get_by_role("dialog")).to_have_count(0)


async def _pick_import_and_export(
    home: Home, dialog: Locator, device: str, suffix: str, **placeholders: str
) -> None:
    for field, entity in (
        ("Energy imported from grid", f"Energy import{suffix}"),
        ("Energy exported to grid", f"Energy export{suffix}"),
    ):
        await home.pick_entity(field, entity, device, dialog, **placeholders)


async def _pick_power(home: Home, dialog: Locator, device: str) -> None:
    await dialog.get_by_role("radio", name=home.user.text("Standard")).click()
    await home.pick_entity("Power measurement", "Net power", device, dialog)


async def _add_sun(home: Home) -> None:
    """Add the states of an inverter."""
    user = home.user
    await user.press(user.text("Add solar production"))
    dialog = user.page.locator("dialog-energy-solar-settings")
    for field, name in (
        ("Solar production energy", "Solar energy"),
        ("Solar production power", "Solar power"),
    ):
        pattern = re.compile(rf"^\s*{user.translations.pattern(field)}")
        await user.pick(pattern, re.compile(rf"^\s*{name}"), dialog, search=name)
    await _save(home, dialog)


async def _add_appliance(home: Home) -> None:
    user = home.user
    await user.press(user.text("Add device"))
    dialog = user.page.locator("dialog-energy-device-settings")
    await home.pick_entity("Device energy consumption", "Energy", "Dishwasher", dialog)
    await home.pick_entity("Device power consumption", "Power", "Dishwasher", dialog)
    await _save(home, dialog)


async def _import_past(home: Home) -> None:
    """Import the hours before the tests into the statistics."""
    await solar.send(home.api, home.whatwatt.simulator.house)
    await home.import_hours(solar.ENERGY, [hour[SOLAR] for hour in home.whatwatt.registers])
    for reader in (home.whatwatt, home.currentlyone):
        unique_ids = {f"{reader.simulator.device_id}{key}": key for key in reader.registers[0]}
        for entity in await home.api.command("config/entity_registry/list"):
            if (key := unique_ids.get(entity["unique_id"])) is not None:
                await home.import_hours(entity["entity_id"], [hour[key] for hour in reader.registers])
