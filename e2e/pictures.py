"""Take the pictures of docs/missed-hours.md: a day with an outage in the Energy dashboard, in a real browser.

A test makes the databases of that day, with and without corrected hours. `scripts/measure pictures` runs it.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
import shutil
import tempfile
from typing import Final, Literal

from demo.home_assistant import ROOT, HomeAssistantApi, HomeAssistantProcess, free_port
from demo.setting_up import HOME, grid_source

from .user import User, browser

CONFIGURATION = """\
frontend:
config:
history:
recorder:
energy:
"""

IMPORT, EXPORT = (f"sensor.energy_sse_b8b41879cf58_active_energy_{way}" for way in ("import", "export"))

CARD = "hui-energy-usage-graph-card"

# Endings of the names of pictures.
SCHEMES: Final[Mapping[Literal["light", "dark"], str]] = {"light": "", "dark": "_dark"}

# Milliseconds of the animation of the bars.
ANIMATION_MS: Final = 3000


@asynccontextmanager
async def home_assistant(folder: Path) -> AsyncIterator[tuple[str, HomeAssistantApi]]:
    """Run Home Assistant with a folder, and with import and export in its Energy dashboard."""
    port = free_port(0, "127.0.0.1", "Home Assistant")
    process = HomeAssistantProcess(folder, address="127.0.0.1", port=port)
    process.configuration = CONFIGURATION
    await process.start()
    try:
        async with HomeAssistantApi(process.url) as api:
            await api.onboard("Demo", "demo", "demo")
            await api.wait_running()
            await api.command("config/core/update", **HOME)
            for sensor, name in ((IMPORT, "Energy import"), (EXPORT, "Energy export")):
                await api.post(
                    f"/api/states/{sensor}", {"state": "unknown", "attributes": {"friendly_name": name}}
                )
            await api.command("energy/save_prefs", energy_sources=[grid_source(IMPORT, EXPORT)])
            yield process.url, api
    finally:
        await process.stop()


async def take_picture(user: User, path: Path) -> None:
    """Open the Energy dashboard, go back to yesterday, and take a picture of its first card."""
    page = user.page
    await page.goto(f"{user.url}/energy/electricity")
    await page.get_by_role("button", name="Previous").first.click()
    card = page.locator(CARD)
    await card.get_by_text("Energy export").wait_for()
    await page.wait_for_timeout(ANIMATION_MS)
    await card.screenshot(path=path)


async def main() -> None:
    """Take a picture of each database in a folder."""
    parser = argparse.ArgumentParser(prog="python -m e2e.pictures", description=__doc__)
    parser.add_argument("--browser", required=True)
    parser.add_argument("databases", type=Path, help="a folder")
    arguments = parser.parse_args()
    async with browser(arguments.browser) as chromium:
        for database in sorted(arguments.databases.glob("*.db")):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                shutil.copy(database, folder / "home-assistant_v2.db")
                async with home_assistant(folder) as (url, api):
                    user = await User.log_in(chromium, api, url, "en", folder)
                    for scheme, ending in SCHEMES.items():
                        await user.page.emulate_media(color_scheme=scheme)
                        path = ROOT / "docs/pictures" / f"outage_{database.stem}{ending}.png"
                        await take_picture(user, path)
                    await user.page.close()


if __name__ == "__main__":
    asyncio.run(main())
