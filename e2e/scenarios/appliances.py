"""An appliance, an automation, and the options."""

import re
from typing import Final

from playwright.async_api import Locator, expect

from e2e.home import CURRENTLYONE, INTEGRATION_PAGE, SUB_METER, WHATWATT, Home

_TIME: Final = r"\d{4}-.*"


async def appliance(home: Home) -> None:
    """An appliance has its own page, which shows its states."""
    user, switch = home.user, home.currentlyone.simulator.switch
    await user.open(INTEGRATION_PAGE)
    await user.shown("Mocca Master", home.entry(CURRENTLYONE)).click()
    await user.page.wait_for_url("**/config/devices/device/*")
    await switch("mocca_mast", "on")
    await expect(home.row("Power")).to_contain_text(re.compile(r"1\D?450\s*W"))
    await user.picture("appliance")
    await switch("mocca_mast", "off")
    await expect(home.row("Power")).to_contain_text(re.compile(r"\b0\s*W"))
    await home.has_state(await home.entity(home.currentlyone, ":mocca_mast:last_run"), _TIME)
    await expect(home.row("Last run")).to_be_visible()
    turned_off = re.compile(user.translations.pattern("Turned off"))
    await expect(home.row("State change")).to_contain_text(turned_off)
    await user.picture("appliance_off")


async def deletion(home: Home) -> None:
    """An appliance of the inventory cannot be deleted, and the reason is shown."""
    user, text = home.user, home.user.text
    page = user.page.locator("ha-config-device-page")
    await page.get_by_role("button", name=text("Menu")).last.click()
    await page.get_by_role("menuitem", name=text("Delete")).click()
    dialog = user.page.locator("dialog-box")
    await user.press(text("Delete"), dialog)
    await user.sees(text(user.translations.whole("{name} cannot be deleted"), name="Mocca Master"), dialog)
    await user.press(text("OK"), dialog)
    # A dialog that closes can go back one page.
    await expect(dialog.get_by_role("dialog")).to_have_count(0)


async def automation(home: Home) -> None:
    """An automation with an event of the appliance is made in the editor, and runs."""
    user, switch = home.user, home.currentlyone.simulator.switch
    await user.open("/config/automation/edit/new")
    await _trigger(home)
    await _action(home, "Coffee is ready.", user.page.locator("ha-automation-sidebar"))
    await user.press(user.text("Save"))
    dialog = user.page.locator("ha-dialog-automation-save")
    await dialog.get_by_role("textbox").first.fill("Coffee")
    await user.press(user.text("Save"), dialog)
    await user.page.wait_for_url(re.compile(r"/config/automation/edit/\d+"))
    await switch("mocca_mast", "on")
    await switch("mocca_mast", "off")
    await user.read_notifications()
    await user.sees("Coffee is ready.")


async def _trigger(home: Home) -> None:
    """Choose: when the Mocca Master is turned off."""
    user, words = home.user, home.user.translations
    await user.press(user.text("Add trigger"))
    chooser = user.page.locator("add-automation-element-dialog")
    await chooser.get_by_role("textbox").fill("Mocca")
    await user.press(re.compile(rf"^{words.pattern('State change')}"), chooser)
    await user.press(re.compile(rf"^{words.pattern('Event received')}"), chooser)
    # Only the field of the event is required.
    await user.press(re.compile(r"\*$"), user.page.locator("ha-automation-sidebar"))
    await user.shown(user.text("Turned off")).click()
    await user.picture("automation")
    await user.page.keyboard.press("Escape")


async def _action(home: Home, message: str, editor: Locator) -> None:
    """Add the action that shows a notification, and enter its message in the editor."""
    user, words = home.user, home.user.translations
    action = "Create persistent notification"
    await user.press(user.text("Add action"))
    chooser = user.page.locator("add-automation-element-dialog")
    await chooser.get_by_role("textbox").fill(words.typed(action))
    await user.press(re.compile(words.pattern(action)), chooser)
    # A dialog that closes returns the focus to its button.
    await expect(chooser.get_by_role("dialog")).to_have_count(0)
    await user.sees(user.text("Message body of the notification."), editor)
    await editor.get_by_role("textbox").first.fill(message)


async def phases(home: Home) -> None:
    """The blueprint *Phases out of balance* takes the net power of each phase."""
    user = home.user
    await user.open("/config/blueprint/dashboard")
    await user.shown("Phases out of balance").click()
    await user.page.wait_for_url("**/config/automation/edit/new")
    editor = user.page.locator("blueprint-automation-editor")
    for field, phase in (("Select an entity", "L1"), ("Add entity", "L2"), ("Add entity", "L3")):
        await home.pick_entity(field, "Net power {part}", WHATWATT, editor, part=phase)
    await _action(home, "The phases are out of balance.", editor)
    await user.picture("phases")
    await user.press(user.text("Save"), editor)
    await user.page.wait_for_url(re.compile(r"/config/automation/edit/\d+"))
    await home.has_state("automation.phases_out_of_balance", "on")


async def updates(home: Home) -> None:
    """The time between updates is changed in the options."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    await home.open_options(WHATWATT, "Update interval")
    await user.sees(text("Update interval of {reader}", reader=WHATWATT), home.dialog)
    await home.select("Update interval", text("10 seconds"))
    await user.picture("options_updates")
    await home.save_options()


async def supply(home: Home) -> None:
    """The main fuse is set. A fraction is rejected at its field. Each phase then has a headroom."""
    user, text = home.user, home.user.text
    await home.open_options(WHATWATT, "Supply")
    await user.sees(text("Supply of {reader}", reader=WHATWATT), home.dialog)
    fuse = home.dialog.get_by_role("spinbutton", name=text("Main fuse"))
    await fuse.fill("25.5")
    await user.press(text("Submit"), home.dialog)
    await home.sees_error(text("Enter a whole number."), "Main fuse")
    await user.picture("options_supply")
    await fuse.fill("25")
    await home.save_options()
    await user.shown(WHATWATT, home.entry(WHATWATT).locator("ha-config-entry-device-row")).click()
    await user.page.wait_for_url("**/config/devices/device/*")
    for phase in ("L1", "L2", "L3"):
        await expect(home.row("Net power {part}", part=phase)).to_contain_text(re.compile(r"\d\s*W"))
        await expect(home.row("Headroom {part}", part=phase)).to_contain_text(re.compile(r"\d\s*A"))
    await home.row("Headroom {part}", part="L3").scroll_into_view_if_needed()
    await user.picture("headroom")


async def corrections(home: Home) -> None:
    """The correction of hours in the Energy dashboard is disabled and enabled in the options."""
    user, text = home.user, home.user.text
    await user.open(INTEGRATION_PAGE)
    for is_enabled in (True, False):
        await home.open_options(WHATWATT, "Energy dashboard")
        await user.sees(text("Energy dashboard: {reader}", reader=WHATWATT), home.dialog)
        name = user.translations.pattern("Correct missing and wrong hours in the Energy dashboard")
        switch = home.dialog.get_by_role("switch", name=re.compile(rf"^{name}"))
        await expect(switch).to_be_checked(checked=is_enabled)
        await user.picture("options_energy_dashboard")
        # The thumb covers the input.
        await switch.press("Space")
        await home.save_options()


async def sub_meters(home: Home) -> None:
    """The kind of a sub-meter is selected in the options."""
    user, text = home.user, home.user.text
    home.whatwatt.simulator.sub_meters = {SUB_METER: 812.5}
    entry = home.entry(WHATWATT)
    await user.sees(text("Sub-meter {meter_id}", meter_id=SUB_METER), entry)
    await home.open_options(WHATWATT, "Sub-meters")
    await user.sees(text("Sub-meters of {reader}", reader=WHATWATT), home.dialog)
    await home.dialog.locator("ha-selector-select").get_by_role("button").first.click()
    await user.shown(text("Gas (m³)")).click()
    await user.picture("options_sub_meters")
    await home.save_options()
    await user.sees(text("Gas meter {meter_id}", meter_id=SUB_METER), entry)
    await _import_gas(home)


async def _import_gas(home: Home) -> None:
    """Import the statistics of the sub-meter before the tests."""
    hours = len(home.whatwatt.registers)
    registers = [812.5 - 0.2 * (hours - hour) for hour in range(hours)]
    sensor = await home.entity(home.whatwatt, f":counter:{SUB_METER}")
    await home.import_hours(sensor, registers, unit="m³", unit_class="volume")
