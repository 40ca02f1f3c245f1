"""What only the user can set right, shown in Home Assistant's repairs. An issue ends by itself."""

from enum import StrEnum
from typing import Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN


class Issue(StrEnum):
    """What can be wrong."""

    STREAM_CONTENDED = "stream_contended"
    METER_KEY_REQUIRED = "meter_key_required"
    READER_CLOCK_WRONG = "reader_clock_wrong"
    WRONG_DEVICE = "wrong_device"
    PROTECTED_DEVICE = "protected_device"


# Those that end with *Reconfigure*.
RECONFIGURED: Final = (Issue.WRONG_DEVICE, Issue.PROTECTED_DEVICE)


class Issues:
    """The issues of one config entry."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Prepare; raises nothing yet."""
        self._hass = hass
        self._entry = entry

    @callback
    def raise_issue(self, issue: Issue, **placeholders: str) -> None:
        """Show an issue, once. `placeholders` are those of its text, beside the reader's name.

        A description is Markdown, a title is plain text.
        """
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._id(issue),
            # What the user has to tell Home Assistant, the issue asks for.
            is_fixable=issue in RECONFIGURED,
            data={"entry_id": self._entry.entry_id},
            severity=ir.IssueSeverity.WARNING,
            translation_key=issue,
            translation_placeholders={"name": self._entry.title, **placeholders},
        )

    @callback
    def is_raised(self, issue: Issue) -> bool:
        """Return whether an issue is shown."""
        return ir.async_get(self._hass).async_get_issue(DOMAIN, self._id(issue)) is not None

    @callback
    def close(self, *issues: Issue) -> None:
        """Take issues back, if they are shown."""
        for issue in issues:
            ir.async_delete_issue(self._hass, DOMAIN, self._id(issue))

    @callback
    def forget(self) -> None:
        """Take back all issues that name the entry, those of its sensors too."""
        for domain, issue_id in list(ir.async_get(self._hass).issues):
            if domain == DOMAIN and self._entry.entry_id in issue_id:
                ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    def _id(self, issue: Issue) -> str:
        return f"{issue}_{self._entry.entry_id}"
