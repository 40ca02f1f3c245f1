"""What is known of the appliances that a reader detects, and which of its reports are news."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from .reader import ApplianceProfile, ApplianceState, Detection, Transition

# An event entity takes its events from here when it is added. Without one, nobody will: it is disabled.
_WAITING_LIMIT: Final = 16

# Seconds. A device reports one change as a transition and as a detection, stamped at nearly the same time.
_SAME_CHANGE_WITHIN: Final = 5

# An appliance that is only on or off needs nobody to say the name of its state.
_STATES_OF_A_SWITCH: Final = 2


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


@dataclass(slots=True, eq=False)
class Appliance:
    """One appliance, as far as it is known."""

    id: str
    name: str
    category: str | None = None

    state: str | None = None
    """The name of its state, as its owner wrote it."""

    is_on: bool | None = None
    power: float | None = None
    """W, as set for its state."""

    energy: float | None = None
    """Wh, cumulative."""

    has_spoken: bool = False
    """Whether the reader has reported on it since it was set up."""

    waiting: deque[ApplianceEvent] = field(default_factory=lambda: deque(maxlen=_WAITING_LIMIT))
    """Events that no entity has taken yet."""

    _states: tuple[ApplianceState, ...] = ()
    _last_change: datetime | None = None
    _is_on_in: dict[str, bool | None] = field(default_factory=dict)
    """The named states that it has been in or can be in, and which of them mean on."""

    @property
    def has_many_states(self) -> bool:
        """Whether on and off do not tell all about it."""
        return len(self._is_on_in) > _STATES_OF_A_SWITCH

    def learn(self, profile: ApplianceProfile) -> None:
        """Take in what the device's inventory says."""
        self.name = profile.name or self.name
        self.category = self.category or profile.category
        self._states = profile.states
        for state in profile.states:
            if state.name:
                self._is_on_in[state.name] = state.is_on

    def detect(self, detection: Detection) -> ApplianceEvent | None:
        """Take in a detection. What its state means, only the inventory can tell; its energy is plain."""
        self.has_spoken = True
        if detection.replayed and self._is_older(detection.time):
            return None
        if detection.energy is not None:
            self.energy = detection.energy
        index = detection.state_index
        if index is None or not 0 <= index < len(self._states) or not (state := self._states[index]).name:
            return None
        if self.state is None:
            # Where it comes from nobody has said, so whether this is a change nobody knows.
            self._enter(state.name, is_on=state.is_on, power=state.power, time=detection.time)
            return None
        return self.apply(
            Transition(
                appliance_id=self.id,
                state=state.name,
                is_on=state.is_on,
                previous_state=self.state,
                power=state.power,
                energy=detection.energy,
                category=self.category,
                time=detection.time,
                replayed=detection.replayed,
            )
        )

    def apply(self, transition: Transition) -> ApplianceEvent | None:
        """Take in a transition. Returns an event when it is news.

        It is none when the device repeats it, after a connect or at any other time, or confirms the state
        that the appliance was in.
        """
        self.has_spoken = True
        self.name = transition.name or self.name
        self.category = transition.category or self.category
        if transition.replayed and self._is_older(transition.time):
            return None
        is_repeated = transition.state == self.state and _is_same_moment(transition.time, self._last_change)
        # The device says itself where the appliance came from; what was last heard of it may be older.
        was_on = self._is_on_in.get(transition.previous_state or self.state or "")
        is_on = transition.is_on
        if is_on is None:
            is_on = self._is_on_in.get(transition.state)
        if transition.energy is not None:
            self.energy = transition.energy
        self._enter(transition.state, is_on=is_on, power=transition.power, time=transition.time)
        if is_repeated or transition.replayed or not transition.is_change:
            return None
        return ApplianceEvent(_event_type(was_on=was_on, is_on=is_on), transition)

    def _is_older(self, time: datetime | None) -> bool:
        return time is not None and self._last_change is not None and time < self._last_change

    def _enter(self, state: str, *, is_on: bool | None, power: float | None, time: datetime | None) -> None:
        self.state, self.is_on, self._last_change = state, is_on, time
        if power is not None:
            self.power = power
        self._is_on_in[state] = is_on


def _is_same_moment(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) <= _SAME_CHANGE_WITHIN


def _event_type(*, was_on: bool | None, is_on: bool | None) -> ApplianceEventType:
    # Most appliances have two states: where it is not known whether the last one was on, it was the other.
    if is_on is None or was_on is is_on:
        return ApplianceEventType.STATE_CHANGED
    return ApplianceEventType.TURNED_ON if is_on else ApplianceEventType.TURNED_OFF
