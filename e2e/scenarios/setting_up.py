"""Onboarding, two discovered readers, and two that are added by address."""

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
    """Two readers are discovered, with their names and the icon."""
    await home.user.open("/config/integrations/dashboard")
    for title in (WHATWATT, CURRENTLYONE_FOUND):
        await home.user.sees(title)
        icon = home.discovered(title).locator("img")
        await expect(icon).to_have_attribute("src", re.compile(r"/brands/integration/energy_sse/"))
        await expect(icon).to_have_js_property("naturalWidth", 256)
    await home.user.picture("discovered")


async def wrong_password(home: Home) -> None:
    """A wrong password is rejected with a reason."""
    user = home.user
    await user.press(user.text("Add"), home.discovered(WHATWATT))
    question = "{name} at {host} is protected by a password."
    await user.sees(user.text(question, name=WHATWATT, host=home.whatwatt.host))
    await home.enter_password("wrong")
    await user.sees(user.text(user.translations.whole("The reader rejects this password.")))
    await user.picture("password")


async def right_password(home: Home) -> None:
    """The right password adds the whatwatt, which has its own page."""
    user = home.user
    await home.enter_password(PASSWORD)
    await user.finish("Skip and finish")
    await user.page.wait_for_url("**/config/devices/device/*")
    await expect(home.row("Net power")).to_contain_text(re.compile(r"\d\s*W"))
    await user.sees(user.text("Firmware: {version}", version="2.8.2"))
    await user.picture("device")


async def one_confirmation(home: Home) -> None:
    """One confirmation adds the CurrentlyOne with its appliances."""
    user = home.user
    await user.open("/config/integrations/dashboard")
    await user.press(user.text("Add"), home.discovered(CURRENTLYONE_FOUND))
    question = "Do you want to add {name}, discovered at {host}?"
    await user.sees(user.text(question, name=CURRENTLYONE_FOUND, host=home.currentlyone.host))
    await user.press(user.text("Submit"))
    await user.finish("Skip and finish")
    await user.open(INTEGRATION_PAGE)
    for title in ("Dishwasher", "Heat pump", "Mocca Master"):
        await user.sees(title, home.entry(CURRENTLYONE))


async def search(home: Home) -> None:
    """The search finds the integration by the names of the products."""
    user = home.user
    await user.open("/config/integrations/dashboard")
    await user.press(user.text("Add integration"))
    chooser = user.page.locator("dialog-add-integration")
    for product in ("CurrentlyOne", "whatwatt"):
        await chooser.get_by_role("textbox").fill(product)
        found = chooser.get_by_role("button", name=user.translations.integration)
        await expect(found).to_be_visible()
    await found.click()
    await user.sees(user.text("Add a reader"))


async def invalid_hosts(home: Home) -> None:
    """Invalid addresses are rejected at their field."""
    user = home.user
    for host, picture, reason in (
        ("not an address", "invalid", "This is not an address."),
        (f"https://{home.attic.host}", "encrypted", "The readers do not support https."),
    ):
        await home.add_by_hand(host)
        await home.sees_error(user.text(user.translations.whole(reason)), "Host")
        await user.picture(f"host_{picture}")


async def wrong_hosts(home: Home) -> None:
    """Unknown host names, unused addresses and other devices are rejected with a reason."""
    user = home.user
    async with _printer(home.unused_host) as printers_host:
        for host, picture, reason in (
            ("reader.invalid", "unknown", "Home Assistant cannot resolve this host name."),
            (_NOBODYS_ADDRESS, "offline", "No device responds at this address."),
            (printers_host, "printer", "A device responds at this address, but it is neither"),
        ):
            await home.add_by_hand(host)
            await user.sees(user.text(user.translations.whole(reason)))
            await user.picture(f"host_{picture}")


async def by_hand(home: Home) -> None:
    """One reader is added by its host and port, another one by its host."""
    user = home.user
    for reader in (home.attic, home.garage):
        await user.open(INTEGRATION_PAGE)
        await user.press(user.text("Add hub"))
        await home.add_by_hand(reader.host)
        await user.finish("Skip and finish")
    await user.open(INTEGRATION_PAGE)
    await home.has_readers(WHATWATT, CURRENTLYONE, ATTIC, GARAGE)
    await user.picture("readers")


@asynccontextmanager
async def _printer(host: Host) -> AsyncIterator[str]:
    """Run another web server, and return its address."""

    async def respond(_request: web.Request) -> web.Response:
        return web.json_response({"I am": "a printer"})

    app = web.Application()
    app.add_routes([web.get("/", respond)])
    runner = web.AppRunner(app)
    await runner.setup()
    with host.namespace.entered():
        await web.TCPSite(runner, str(host.address), 80).start()
    try:
        yield str(host.address)
    finally:
        await runner.cleanup()
