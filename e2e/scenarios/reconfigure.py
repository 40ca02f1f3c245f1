"""Changes: an address without an announcement, a password, another client, and the key of a meter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import re

import aiohttp
from playwright.async_api import expect

from e2e.home import ATTIC, GARAGE, INTEGRATION_PAGE, NEW_PASSWORD, PASSWORD, WHATWATT, Home
from e2e.readers import Reader
from tests.simulators import WhatwattSimulator
from tests.simulators.digest import BasicAuth


async def reconfigure(home: Home) -> None:
    """Another reader at the address is a repair, which opens the dialog for the right address."""
    user, text = home.user, home.user.text
    await home.attic.leave()
    other = Reader(
        home.attic.machine, WhatwattSimulator(home.attic.simulator.house, device_id="ECC9FF8A2B30"), port=8080
    )
    await other.plug_in(is_announced=False)
    home.attic.machine = home.unused_host
    await home.attic.plug_in(is_announced=False)
    await home.open_repairs("wrong_device")
    title = text("{name}: another reader responds at its address", name=ATTIC)
    await user.shown(title).click()
    await user.picture("wrong_reader")
    await user.press(text("Reconfigure"))
    await home.add_by_hand(home.garage.host)
    reason = user.translations.whole("Another reader responds at this address: {found}. Enter")
    await user.sees(text(reason, found=f"{GARAGE} (CurrentlyOne)"))
    await home.add_by_hand(home.attic.host)
    await user.sees(text("Reconfiguration was successful"))
    await user.finish("Close")
    await home.is_streaming(home.attic)
    await user.sees_no(title)
    await other.leave()


async def new_password(home: Home) -> None:
    """A changed password is requested, and then used."""
    user, text = home.user, home.user.text
    auth = home.whatwatt.simulator.auth
    assert auth is not None
    auth.password = NEW_PASSWORD
    home.whatwatt.simulator.end_streams()
    await user.open(INTEGRATION_PAGE)
    await user.sees(text("Needs attention"))
    await user.press(text("Reconfigure"))
    reason = user.translations.whole("Home Assistant could not log in to {name} at {host}.")
    await user.sees(text(reason, name=WHATWATT, host=home.whatwatt.host))
    await home.enter_password(NEW_PASSWORD)
    await user.sees(text("Re-authentication was successful"))
    await user.finish("Close")
    await home.is_streaming(home.whatwatt)


async def weaker_authentication(home: Home) -> None:
    """A reader gets its password unencrypted only after a question."""
    user, text, simulator = home.user, home.user.text, home.whatwatt.simulator
    digest, simulator.auth = simulator.auth, BasicAuth(NEW_PASSWORD)
    simulator.end_streams()
    await user.open(INTEGRATION_PAGE)
    await user.sees(text("Needs attention"))
    await user.press(text("Reconfigure"))
    await home.enter_password(NEW_PASSWORD)
    await user.sees(text("Send the password unencrypted?"))
    await user.picture("unencrypted")
    simulator.auth = digest
    await user.press(text("Submit"))
    await user.sees(text("Re-authentication was successful"))
    await user.finish("Close")
    await home.is_streaming(home.whatwatt)


async def removed_password(home: Home) -> None:
    """A reader that no longer requires its password is used only after the user has confirmed."""
    user, text, simulator = home.user, home.user.text, home.whatwatt.simulator
    simulator.auth = None
    simulator.end_streams()
    await user.open(INTEGRATION_PAGE)
    await user.sees(text("Needs attention"))
    await user.press(text("Reconfigure"))
    await user.sees(text("Connect without a password?"), home.dialog)
    reason = user.translations.whole("{name} at {host} does not ask for its password any more.")
    await user.sees(text(reason, name=WHATWATT, host=home.whatwatt.host), home.dialog)
    await user.picture("unprotected")
    await user.press(text("Submit"), home.dialog)
    await user.sees(text("Re-authentication was successful"))
    await user.finish("Close")
    await home.is_streaming(home.whatwatt)


async def contention(home: Home) -> None:
    """An issue is shown while another client takes the stream of a reader. *Reload* then reconnects."""
    user, text = home.user, home.user.text
    title = text("{name}: another client takes its stream", name=ATTIC)
    async with _another_client(home.attic):
        await home.open_repairs("stream_contended")
        await user.shown(title).click()
        dialog = user.page.locator("dialog-repairs-issue")
        reason = user.translations.whole("The reader sends its data to one client at a time.")
        await user.sees(text(reason), dialog)
        link = dialog.get_by_role("link", name=text("Learn more"))
        await expect(link).to_have_attribute(
            "href", re.compile(r"/docs/troubleshooting\.md#stream-contended$")
        )
        await user.picture("contention")
        await user.press(text("Close"), dialog)
        await expect(dialog.get_by_role("dialog")).to_have_count(0)
    await user.open(INTEGRATION_PAGE)
    await user.choose_in_menu(home.entry(ATTIC), text("Reload"))
    await home.is_streaming(home.attic)
    await home.open_repairs()
    await user.sees_no(title)


@asynccontextmanager
async def _another_client(reader: Reader[WhatwattSimulator]) -> AsyncIterator[None]:
    """Take the stream of a reader again whenever another client has it."""

    async def take_streams() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://{reader.host}{reader.simulator.stream_path}") as response:
                    await response.read()

    client = asyncio.create_task(take_streams())
    try:
        yield
    finally:
        client.cancel()
        await asyncio.wait([client])


async def repair(home: Home) -> None:
    """A problem that only the user can solve is a repair until it is solved."""
    user, simulator = home.user, home.attic.simulator
    simulator.meter_status = "KEY REQUIRED"
    simulator.end_streams()
    await home.open_repairs("meter_key_required")
    title = user.text("{name} cannot read its meter", name=ATTIC)
    await user.shown(title).click()
    await user.sees(user.text(user.translations.whole("The meter encrypts its data.")))
    await user.picture("repair")
    simulator.meter_status = "OK"
    simulator.end_streams()
    await home.open_repairs()
    await user.sees_no(title)


async def protected_device(home: Home) -> None:
    """Another device with a password at the address of a CurrentlyOne is a repair."""
    user, text = home.user, home.user.text
    house = home.attic.simulator.house
    other = Reader(home.garage.machine, WhatwattSimulator(house, device_id="ECC9FF8A2B30", password=PASSWORD))
    await home.garage.leave()
    await other.plug_in(is_announced=False)
    await home.open_repairs("protected_device")
    title = text("{name}: another device responds at its address", name=GARAGE)
    await user.shown(title).click()
    reason = user.translations.whole("At {host}, a device responds that requires a password")
    await user.sees(text(reason, reader=f"{GARAGE} (CurrentlyOne)", host=home.garage.host))
    await user.picture("protected_device")
    await other.leave()
    await home.garage.plug_in()
    await home.open_repairs()
    await user.sees_no(title)


async def withdrawn_discovery(home: Home) -> None:
    """A discovered reader that announces its end is not offered any more."""
    simulator = WhatwattSimulator(home.attic.simulator.house, device_id="ECC9FF8A2B30")
    reader = Reader(home.unused_host, simulator)
    await reader.plug_in()
    await home.user.open("/config/integrations/dashboard")
    await home.user.sees("whatwatt Go 8A2B30")
    await reader.leave()
    await home.user.sees_no("whatwatt Go 8A2B30")
