"""Repair issues of a config entry.

An issue is deleted when its problem is solved. The issue of a reset sum is deleted after its repair.
"""

from collections.abc import Mapping
from enum import StrEnum
import re
from typing import Final, TypedDict

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOCUMENTATION, DOMAIN
from .reader import ReaderError


class Issue(StrEnum):
    """Translation key of an issue, and prefix of its id."""

    STREAM_CONTENDED = "stream_contended"
    METER_KEY_REQUIRED = "meter_key_required"
    READER_CLOCK_WRONG = "reader_clock_wrong"
    WRONG_DEVICE = "wrong_device"
    PROTECTED_DEVICE = "protected_device"

    # Home Assistant stores ignored issues under the earlier name of this one.
    SUM_RESET = "sum_restart"

    @property
    def learn_more_url(self) -> str:
        """Address of the section that explains the issue."""
        if self is Issue.SUM_RESET:
            return f"{DOCUMENTATION}/missed-hours.md#absent-for-more-than-ten-days"
        return f"{DOCUMENTATION}/troubleshooting.md#{self.replace('_', '-')}"


_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")

# Issues whose repair is *Reconfigure*.
FIXED_BY_RECONFIGURE: Final = (Issue.WRONG_DEVICE, Issue.PROTECTED_DEVICE)

_FIXABLE: Final = (*FIXED_BY_RECONFIGURE, Issue.SUM_RESET)


class Issues:
    """Repair issues of one config entry."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Initialize without changing any issue."""
        self._hass = hass
        self._entry = entry

    @callback
    def async_create(
        self,
        issue: Issue,
        placeholders: Mapping[str, str] | None = None,
        *,
        suffix: str = "",
        data: Mapping[str, str | float] | None = None,
    ) -> None:
        """Create an issue.

        `placeholders` are used in its text, in addition to the name of the reader, its address and its own
        web page. A description is Markdown, a title is plain text. `suffix` distinguishes the ids of several
        issues of this kind. `data` is for the repair flow.
        """
        host = self._entry.data[CONF_HOST]
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._id(issue) + suffix,
            is_fixable=issue in _FIXABLE,
            data={"entry_id": self._entry.entry_id, **(data or {})},
            learn_more_url=issue.learn_more_url,
            severity=ir.IssueSeverity.WARNING,
            translation_key=issue,
            translation_placeholders={
                "name": self._entry.title,
                "host": host,
                "url": f"http://{host}",
                **(placeholders or {}),
            },
        )

    @callback
    def async_exists(self, issue: Issue) -> bool:
        """Return whether an issue exists."""
        return ir.async_get(self._hass).async_get_issue(DOMAIN, self._id(issue)) is not None

    @callback
    def async_delete(self, *issues: Issue) -> None:
        """Delete the issues that exist."""
        for issue in issues:
            ir.async_delete_issue(self._hass, DOMAIN, self._id(issue))

    @callback
    def async_delete_unloaded(self) -> None:
        """Delete the issues of an entry that is not loaded.

        The issue of a reset sum stays, because its hour is still in the Energy dashboard, and its repair does
        not need the reader. If it were deleted, an issue that the user ignores would be shown again.
        """
        self.async_delete(*(issue for issue in Issue if issue is not Issue.SUM_RESET))

    @callback
    def async_delete_all(self) -> None:
        """Delete all issues of the entry."""
        for domain, issue_id in list(ir.async_get(self._hass).issues):
            if domain == DOMAIN and self._entry.entry_id in issue_id:
                ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    def _id(self, issue: Issue) -> str:
        return f"{issue}_{self._entry.entry_id}"


class _Translation(TypedDict):
    translation_domain: str
    translation_key: str
    translation_placeholders: dict[str, str]


def translate_error(error: ReaderError) -> _Translation:
    """Return the arguments of a Home Assistant exception with the translated reason of an error."""
    return {
        "translation_domain": DOMAIN,
        "translation_key": error.reason,
        "translation_placeholders": {"detail": error.detail},
    }


def escape_markdown(text: str) -> str:
    """Return the Markdown that shows a line of text as it is, without links, pictures or emphasis.

    Home Assistant renders Markdown in the descriptions of issues and dialogs.
    """
    # In Markdown, all punctuation of ASCII can be escaped, also where it has no meaning.
    return _PUNCTUATION.sub(r"\\\g<0>", text)
