"""From the first page to four readers: two that were discovered, two by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import re
from typing import Final

from aiohttp import web
from playwright.async_api import expect

from e2e.home import (
    ATTIC,
    CURRENTLYONE,
    CURRENTLYONE_FOUND,
    GARAGE,
    INTEGRATION_PAGE,
    PASSWORD,
    WHATWATT,
    Home,
)
from e2e.network import Host

_NOBODYS_ADDRESS: Final = "10.83.0.200"


async def discovery(home: Home) -> None:
    """Two readers are discovered, by name, and with our icon."""
    await home.person.open("/config/integrations/dashboard")
    for title in (WHATWATT, CURRENTLYONE_FOUND):
        await home.person.sees(title)
        icon = home.discovered(title).locator("img")
        await expect(icon).to_have_attribute("src", re.compile(r"/brands/integration/energy_sse/"))
        await expect(icon).to_have_js_property("naturalWidth", 256)
    await home.person.picture("discovered")


async def wrong_password(home: Home) -> None:
    """A wrong password is refused, with a reason."""
    person = home.person
    await person.press(person.say("Add"), home.discovered(WHATWATT))
    question = "{name} at {host} is protected by a password."
    await person.sees(person.say(question, name=WHATWATT, host=home.whatwatt.host))
    await home.enter_password("wrong")
    await person.sees(person.say(person.words.whole("The reader refuses this password.")))
    await person.picture("password")


async def right_password(home: Home) -> None:
    """With the right one the whatwatt is there, on a page of its own."""
    person = home.person
    await home.enter_password(PASSWORD)
    await person.finish("Skip and finish")
    await person.page.wait_for_url("**/config/devices/device/*")
    await expect(home.row("Net power")).to_contain_text(re.compile(r"\d\s*W"))
    await person.sees(person.say("Firmware: {version}", version="2.8.2"))
    await person.picture("device")


async def one_question(home: Home) -> None:
    """The CurrentlyOne is there after one question, with its appliances."""
    person = home.person
    await person.open("/config/integrations/dashboard")
    await person.press(person.say("Add"), home.discovered(CURRENTLYONE_FOUND))
    question = "Do you want to add {name}, found at {host}?"
    await person.sees(person.say(question, name=CURRENTLYONE_FOUND, host=home.currentlyone.host))
    await person.press(person.say("Submit"))
    await person.finish("Skip and finish")
    await person.open(INTEGRATION_PAGE)
    for title in ("Dishwasher", "Heat pump", "Mocca Master"):
        await person.sees(title, home.entry(CURRENTLYONE))


async def search(home: Home) -> None:
    """Whoever has to look for the integration finds it by the name of the product."""
    person = home.person
    await person.open("/config/integrations/dashboard")
    await person.press(person.say("Add integration"))
    chooser = person.page.locator("dialog-add-integration")
    for product in ("CurrentlyOne", "whatwatt"):
        await chooser.get_by_role("textbox").fill(product)
        found = chooser.get_by_role("button", name=person.say("whatwatt & CurrentlyOne (Energy SSE)"))
        await expect(found).to_be_visible()
    await found.click()
    await person.sees(person.say("Add a meter reader"))


async def wrong_hosts(home: Home) -> None:
    """What is no address, answers nothing, or is no reader, is refused with a reason."""
    person = home.person
    async with _printer(home.unused_host) as printers_host:
        for host, reason in (
            ("not an address", "This is not an address."),
            (_NOBODYS_ADDRESS, "Nothing answers at this address."),
            (printers_host, "Something answers at this address, but it is neither"),
        ):
            await home.add_by_hand(host)
            await person.sees(person.say(person.words.whole(reason)))


async def by_hand(home: Home) -> None:
    """One reader is added by its host and port, another one by its host."""
    person = home.person
    for reader in (home.attic, home.garage):
        await person.open(INTEGRATION_PAGE)
        await person.press(person.say("Add hub"))
        await home.add_by_hand(reader.host)
        await person.finish("Skip and finish")
    await person.open(INTEGRATION_PAGE)
    await home.has_readers(WHATWATT, CURRENTLYONE, ATTIC, GARAGE)
    await person.picture("readers")


@asynccontextmanager
async def _printer(host: Host) -> AsyncIterator[str]:
    """Run a web server that is no reader, and return where."""

    async def say_hello(_request: web.Request) -> web.Response:
        return web.json_response({"I am": "a printer"})

    app = web.Application()
    app.add_routes([web.get("/", say_hello)])
    runner = web.AppRunner(app)
    await runner.setup()
    with host.namespace.entered():
        await web.TCPSite(runner, str(host.address), 80).start()
    try:
        yield str(host.address)
    finally:
        await runner.cleanup()
