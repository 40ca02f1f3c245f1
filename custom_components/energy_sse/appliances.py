"""Keep what is known of the appliances that a reader detects, and decide which reports are news."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from .const import SUB_METER_PREFIX
from .limits import APPLIANCE_LIMITS, Places
from .reader import (
    ApplianceProfile,
    ApplianceState,
    Detection,
    Inventory,
    RegisterValidator,
    Transition,
    get_number,
    get_text,
)

# An event entity takes its events from here when it is added. Without one, nobody will: it is disabled.
_WAITING_LIMIT: Final = 16

# Seconds. A device reports one change as a transition and as a detection, stamped at nearly the same time.
_SAME_CHANGE_WITHIN: Final = 5

# Seconds. A change that was missed while there was no connection is worth an event for so long; an automation
# that runs later does more harm than good.
_NEWS_FOR: Final = 60

# More than a device has been seen to repeat of one appliance after a connect.
_REMEMBERED_CHANGES: Final = 16

# More than any home has. Appliances of the inventory get a place also when garbage has taken all others.
_PLACES_FOR_ALL: Final = 50
_PLACES_OUTSIDE_INVENTORY: Final = 150
_MAX_APPLIANCES: Final = 250

# Of an appliance. A stream of garbage must not fill the memory.
_MAX_STATES: Final = 50

# Of what is remembered, and the one register of an appliance.
_ENERGY: Final = "energy"

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

    _guard: RegisterValidator[str] = field(
        default_factory=lambda: RegisterValidator({_ENERGY: APPLIANCE_LIMITS}, called="an appliance's energy")
    )
    _energy_at: float | None = None
    """When its energy was heard, in seconds since 1970."""

    _states: tuple[ApplianceState, ...] = ()
    _changed_at: datetime | None = None
    """When it entered its state, by this machine's clock: the device's may be wrong, and jump."""

    _changes: deque[tuple[str, datetime | None]] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED_CHANGES)
    )
    """The last states and when it entered them by the device's clock, which names a change for good."""

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
                self._know_state(state.name, is_on=state.is_on)
        if self.is_on is None:
            # The entity that remembered it over the restart may have been removed.
            self.is_on = self._is_on_in.get(self.state or "")

    def detect(self, detection: Detection, now: datetime) -> bool:
        """Take in a detection, as `apply`. Only the inventory tells what its state means."""
        self.has_spoken = True
        if self._is_superseded(detection, now):
            return False
        index = detection.state_index
        if index is None or not 0 <= index < len(self._states) or not (state := self._states[index]).name:
            self._believed(detection, now)
            return False
        return self.apply(
            Transition(
                appliance_id=self.id,
                state=state.name,
                is_on=state.is_on,
                # A detection has no previous state. Without a known one, this is no change.
                previous_state=self.state or state.name,
                power=state.power,
                energy=detection.energy,
                category=self.category,
                time=detection.time,
                age=detection.age,
                may_be_replay=detection.may_be_replay,
            ),
            now,
        )

    def apply(self, transition: Transition, now: datetime) -> bool:
        """Take in a transition. Returns whether it is news, for which an event is queued."""
        self.has_spoken = True
        self.name = transition.name or self.name
        self.category = transition.category or self.category
        if self._is_superseded(transition, now):
            return False
        transition = replace(transition, energy=self._believed(transition, now))
        if transition.may_be_replay and (transition.state, transition.time) in self._changes:
            return False
        event = self._event_for(transition)
        self._take_over(transition, now)
        if event is not None:
            self.waiting.append(event)
        return event is not None

    def _believed(self, report: Transition | Detection, now: datetime) -> float | None:
        """Take in the energy of a report. Returns None where it cannot be."""
        if report.energy is None:
            return None
        time = now.timestamp() - (report.age or 0)
        if not self._guard.validate({_ENERGY: report.energy}, time):
            return None
        self.energy, self._energy_at = report.energy, time
        return report.energy

    def _event_for(self, transition: Transition) -> ApplianceEvent | None:
        """Return the event of a transition; None when it is no news.

        It is no news when the device repeats it, when it confirms the present state, or when it was missed
        and is too old to act upon.
        """
        last_time = self._changes[-1][1] if self._changes else None
        is_repeated = transition.state == self.state and _is_same_moment(transition.time, last_time)
        # What was before the connection is news while it is known to be fresh.
        is_too_old = transition.age is None or (
            transition.age > 0 and (self._changed_at is None or transition.age >= _NEWS_FOR)
        )
        if is_repeated or is_too_old or not transition.is_change:
            return None
        # The device itself says which state came before; the one that is known here may be older.
        was_on = self._is_on_in.get(transition.previous_state or self.state or "")
        return ApplianceEvent(_event_type(was_on=was_on, is_on=self._is_on_after(transition)), transition)

    def _take_over(self, transition: Transition, now: datetime) -> None:
        """Be in the state that a transition leads to."""
        self.state, self.is_on = transition.state, self._is_on_after(transition)
        if transition.power is not None:
            self.power = transition.power
        self._know_state(transition.state, is_on=self.is_on)
        self._changed_at = now - timedelta(seconds=transition.age or 0)
        if transition.is_change:
            self._changes.append((transition.state, transition.time))

    def _is_on_after(self, transition: Transition) -> bool | None:
        return self._is_on_in.get(transition.state) if transition.is_on is None else transition.is_on

    # ----------------------------------------------------------------------------------------- memory

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Take up what was known before a restart."""
        self.state = get_text(remembered, "state")
        # Memories from before it was there are in the device registry.
        self.category = self.category or get_text(remembered, "category")
        # Version 0.1 has stored these with the states of the entities, which a power cut loses.
        is_on = remembered.get("is_on")
        self.is_on = is_on if isinstance(is_on, bool) else None
        self.power = get_number(remembered, "power")
        self._changed_at = _parse_time(remembered["changed_at"])
        self._changes.extend((state, _parse_time(time)) for state, time in remembered["changes"])
        # Older versions have noted no energy, or not when it was heard.
        self._energy_at = get_number(remembered, "energy_at")
        self._guard.remember(_ENERGY, remembered.get(_ENERGY), self._energy_at)
        self.energy = self._guard.registers.get(_ENERGY)

    @property
    def memory(self) -> Mapping[str, Any] | None:
        """What to recall after a restart, as JSON can hold it."""
        energy = self._guard.registers.get(_ENERGY)
        if self._changed_at is None and energy is None:
            return None
        return {
            "state": self.state,
            "is_on": self.is_on,
            "power": self.power,
            "category": self.category,
            "changed_at": self._changed_at and self._changed_at.isoformat(),
            _ENERGY: energy,
            "energy_at": self._energy_at,
            "changes": [(state, time and time.isoformat()) for state, time in self._changes],
        }

    def _know_state(self, name: str, *, is_on: bool | None) -> None:
        self._is_on_in[name] = is_on
        if len(self._is_on_in) > _MAX_STATES:
            in_inventory = {state.name for state in self._states}
            del self._is_on_in[next((each for each in self._is_on_in if each not in in_inventory), name)]

    def _is_superseded(self, report: Transition | Detection, now: datetime) -> bool:
        """Tell whether a report is older than the change that is known already.

        It takes both clocks: the device's may have jumped, and this machine's gives only the age.
        """
        if not report.age or self._changed_at is None:
            return False
        happened_at = now - timedelta(seconds=report.age)
        last_change = self._changes[-1][1] if self._changes else None
        is_later = report.time is not None and last_change is not None and report.time > last_change
        return happened_at < self._changed_at - timedelta(seconds=_SAME_CHANGE_WITHIN) and not is_later


def _is_same_moment(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) <= _SAME_CHANGE_WITHIN


def _event_type(*, was_on: bool | None, is_on: bool | None) -> ApplianceEventType:
    # Most appliances have two states: where it is not known whether the last one was on, it was the other.
    if is_on is None or was_on is is_on:
        return ApplianceEventType.STATE_CHANGED
    return ApplianceEventType.TURNED_ON if is_on else ApplianceEventType.TURNED_OFF


def _parse_time(text: str | None) -> datetime | None:
    # Of any time zone: without one it could not be compared.
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


class Appliances:
    """All appliances of a reader."""

    def __init__(self, known: Iterable[Appliance]) -> None:
        """Start with those that were known before a restart."""
        self._appliances = {appliance.id: appliance for appliance in known}
        self._inventory: frozenset[str] | None = None
        self._places = Places(_PLACES_FOR_ALL, _PLACES_OUTSIDE_INVENTORY)

    def __iter__(self) -> Iterator[Appliance]:
        """Go through all of them."""
        return iter(list(self._appliances.values()))

    def learn(self, inventory: Inventory) -> list[Appliance]:
        """Take in which appliances there are. Returns those."""
        self._inventory = frozenset(profile.id for profile in inventory.appliances)
        appliances = []
        for profile in inventory.appliances:
            if (appliance := self._know(profile.id)) is not None:
                appliance.learn(profile)
                appliances.append(appliance)
        return appliances

    def take(self, report: Transition | Detection, now: datetime) -> tuple[Appliance, bool] | None:
        """Take in a report. Returns what it is about, if it is about any of them, and whether it is news."""
        is_gone = self._inventory is not None and report.appliance_id not in self._inventory
        if report.age != 0 and is_gone:
            # The device repeats a report on an appliance that its owner has deleted there.
            return None
        if (appliance := self._know(report.appliance_id)) is None:
            return None
        if isinstance(report, Transition):
            return appliance, appliance.apply(report, now)
        return appliance, appliance.detect(report, now)

    def forget(self, appliance: Appliance) -> bool:
        """Forget one that is gone. Returns False for one that is still there."""
        if appliance.has_spoken or appliance.id in (self._inventory or ()):
            return False
        del self._appliances[appliance.id]
        return True

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take up what was known of each before a restart."""
        for appliance in self:
            if appliance.id in memory:
                appliance.recall(memory[appliance.id])

    @property
    def memory(self) -> Mapping[str, Any]:
        """What to recall after a restart, as JSON can hold it."""
        return {appliance.id: memory for appliance in self if (memory := appliance.memory) is not None}

    def _know(self, appliance_id: str) -> Appliance | None:
        """Return an appliance, known or new; None where there are too many, or it is none."""
        if appliance_id.startswith(SUB_METER_PREFIX):
            # After a restart it would be taken for a sub-meter.
            return None
        appliance = self._appliances.get(appliance_id)
        if appliance is None and self._has_place(appliance_id):
            # Until its name is known, its id has to do, which was made from the name.
            name = appliance_id.replace("_", " ").capitalize()
            appliance = self._appliances[appliance_id] = Appliance(appliance_id, name)
        return appliance

    def _has_place(self, appliance_id: str) -> bool:
        inventory = self._inventory or frozenset()
        if appliance_id in inventory:
            return len(self._appliances) < _MAX_APPLIANCES
        return self._places.has_place(appliance_id, len(self._appliances.keys() - inventory))
