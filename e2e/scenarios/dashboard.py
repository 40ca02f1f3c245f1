"""Dashboard of the documentation."""

import re

from playwright.async_api import expect

from demo import dashboard, power_tariff
from demo.setting_up import set_options
from e2e.home import CURRENTLYONE, Home, until


async def shown(home: Home) -> None:
    """The dashboard of the documentation shows each card, and no error."""
    user, api = home.user, home.api
    entries = await api.command("config_entries/get", domain="energy_sse")
    entry_id = next(entry["entry_id"] for entry in entries if entry["title"] == CURRENTLYONE)
    await set_options(api, entry_id, "supply", {"main_fuse": 25, "phases": "3"})
    await power_tariff.set_up(api, entry_id)

    async def has_demand() -> bool:
        states = {state["entity_id"]: state["state"] for state in await api.get("/api/states")}
        return states.get("sensor.power_tariff_expected_demand", "")[:1].isdigit()

    await until(has_demand)
    await dashboard.set_up(api)
    await user.open("/")
    await user.page.wait_for_url(f"**/{dashboard.PATH}/*")
    for card, count in (("gauge", 2), ("statistics-graph", 2), ("history-graph", 4), ("markdown", 1)):
        await expect(user.page.locator(f"hui-{card}-card")).to_have_count(count)
    await expect(user.page.locator("hui-gauge-card").first).to_contain_text(re.compile(r"\d\s*kW"))
    await expect(user.page.locator("hui-markdown-card")).to_contain_text("Billed")
    await expect(user.page.locator("hui-error-card, hui-warning")).to_have_count(0)
    await user.picture("dashboard")
    (tariff,) = await api.command("config_entries/subentries/list", entry_id=entry_id)
    await api.command(
        "config_entries/subentries/delete", entry_id=entry_id, subentry_id=tariff["subentry_id"]
    )
    await home.is_streaming(home.currentlyone)
