"""A user in a browser: reads, clicks, types and waits."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
import re
from time import monotonic
from typing import Any, Final, Self

from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from demo.home_assistant import HomeAssistantApi

from .translations import Words

type Text = str | re.Pattern[str]

# Milliseconds. This limit only ends a test that has failed.
PATIENCE: Final = 20_000

_FLAGS: Final = (
    "--no-sandbox",  # as root, and in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Screen(StrEnum):
    """Screen and theme of the user."""

    DESKTOP = "a desktop, light"
    PHONE = "a phone, dark"


_SCREENS: Final[Mapping[Screen, dict[str, Any]]] = {
    Screen.DESKTOP: {"viewport": {"width": 1180, "height": 860}},
    Screen.PHONE: {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


@asynccontextmanager
async def browser(executable: str) -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        try:
            yield chromium
        finally:
            await chromium.close()


class User:
    """User who is logged in, and the page."""

    def __init__(
        self, context: BrowserContext, page: Page, words: Words, url: str, folder: Path, *, screen: Screen
    ) -> None:
        """Set the page."""
        self.page = page
        self.screen = screen
        self.translations = words
        self.url = url
        self.steps: list[tuple[str, float]] = []
        self._context = context
        self.folder = folder

    @classmethod
    async def log_in(
        cls,
        chromium: Browser,
        api: HomeAssistantApi,
        url: str,
        language: str,
        folder: Path,
        *,
        screen: Screen = Screen.DESKTOP,
    ) -> Self:
        """Return a user of a language who is logged in."""
        context = await chromium.new_context(
            **_SCREENS[screen],
            locale={"en": "en-GB"}.get(language, language),
            timezone_id=(await api.get("/api/config"))["time_zone"],
        )
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        await context.tracing.start(screenshots=True, snapshots=True)
        page = await context.new_page()
        await page.goto(f"{url}/manifest.json")
        # Milliseconds, far in the future. Home Assistant renews the token.
        tokens = {**api.tokens, "hassUrl": url, "clientId": f"{url}/", "expires": 9_999_999_999_999}
        await page.evaluate("tokens => localStorage.setItem('hassTokens', JSON.stringify(tokens))", tokens)
        return cls(context, page, Words(language), url, folder, screen=screen)

    # ----------------------------------------------------------------------------------------- steps

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Run a step, and print its time. A failure leaves a picture and a trace."""
        began = monotonic()
        try:
            yield
        except BaseException:
            print(f"    FAILED after {monotonic() - began:5.1f} s  {name}", flush=True)
            print(f"    {len(self.steps)} passed, 1 failed", flush=True)
            await self.page.screenshot(path=self.folder / "failed.png")
            (self.folder / "failed.txt").write_text(await self.page.locator("body").aria_snapshot())
            await self._context.tracing.stop(path=self.folder / "trace.zip")
            raise
        self.steps.append((name, monotonic() - began))
        print(f"    {self.steps[-1][1]:5.1f} s  {name}", flush=True)

    async def picture(self, name: str) -> None:
        """Take a picture of the page."""
        # The highlight of the last click, and animations.
        await self.page.mouse.move(0, 0)
        await self.page.evaluate("document.fonts.ready")
        await self.page.screenshot(path=self.folder / f"{name}.png", animations="disabled")

    # ------------------------------------------------------------------------------------------- reading

    def text(self, english: str, **placeholders: str) -> re.Pattern[str]:
        """Return a text in the language of the user."""
        return self.translations.text(english, **placeholders)

    def shown(self, text: Text, within: Locator | None = None) -> Locator:
        """Return the elements with a text."""
        return (within or self.page).get_by_text(text).first

    async def sees(self, text: Text, within: Locator | None = None) -> None:
        """Wait until a text is visible."""
        await expect(self.shown(text, within)).to_be_visible()

    async def sees_no(self, text: Text, within: Locator | None = None) -> None:
        """Wait until a text is gone."""
        await expect((within or self.page).get_by_text(text)).to_have_count(0)

    # ------------------------------------------------------------------------------------------- acting

    async def open(self, path: str) -> None:
        """Go to a page of Home Assistant."""
        await self.page.goto(self.url + path)

    async def press(self, name: Text, within: Locator | None = None) -> None:
        """Press a button."""
        await (within or self.page).get_by_role("button", name=name).first.click()

    async def fill(self, label: Text, value: str) -> None:
        """Type into a field."""
        await self.page.get_by_role("textbox", name=label).fill(value)

    async def pick(self, field: Text, option: Text, within: Locator, *, search: str) -> None:
        """Open a field with many choices, search, and choose."""
        await within.get_by_role("button", name=field).first.click()
        # Filled, because keys that are typed before the field has the focus are shortcuts.
        await within.locator("ha-picker-combo-box input").first.fill(search)
        await within.get_by_role("option", name=option).first.click()

    async def choose_in_menu(self, menu_of: Locator, item: Text) -> None:
        """Open a menu and choose."""
        await menu_of.get_by_role("button", name=self.text("Menu")).first.click()
        await menu_of.get_by_role("menuitem", name=item).click()

    async def read_notifications(self) -> None:
        """Open the notifications in the sidebar, which a narrow page hides."""
        if self.screen is Screen.PHONE:
            await self.open("/config")
            await self.press(self.text("Sidebar toggle"))
        await self.shown(self.text("Notifications")).click()

    async def finish(self, button: str) -> None:
        """Close a finished dialog, and wait until it is gone, because it can go back one page."""
        dialog = self.page.locator("dialog-data-entry-flow")
        await self.page.get_by_role("button", name=self.text(button)).last.click()
        await expect(dialog.get_by_role("dialog")).to_have_count(0)
