"""Take the pictures of the README and the documentation in the demo, with a real browser.

scripts/pictures runs it. Each picture shows one part of a page, in light and in dark mode.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
import math
from pathlib import Path
import tempfile
from typing import Final, cast
from zoneinfo import ZoneInfo

from PIL import Image
from playwright.async_api import FloatRect, Locator, Page, expect

from demo.__main__ import add_readers, announce, open_api, start, start_home_assistant
from demo.home_assistant import ROOT, HomeAssistantApi
from demo.houses import ANNEX, CASA_MIA
from demo.simulated import SimulatedScenario
from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator

from .home import INTEGRATION_PAGE, until
from .pictures import ANIMATION_MS, SCHEMES
from .user import Screen, User, browser

FOLDER: Final = ROOT / "docs/pictures"
PORT: Final = 8123

_PHONE_WIDTH: Final = 390

# Hour of the day.
_EVENING: Final = 19

_PALETTE_SIZE: Final = 256

# Pixels around the subject.
_MARGIN: Final = 6


class Photographer:
    """Browser that opens pages of the demo."""

    def __init__(self, user: User, api: HomeAssistantApi, casa_mia: CurrentlyOneSimulator) -> None:
        """Set the user and a reader of the demo."""
        self._user = user
        self.page: Page = user.page
        self.api = api
        self.casa_mia = casa_mia

    async def open(self, path: str, *, width: int = 1180, height: int = 1700) -> None:
        """Open a page on a screen that shows the whole subject. On a phone, `width` is ignored."""
        if self._user.screen is Screen.PHONE:
            width = _PHONE_WIDTH
        await self.page.set_viewport_size({"width": width, "height": height})
        await self._user.open(path)

    async def take(self, name: str, *subjects: Locator, margin: float = _MARGIN) -> None:
        """Take a picture of a part of the page that contains the subjects."""
        page = self.page
        for subject in subjects:
            await expect(subject).to_be_visible()
        await page.mouse.move(0, 0)
        await page.wait_for_timeout(ANIMATION_MS)
        await expect(page.locator("hui-error-card, hui-warning")).to_have_count(0)
        assert not await page.get_by_text("No activity found").all()
        boxes = [box for subject in subjects if (box := await subject.bounding_box()) is not None]
        path = FOLDER / f"{name}.png"
        await page.screenshot(path=path, clip=_around(boxes, page, margin))
        _reduce_colors(Image.open(path).convert("RGB")).save(path, optimize=True)
        print(f"    {path.stat().st_size / 1000:5.0f} kB  {path.relative_to(ROOT)}", flush=True)


def _around(boxes: Iterable[FloatRect], page: Page, margin: float) -> FloatRect:
    """Return the area of all boxes with a margin."""
    boxes = list(boxes)
    assert page.viewport_size is not None
    left = max(min(box["x"] for box in boxes) - margin, 0)
    top = max(min(box["y"] for box in boxes) - margin, 0)
    right = min(max(box["x"] + box["width"] for box in boxes) + margin, page.viewport_size["width"])
    bottom = min(max(box["y"] + box["height"] for box in boxes) + margin, page.viewport_size["height"])
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _reduce_colors(image: Image.Image) -> Image.Image:
    """Return an image with a palette, a third of its size. The most frequent colors do not change."""
    colors = [color for _, color in sorted(image.getcolors(image.width * image.height) or [], reverse=True)]
    half = _PALETTE_SIZE // 2
    others = image.quantize(half, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).convert("RGB")
    palette = [*colors[:half], *(color for _, color in others.getcolors(half) or [])]
    nearest = {
        color: min(range(len(palette)), key=lambda index: math.dist(palette[index], color))
        for color in colors
    }
    reduced = Image.new("P", image.size)
    reduced.putpalette([band for color in palette for band in color])
    reduced.putdata([nearest[color] for color in image.get_flattened_data()])
    return reduced


type Subject = Callable[[Photographer, str], Awaitable[None]]


async def energy(photographer: Photographer, name: str) -> None:
    """Show yesterday in the Energy dashboard."""
    page = photographer.page
    await photographer.open("/energy/electricity")
    await page.get_by_role("button", name="Previous").first.click()
    # Otherwise, the top of the next card would be in the picture.
    await page.locator("hui-energy-solar-graph-card >> visible=true").evaluate(
        "card => { card.style.visibility = 'hidden' }"
    )
    cards = ("hui-energy-usage-graph-card", "hui-energy-distribution-card")
    await photographer.take(name, *(page.locator(f"{card} >> visible=true") for card in cards))


async def power_tariff(photographer: Photographer, name: str) -> None:
    """Show the dashboard without its appliances."""
    sections = await _open_dashboard(photographer)
    await photographer.take(name, sections.first, sections.nth(3))


async def appliances(photographer: Photographer, name: str) -> None:
    """Show the appliances on the dashboard."""
    sections = await _open_dashboard(photographer)
    await photographer.take(name, sections.nth(4))


async def device(photographer: Photographer, name: str) -> None:
    """Show the page of the whatwatt Go."""
    await _open_device(photographer, ANNEX)
    await _take_device(photographer, name)


async def appliance(photographer: Photographer, name: str) -> None:
    """Show the page of an appliance that has just been turned off."""
    reader = photographer.casa_mia
    if next(each for each in reader.house.appliances if each.id == "dishwasher").index:
        await reader.switch("dishwasher", "off")
    await _open_device(photographer, f"{CASA_MIA}:dishwasher")
    await _take_device(photographer, name)


async def readers(photographer: Photographer, name: str) -> None:
    """Show the page of the integration."""
    await photographer.open(INTEGRATION_PAGE)
    rows = photographer.page.locator("ha-config-entry-row")
    await photographer.take(name, rows.first, rows.last)


async def options(photographer: Photographer, name: str) -> None:
    """Show the menu of the options."""
    page = photographer.page
    await photographer.open(INTEGRATION_PAGE)
    row = page.locator("ha-config-entry-row").filter(has=page.get_by_text("Annex", exact=True)).first
    await row.get_by_role("button", name="Configure").first.click()
    dialog = page.locator("dialog-data-entry-flow").get_by_role("dialog")
    await photographer.take(name, dialog, margin=0)


async def automation(photographer: Photographer, name: str) -> None:
    """Show an automation with the event of an appliance."""
    page = photographer.page
    await photographer.open("/config/automation/edit/demo_coffee", height=700)
    await page.locator("ha-automation-trigger-row").first.click()
    await expect(page.locator("ha-automation-sidebar")).to_contain_text("Event received")
    await photographer.take(name, page.locator("ha-automation-editor"), margin=0)


async def blueprint(photographer: Photographer, name: str) -> None:
    """Show an automation that is made from a blueprint."""
    await photographer.open("/config/automation/edit/demo_dishwasher")
    await photographer.take(name, photographer.page.locator("blueprint-automation-editor ha-card").first)


async def repair(photographer: Photographer, name: str) -> None:
    """Show a problem in the repairs."""
    page = photographer.page
    await photographer.open("/config/repairs", height=330)
    await page.get_by_text("cannot read its meter").first.click()
    await photographer.take(name, page.locator("dialog-repairs-issue").get_by_role("dialog"))


SUBJECTS: Final[Mapping[str, Subject]] = {
    each.__name__: each
    for each in (
        *(energy, power_tariff, appliances, device, appliance, readers, options),
        *(automation, blueprint, repair),
    )
}


async def _open_dashboard(photographer: Photographer) -> Locator:
    """Return its sections."""
    # Wide enough for three columns.
    await photographer.open("/", width=1400, height=2000)
    return photographer.page.locator("hui-grid-section")


async def _open_device(photographer: Photographer, identifier: str) -> None:
    devices = await photographer.api.command("config/device_registry/list")
    id_ = next(each["id"] for each in devices if ["energy_sse", identifier] in each["identifiers"])
    # Wide enough for three columns.
    await photographer.open(f"/config/devices/device/{id_}", width=1280)


async def _take_device(photographer: Photographer, name: str) -> None:
    """Take the picture down to the end of the shorter columns. The sensors below are cut off."""
    page = photographer.page
    related = page.locator("ha-card").filter(has_text="Related").last
    await photographer.take(
        name, page.locator("ha-device-info-card"), related, page.locator("ha-card", has_text="Activity").last
    )


async def take_all(photographer: Photographer, subjects: Iterable[Subject]) -> None:
    """Take the pictures in light and dark mode."""
    for subject in subjects:
        for scheme, ending in SCHEMES.items():
            await photographer.page.emulate_media(color_scheme=scheme)
            await subject(photographer, f"{subject.__name__}{ending}")


async def turn_on_appliances(reader: CurrentlyOneSimulator) -> None:
    """Turn appliances on."""
    for appliance_id, state in (
        *(("stove", "simmering"), ("dishwasher", "washing")),
        *(("stove", "frying"), ("dishwasher", "heating")),
    ):
        await reader.switch(appliance_id, state)


async def require_key(reader: WhatwattSimulator, api: HomeAssistantApi) -> None:
    """Let a meter encrypt its data, and wait until a repair asks for the key."""
    reader.meter_status = "KEY REQUIRED"

    async def has_issue() -> bool:
        return bool((await api.command("repairs/list_issues"))["issues"])

    await until(has_issue)


def _zone_of_evening(now: datetime) -> ZoneInfo:
    """Return a time zone in which it is between 19:00 and 20:00, so that the pictures show an evening."""
    offset = (_EVENING - now.hour + 12) % 24 - 12
    # The sign in these names is the opposite of the usual one.
    return ZoneInfo(f"Etc/GMT{-offset:+}")


async def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=__doc__)
    parser.add_argument("--browser", required=True, help="a Chromium")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(SUBJECTS)}")
    arguments = parser.parse_args()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        zone = _zone_of_evening(datetime.now(UTC))
        scenario = await SimulatedScenario.with_past(folder, is_fast=False, zone=zone)
        hosts = await start(stack, scenario.readers)
        is_announced = await announce(stack, scenario.readers)
        process = await start_home_assistant(stack, folder, "127.0.0.1", PORT)
        api = await open_api(stack, process.url)
        await api.command("config/core/update", time_zone=zone.key)
        await add_readers(api, scenario, hosts, is_announced=is_announced)
        await scenario.run(stack, api)
        by_id = {reader.device_id: reader for reader in scenario.readers}
        casa_mia = cast("CurrentlyOneSimulator", by_id[CASA_MIA])
        await turn_on_appliances(casa_mia)
        chosen = {name: SUBJECTS[name] for name in arguments.names or SUBJECTS}
        on_phone = chosen.pop("repair", None)
        chromium = await stack.enter_async_context(browser(arguments.browser))
        if chosen:
            user = await User.log_in(chromium, api, process.url, "en", folder)
            await take_all(Photographer(user, api, casa_mia), chosen.values())
        if on_phone is not None:
            await require_key(cast("WhatwattSimulator", by_id[ANNEX]), api)
            user = await User.log_in(chromium, api, process.url, "en", folder, screen=Screen.PHONE)
            await take_all(Photographer(user, api, casa_mia), [on_phone])


if __name__ == "__main__":
    asyncio.run(main())
