"""Where the energy went: both readers, the tariffs and an appliance in the Energy dashboard."""

from datetime import timedelta
import re

from playwright.async_api import expect

from e2e.home import CURRENTLYONE, WHATWATT, Home


async def settings(home: Home) -> None:
    """The Energy dashboard takes both readers, the tariffs and an appliance."""
    person = home.person
    await _remember_the_past(home)
    await person.open("/config/energy")
    for tariff in ("1", "2"):
        await _add_grid_connection(home, WHATWATT, " tariff {part}", with_power=tariff == "1", part=tariff)
    await _add_grid_connection(home, CURRENTLYONE, "", with_power=True)
    await person.press(person.say("Add device"))
    dialog = person.page.locator("dialog-energy-device-settings")
    await home.pick_entity("Device energy consumption", "Energy", "Dishwasher", dialog)
    await person.press(person.say("Save"), dialog)
    await person.sees_no(person.say("Save"))
    found = await home.api.command("energy/validate")
    issues = {issue["type"] for kind in found.values() for each in kind for issue in each}
    # Of powers that are so new that nothing has been compiled of them yet.
    assert issues <= {"statistics_not_defined"}, found


async def yesterday(home: Home) -> None:
    """It shows what was imported yesterday, by reader and tariff."""
    person, words = home.person, home.person.words
    await person.open("/energy/electricity")
    await person.press(person.say("Previous"))
    for name in (
        words.pattern("Energy import tariff {part}", part="1"),
        words.pattern("Energy import tariff {part}", part="2"),
        f"{CURRENTLYONE} {words.pattern('Energy import')}",
    ):
        imported = re.compile(rf"{name}.*[1-9][\d.,]*\skWh")
        row = person.page.get_by_role("table").get_by_role("row", name=imported)
        await expect(row.first).to_be_visible()
    await person.sees("Dishwasher")
    await person.picture("energy")


async def _add_grid_connection(
    home: Home, device: str, suffix: str, *, with_power: bool, **placeholders: str
) -> None:
    """Add a reader's import and export, in all or of a tariff, and its power."""
    person = home.person
    await person.press(person.say("Add grid connection"))
    dialog = person.page.locator("dialog-energy-grid-settings")
    for field, entity in (
        ("Energy imported from grid", f"Energy import{suffix}"),
        ("Energy exported to grid", f"Energy export{suffix}"),
    ):
        await home.pick_entity(field, entity, device, dialog, **placeholders)
    if with_power:
        await dialog.get_by_role("radio", name=person.say("Standard")).click()
        await home.pick_entity("Power measurement", "Net power", device, dialog)
        await person.picture("grid")
    await person.press(person.say("Save"), dialog)
    await expect(dialog.get_by_role("dialog")).to_have_count(0)


async def _remember_the_past(home: Home) -> None:
    """Import the hours before the walk into Home Assistant's statistics, as the meters counted them."""
    for reader in (home.whatwatt, home.currentlyone):
        unique_ids = {f"{reader.simulator.device_id}{key}": key for key in reader.registers[0]}
        for entity in await home.api.command("config/entity_registry/list"):
            if (key := unique_ids.get(entity["unique_id"])) is not None:
                await _import_hours(home, entity["entity_id"], [hour[key] for hour in reader.registers])


async def _import_hours(home: Home, entity_id: str, registers: list[float]) -> None:
    """Import what a register was at the end of each hour since the first one."""
    metadata = {
        "source": "recorder",
        "statistic_id": entity_id,
        "name": None,
        "unit_of_measurement": "kWh",
        "unit_class": "energy",
        "has_sum": True,
        "mean_type": 0,
    }
    hours = [
        {
            "start": (home.first_hour + timedelta(hours=index)).isoformat(),
            "state": register,
            "sum": register - registers[0],
        }
        for index, register in enumerate(registers)
    ]
    await home.api.command("recorder/import_statistics", metadata=metadata, stats=hours)
