"""Diagnostics, and the removal of all entries."""

import json
from pathlib import Path

from playwright.async_api import expect

from e2e.home import (
    ATTIC,
    CURRENTLYONE,
    GARAGE,
    INTEGRATION_PAGE,
    NEW_PASSWORD,
    PASSWORD,
    SUB_METER,
    WHATWATT,
    Home,
)


async def diagnostics(home: Home) -> None:
    """Diagnostics are downloaded, and do not contain passwords and ids."""
    user = home.user
    await user.open(INTEGRATION_PAGE)
    async with user.page.expect_download() as downloading:
        await user.choose_in_menu(home.entry(WHATWATT), user.text("Download diagnostics"))
    text = _data_of(await (await downloading.value).path())
    device_id, host = home.whatwatt.simulator.device_id, home.whatwatt.host
    for secret in (f'"{PASSWORD}"', NEW_PASSWORD, device_id, device_id.lower(), SUB_METER, host):
        assert secret not in text, secret


def _data_of(path: Path) -> str:
    """Return the data of the integration in a file of diagnostics."""
    data = json.loads(path.read_text())["data"]
    assert data
    return json.dumps(data)


async def removal(home: Home) -> None:
    """All entries are deleted, and no data is left."""
    user = home.user
    await user.open(INTEGRATION_PAGE)
    for title in (ATTIC, CURRENTLYONE, GARAGE, WHATWATT):
        await user.choose_in_menu(home.entry(title), user.text("Delete"))
        await user.press(user.text("Delete"), user.page.locator("dialog-box"))
        await expect(home.entry(title)).to_have_count(0)
    assert await home.api.command("config_entries/get", domain="energy_sse") == []
    left = json.dumps(
        [
            await home.api.command("config/device_registry/list"),
            await home.api.command("config/entity_registry/list"),
            await home.api.command("repairs/list_issues"),
            await home.api.get("/api/states"),
        ]
    ).lower()
    for trace in ('"energy_sse"', home.whatwatt.simulator.device_id.lower(), "casa_mia"):
        assert trace not in left, trace
