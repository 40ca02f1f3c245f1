"""Living with it: an appliance, an automation, the options."""

import re

from playwright.async_api import expect

from e2e.home import CURRENTLYONE, INTEGRATION_PAGE, SUB_METER, WHATWATT, Home


async def appliance(home: Home) -> None:
    """An appliance has a page of its own, which follows what it does."""
    person, switch = home.person, home.currentlyone.simulator.switch
    await person.open(INTEGRATION_PAGE)
    await person.shown("Mocca Master", home.entry(CURRENTLYONE)).click()
    await person.page.wait_for_url("**/config/devices/device/*")
    await switch("mocca_mast", "on")
    await expect(home.row("Power")).to_contain_text(re.compile(r"1\D?450\s*W"))
    await person.picture("appliance")
    await switch("mocca_mast", "off")
    await expect(home.row("Power")).to_contain_text(re.compile(r"\b0\s*W"))


async def deletion(home: Home) -> None:
    """An appliance that is still there cannot be deleted, and the reason is said."""
    person, say = home.person, home.person.say
    page = person.page.locator("ha-config-device-page")
    await page.get_by_role("button", name=say("Menu")).last.click()
    await page.get_by_role("menuitem", name=say("Delete")).click()
    dialog = person.page.locator("dialog-box")
    await person.press(say("Delete"), dialog)
    await person.sees(say(person.words.whole("{name} cannot be deleted"), name="Mocca Master"), dialog)
    await person.press(say("OK"), dialog)
    # As it goes, it may go back a page.
    await expect(dialog.get_by_role("dialog")).to_have_count(0)


async def automation(home: Home) -> None:
    """An automation is built in the editor on an event of the appliance, and runs."""
    person, switch = home.person, home.currentlyone.simulator.switch
    await person.open("/config/automation/edit/new")
    await _trigger(home)
    await _action(home, "Coffee is ready.")
    await person.press(person.say("Save"))
    dialog = person.page.locator("ha-dialog-automation-save")
    await dialog.get_by_role("textbox").first.fill("Coffee")
    await person.press(person.say("Save"), dialog)
    await person.page.wait_for_url(re.compile(r"/config/automation/edit/\d+"))
    await switch("mocca_mast", "on")
    await switch("mocca_mast", "off")
    await person.read_notifications()
    await person.sees("Coffee is ready.")


async def _trigger(home: Home) -> None:
    """Choose: when the Mocca Master is turned off."""
    person, words = home.person, home.person.words
    await person.press(person.say("Add trigger"))
    chooser = person.page.locator("add-automation-element-dialog")
    await chooser.get_by_role("textbox").fill("Mocca")
    await person.press(re.compile(rf"^{words.pattern('Transition')}"), chooser)
    await person.press(re.compile(rf"^{words.pattern('Event received')}"), chooser)
    # The field of the event is the one that is required.
    await person.press(re.compile(r"\*$"), person.page.locator("ha-automation-sidebar"))
    await person.shown(person.say("Turned off")).click()
    await person.picture("automation")
    await person.page.keyboard.press("Escape")


async def _action(home: Home, message: str) -> None:
    """Choose: show a notification."""
    person, words = home.person, home.person.words
    action = "Create persistent notification"
    await person.press(person.say("Add action"))
    chooser = person.page.locator("add-automation-element-dialog")
    await chooser.get_by_role("textbox").fill(words.typed(action))
    await person.press(re.compile(words.pattern(action)), chooser)
    # As it goes, it gives the focus back to what opened it.
    await expect(chooser.get_by_role("dialog")).to_have_count(0)
    sidebar = person.page.locator("ha-automation-sidebar")
    await person.sees(person.say("Message body of the notification."), sidebar)
    await sidebar.get_by_role("textbox").first.fill(message)


async def options(home: Home) -> None:
    """The options are changed, and what a sub-meter measures is told."""
    person, say = home.person, home.person.say
    home.whatwatt.simulator.sub_meters = {SUB_METER: 812.5}
    await person.open(INTEGRATION_PAGE)
    entry = home.entry(WHATWATT)
    await person.sees(say("Sub-meter {meter_id}", meter_id=SUB_METER), entry)
    await person.press(say("Configure"), entry)
    fields = person.page.locator("ha-selector-select")
    await fields.first.click()
    await person.shown(say("10 seconds")).click()
    await fields.last.click()
    await person.shown(say("Gas (m³)")).click()
    await person.picture("options")
    await person.press(say("Submit"))
    await person.finish("Finish")
    await person.sees(say("Gas meter {meter_id}", meter_id=SUB_METER), entry)
    await _remember_gas(home)


async def _remember_gas(home: Home) -> None:
    """Import the statistics of the sub-meter before the walk."""
    hours = len(home.whatwatt.registers)
    registers = [812.5 - 0.2 * (hours - hour) for hour in range(hours)]
    sensor = await home.entity(home.whatwatt, f":counter:{SUB_METER}")
    await home.import_hours(sensor, registers, unit="m³", unit_class="volume")
