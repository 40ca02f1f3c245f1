"""Takes the pictures of docs/statistics.md: the Energy dashboard's day with an outage, in a real browser.

Shows the databases of that day, with and without its hours filled, which a test has lived through:
`scripts/pictures` does both.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
import json
from pathlib import Path
import shutil
import sys
import tempfile

from playwright.async_api import Page, async_playwright

from .__main__ import HOME, free_port, grid_source
from .home_assistant import ROOT, HomeAssistantApi, HomeAssistantProcess

CONFIGURATION = """\
frontend:
config:
history:
recorder:
energy:
logger:
  default: warning
"""

IMPORT, EXPORT = (f"sensor.energy_sse_b8b41879cf58_active_energy_{way}" for way in ("import", "export"))

BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

CARD = "hui-energy-usage-graph-card"


@asynccontextmanager
async def home_assistant(database: Path) -> AsyncGenerator[HomeAssistantApi]:
    """Run a Home Assistant on a database, with import and export in its Energy dashboard."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(database, Path(folder) / "home-assistant_v2.db")
        port = free_port(0, "127.0.0.1", "Home Assistant")
        process = HomeAssistantProcess(Path(folder), address="127.0.0.1", port=port)
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
                yield api
        finally:
            await process.stop()


async def take_picture(page: Page, api: HomeAssistantApi, path: Path) -> None:
    """Open the Energy dashboard, go back to yesterday, and take a picture of its first card."""
    tokens = {**api.tokens, "hassUrl": api.url, "clientId": f"{api.url}/", "expires": 1e13}
    await page.add_init_script(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens))})")
    await page.goto(f"{api.url}/energy/electricity")
    await page.get_by_role("button", name="Previous").first.click()
    card = page.locator(CARD)
    await card.get_by_text("Energy export").wait_for()
    # The bars grow for a second.
    await page.wait_for_timeout(3000)
    await card.screenshot(path=path)


async def main(folder: Path) -> None:
    """Take a picture of each database in a folder."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=BROWSER_ARGUMENTS
        )
        for database in sorted(folder.glob("*.db")):
            async with home_assistant(database) as api:
                page = await browser.new_page(
                    viewport={"width": 1000, "height": 900}, device_scale_factor=1.5
                )
                await take_picture(page, api, ROOT / "docs" / f"outage_{database.stem}.png")
                await page.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
