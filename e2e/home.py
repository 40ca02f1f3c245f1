"""A home: its user, its Home Assistant and its readers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import re
from typing import Any, Final

from playwright.async_api import Locator, expect

from demo.home_assistant import HomeAssistantApi
from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator

from .network import Host
from .readers import PAST_HOURS, Reader
from .user import PATIENCE, Text, User

INTEGRATION_PAGE: Final = "/config/integrations/integration/energy_sse"

# Names in Home Assistant.
WHATWATT: Final = "whatwatt Go 5C7F14"
CURRENTLYONE: Final = "Casa Mia"
CURRENTLYONE_FOUND: Final = "Casa Mia (CurrentlyOne)"
ATTIC: Final = "Attic"
GARAGE: Final = "Garage"

PASSWORD: Final = "watt"
NEW_PASSWORD: Final = "another"
SUB_METER: Final = "80123456"


@dataclass
class Home:
    """A home with two announced readers, and two others."""

    user: User
    api: HomeAssistantApi
    whatwatt: Reader[WhatwattSimulator]
    currentlyone: Reader[CurrentlyOneSimulator]
    attic: Reader[WhatwattSimulator]
    garage: Reader[CurrentlyOneSimulator]
    unused_host: Host
    first_hour: datetime
    """The first hour that the readers have simulated."""

    # -------------------------------------------------------------------------------- parts of a page

    def discovered(self, title: str) -> Locator:
        """Return the card of a reader that was discovered."""
        cards = self.user.page.locator("ha-config-flow-card")
        return cards.filter(has=self.user.page.get_by_text(title, exact=True))

    def entry(self, title: str) -> Locator:
        """Return the row of a reader on the page of the integration."""
        rows = self.user.page.locator("ha-config-entry-row")
        return rows.filter(has=self.user.page.get_by_text(title, exact=True)).first

    def row(self, english: str, **placeholders: str) -> Locator:
        """Return the row of an entity on the page of its device."""
        rows = self.user.page.locator("hui-sensor-entity-row, hui-simple-entity-row, hui-event-entity-row")
        return rows.filter(has=self.user.page.get_by_text(self.user.text(english, **placeholders)))

    @property
    def dialog(self) -> Locator:
        """Return the dialog that asks for settings."""
        return self.user.page.locator("dialog-data-entry-flow")

    # ------------------------------------------------------------------------------ frequent actions

    def list_field(self, field: str) -> Locator:
        """Return the button of a field in a dialog. Its name also contains the selected option."""
        label = re.compile(rf"^\s*{self.user.translations.pattern(field)}\b")
        return self.dialog.locator("ha-selector-select").get_by_role("button", name=label)

    async def add_by_hand(self, host: str) -> None:
        """Enter an address in the dialog that adds a reader."""
        await self.user.fill(self.user.text("Host"), host)
        await self.user.press(self.user.text("Submit"))

    async def enter_password(self, password: str) -> None:
        """Enter a password in the dialog that asks for it."""
        await self.user.fill(self.user.text("Password"), password)
        await self.user.press(self.user.text("Submit"))

    async def select(self, field: str, option: Text) -> None:
        """Select an option in a field of a dialog."""
        await self.list_field(field).click()
        # The options of a long list can be searched.
        items, options = (self.dialog.get_by_role(role, name=option) for role in ("menuitem", "option"))
        await items.or_(options).first.click()

    async def sees_error(self, reason: re.Pattern[str], field: str) -> None:
        """Wait until an error is visible at a field of a dialog."""
        # Errors of the whole dialog do not have this attribute.
        error = self.dialog.locator("ha-alert[own-margin]").filter(has_text=reason)
        await expect(error).to_be_visible()
        label = await error.evaluate("error => error.nextElementSibling.label")
        assert self.user.text(field).match(label), label

    async def open_options(self, title: str, step: str) -> None:
        """Open a step of the options of a reader."""
        user, text = self.user, self.user.text
        await user.press(text("Configure"), self.entry(title))
        await user.sees(text("Select what you want to change for {reader}.", reader=title), self.dialog)
        await user.picture("options")
        await user.shown(text(step), self.dialog).click()

    async def save_options(self) -> None:
        """Submit a step of the options."""
        await self.user.press(self.user.text("Submit"), self.dialog)
        await self.user.finish("Finish")

    async def import_hours(
        self,
        statistic_id: str,
        registers: list[float],
        unit: str = "kWh",
        unit_class: str = "energy",
        *,
        first: int = 0,
    ) -> None:
        """Import the register at the end of each hour since the hour `first`. The sums start at zero."""
        hours = [
            {
                "start": (self.first_hour + timedelta(hours=index)).isoformat(),
                "state": register,
                "sum": register - registers[0],
            }
            for index, register in enumerate(registers, first)
        ]
        metadata = {
            "source": "recorder",
            "statistic_id": statistic_id,
            "name": None,
            "unit_of_measurement": unit,
            "unit_class": unit_class,
            "has_sum": True,
            "mean_type": 0,
        }
        await self.api.command("recorder/import_statistics", metadata=metadata, stats=hours)

    async def pick_entity(
        self, field: str, english: str, device: str, within: Locator, **placeholders: str
    ) -> None:
        """Choose an entity of a device in a list."""
        words = self.user.translations
        entity = rf"^\s*{words.pattern(english, **placeholders)}\s+{re.escape(device)}"
        field_name = re.compile(rf"^\s*{words.pattern(field)}")
        await self.user.pick(field_name, re.compile(entity), within, search=device)

    # ------------------------------------------------------------------------------------------- waits

    async def entity(self, reader: Reader[Any], key: str) -> str:
        """Return an entity of a reader by the end of its unique id."""
        unique_id = f"{reader.simulator.device_id}{key}"
        for entity in await self.api.command("config/entity_registry/list"):
            if entity["unique_id"] == unique_id:
                return str(entity["entity_id"])
        raise LookupError(unique_id)

    async def has_state(self, entity_id: str, pattern: str) -> None:
        """Wait until an entity exists, and its state matches."""

        async def matches() -> bool:
            states = {each["entity_id"]: each["state"] for each in await self.api.get("/api/states")}
            return re.fullmatch(pattern, states.get(entity_id, "")) is not None

        await until(matches)

    async def is_streaming(self, reader: Reader[Any]) -> None:
        """Wait until a reader has a client."""

        async def has_streams() -> bool:
            return bool(reader.simulator.streams)

        await until(has_streams)

    @property
    def import_issues(self) -> set[str]:
        """Issues that the imported hours cause, because the recorder does not continue their sums.

        They are expected once the hour in which the readers were started has ended.
        """
        has_ended = datetime.now(UTC) >= self.first_hour + timedelta(hours=PAST_HOURS + 1)
        return {"sum_restart"} if has_ended else set()

    async def open_repairs(self, *raised: str) -> None:
        """Open the repairs as soon as the integration has exactly these issues.

        A failed reader is tried again within a minute, and no page shows when.
        """

        async def are_raised() -> bool:
            issues = (await self.api.command("repairs/list_issues"))["issues"]
            ours = {issue["translation_key"] for issue in issues if issue["domain"] == "energy_sse"}
            return ours - self.import_issues == set(raised) - self.import_issues

        await until(are_raised)
        await self.user.open("/config/repairs")

    async def has_readers(self, *titles: str) -> None:
        """Wait until the page of the integration has these readers."""
        for title in titles:
            await expect(self.entry(title)).to_be_visible()


# Seconds. A meter that sends no data is unavailable after a minute at the earliest.
_UNTIL_MISSED: Final = 120


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds. The time limit only ends a test that has failed."""
    async with asyncio.timeout(max(_UNTIL_MISSED, PATIENCE / 1000)):
        while not await condition():  # noqa: ASYNC110 (conditions have no event)
            await asyncio.sleep(0.2)
