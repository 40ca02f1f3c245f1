"""What is known of the appliances that a reader detects, and which of its reports are news."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from .reader import Transition

# An event entity takes its reports from here when it is added. Without one, nobody will: it is disabled.
_WAITING_LIMIT: Final = 16


class ApplianceEventType(StrEnum):
    """What can happen to an appliance."""

    TURNED_ON = "turned_on"
    TURNED_OFF = "turned_off"
    STATE_CHANGED = "state_changed"


@dataclass(frozen=True, slots=True)
class ApplianceEvent:
    """Something that happened to an appliance, just now."""

    type: ApplianceEventType
    transition: Transition


@dataclass(slots=True)
class Appliance:
    """One appliance, as far as it is known."""

    id: str
    name: str
    category: str | None = None
    waiting: deque[ApplianceEvent] = field(default_factory=lambda: deque(maxlen=_WAITING_LIMIT))
    """Events that no entity has taken yet."""

    _last_state: str | None = None
    _last_time: datetime | None = None
    _is_on_in: dict[str, bool] = field(default_factory=dict)
    """Which named states mean on, learned from the reports."""

    def apply(self, transition: Transition) -> ApplianceEvent | None:
        """Take a report in. Returns an event when it is news.

        A report is no news when the device repeats it, after a connect or at any other time, or when it
        confirms the state that the appliance was in.
        """
        self.name = transition.name or self.name
        self.category = transition.category or self.category
        repeated = (transition.state, transition.time) == (self._last_state, self._last_time)
        # The device says itself where the appliance came from; what was last heard of it may be older.
        before = transition.previous_state or self._last_state
        was_on = None if before is None else self._is_on_in.get(before)
        self._last_state, self._last_time = transition.state, transition.time
        if transition.is_on is not None:
            self._is_on_in[transition.state] = transition.is_on
        if repeated or transition.replayed or not transition.is_change:
            return None
        return ApplianceEvent(_event_type(was_on=was_on, is_on=transition.is_on), transition)


def _event_type(*, was_on: bool | None, is_on: bool | None) -> ApplianceEventType:
    # Most appliances have two states: where it is not known whether the last one was on, it was the other.
    if is_on is None or was_on is is_on:
        return ApplianceEventType.STATE_CHANGED
    return ApplianceEventType.TURNED_ON if is_on else ApplianceEventType.TURNED_OFF
