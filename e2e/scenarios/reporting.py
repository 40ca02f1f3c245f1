"""Report of a problem: a recording, and its replay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
from pathlib import Path
import re
import sys
from typing import Any, Final

from playwright.async_api import Locator, expect

from demo.home_assistant import ROOT
from e2e.home import CURRENTLYONE, INTEGRATION_PAGE, Home, until

_LINE: Final = re.compile(r"\[custom_components\.energy_sse\.reader\.recording\] \S+ (\S+) (\w+ \d+ \w+)")

# The errors of the clocks depend on the time of the test.
_OF_THE_MOMENT: Final = ("reader_clock_drift", "meter_clock_drift")


async def recording(home: Home) -> None:
    """Debug logging is enabled and disabled on the page of the integration, which downloads the recording."""
    user, text, reader = home.user, home.user.text, home.currentlyone.simulator
    await user.open(INTEGRATION_PAGE)
    await (await _open_menu(home, text("Enable debug logging"), "enable_debug_logging")).click()
    await user.sees(text("Debug logging enabled"))
    for appliance in reader.house.appliances:
        for state in appliance.states:
            await reader.switch(appliance.id, state.name)
    telegrams = reader.telegrams

    async def has_sent() -> bool:
        return reader.telegrams > telegrams + 1

    await until(has_sent)
    # The last values are compared.
    reader.meter_is_connected = False
    disable = await _open_menu(home, text("Disable debug logging"), "disable_debug_logging")
    async with user.page.expect_download() as downloading:
        await disable.click()
    await (await downloading.value).save_as(user.folder / "home-assistant.log")
    await user.sees_no(text("Debug logging enabled"))


async def report(home: Home) -> None:
    """The recording and the diagnostics do not contain the names of the reader and its appliances."""
    user, text = home.user, home.user.text
    menu = home.entry(CURRENTLYONE)
    await menu.get_by_role("button", name=text("Menu")).first.click()
    await expect(user.page.get_by_role("menuitem", name=text("Download diagnostics"))).to_be_visible()
    await user.picture("download_diagnostics")
    await user.page.keyboard.press("Escape")
    diagnostics = await _download_diagnostics(home, CURRENTLYONE)
    device_id, host = home.currentlyone.simulator.device_id, home.currentlyone.host
    for text in (json.dumps(diagnostics), "\n".join(_recorded(home))):
        for secret in (device_id, host, "mocca", "casa mia"):
            assert secret not in text.lower(), secret
    (user.folder / "diagnostics.json").write_text(json.dumps({"data": diagnostics}))


async def replay(home: Home) -> None:
    """A replayed recording is added as a reader, and shows the same values."""
    user = home.user
    recorded = json.loads((user.folder / "diagnostics.json").read_text())["data"]
    (user.folder / "recording.log").write_text("\n".join(_recorded(home)) + "\n")
    async with _replayed(home, user.folder / "recording.log") as has_ended:
        await user.open(INTEGRATION_PAGE)
        await user.press(user.text("Add hub"))
        await home.add_by_hand(str(home.unused_host.address))
        await user.finish("Skip and finish")
        await asyncio.wait_for(has_ended, 60)
        entries = await home.api.command("config_entries/get", domain="energy_sse")
        entry = next(entry for entry in entries if entry["title"].startswith("anon-"))
        await user.open(INTEGRATION_PAGE)
        replayed = await _download_diagnostics(home, entry["title"])
    assert _shown(replayed) == _shown(recorded)
    await home.api.delete(f"/api/config/config_entries/entry/{entry['entry_id']}")
    reader = home.currentlyone.simulator
    reader.meter_is_connected = True
    for appliance in reader.house.appliances:
        await reader.switch(appliance.id, "off")


async def _open_menu(home: Home, item: re.Pattern[str], picture: str) -> Locator:
    """Open the menu of the page of the integration. Return an item of it."""
    menu = home.user.page.locator('ha-dropdown[slot="toolbar-icon"]')
    await menu.get_by_role("button", name=home.user.text("Menu")).click()
    found = menu.get_by_role("menuitem", name=item)
    await expect(found).to_be_visible()
    await home.user.picture(picture)
    return found


async def _download_diagnostics(home: Home, title: str) -> dict[str, Any]:
    user = home.user
    async with user.page.expect_download() as downloading:
        await user.choose_in_menu(home.entry(title), user.text("Download diagnostics"))
    data: dict[str, Any] = json.loads((await (await downloading.value).path()).read_text())["data"]
    return data


def _recorded(home: Home) -> list[str]:
    """Return the lines of the downloaded log about the reader whose appliance did something."""
    lines = (home.user.folder / "home-assistant.log").read_text().splitlines()
    matches = [(match[1], line) for line in lines if (match := _LINE.search(line))]
    device = next(device for device, line in matches if " transition " in line)
    pattern = re.compile(rf"energy_sse\.reader\.recording\] \S+ {device} ")
    return [line for line in lines if pattern.search(line)]


@asynccontextmanager
async def _replayed(home: Home, path: Path) -> AsyncIterator[asyncio.Task[None]]:
    """Replay the recording in a process with its own address. Yield a task that ends with it."""
    command = (sys.executable, "-m", "tests.simulators", "replay", str(path), "--port", "80", "--speed", "5")
    with home.unused_host.namespace.entered():
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout

    async def reach(text: bytes) -> None:
        while text not in await output.readline():
            assert not output.at_eof()

    try:
        await reach(b"listens on port 80")
        yield (ending := asyncio.create_task(reach(b"has ended")))
        ending.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _shown(diagnostics: dict[str, Any]) -> dict[str, Any]:
    """Return the states of a reader that do not depend on the time."""
    values = diagnostics["readings"]["values"]
    entities = {(each["platform"], each["key"]): each["state"] for each in diagnostics["entities"]}
    return {
        "values": {key: value for key, value in values.items() if key not in _OF_THE_MOMENT},
        "entities": sorted(entities),
        # Without events and last runs, which have the time of the replay.
        "appliances": {
            (platform, key): state
            for (platform, key), state in entities.items()
            if key.startswith("anon-") and platform != "event" and not key.endswith(":last_run")
        },
    }
