"""Appliances that a reader detects, and the events that their reports cause."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from .const import SUB_METER_PREFIX
from .reader import (
    MAX_REPEAT_AGE,
    ApplianceProfile,
    ApplianceState,
    Detection,
    DeviceLimit,
    Inventory,
    RegisterLimits,
    RegisterValidator,
    Transition,
    get_number,
    get_text,
    is_number,
)

# Events that wait for the event entity to be added. A disabled entity is never added.
_MAX_PENDING_EVENTS: Final = 16

# Seconds. A device reports one change as a transition and as a detection, with nearly the same time.
_SAME_CHANGE_TOLERANCE: Final = 5

# Seconds. A change that was missed during a disconnect fires an event only if it is younger than this.
# Automations that run too late can do harm.
_EVENT_MAX_AGE: Final = 60

# Changes of one appliance that are stored: more than a device repeats after a connect.
_MAX_CHANGES: Final = 16

# More appliances than any home has: accepted at their first report, accepted outside of the inventory, and in
# total. So invalid ids cannot prevent appliances of the inventory from being accepted.
_MAX_AT_FIRST_REPORT: Final = 50
_MAX_OUTSIDE_INVENTORY: Final = 150
_MAX_APPLIANCES: Final = 250

# States of one appliance. Invalid data must not fill the memory.
_MAX_STATES: Final = 50

# Key of the stored energy, and of the only register of an appliance.
_ENERGY: Final = "energy"

# Wh. The largest AC charger of a home: three phases of 63 A.
APPLIANCE_LIMITS: Final = RegisterLimits(rise_per_hour=43_500.0, max_repeat_age=MAX_REPEAT_AGE)

# An appliance that is only on or off has no sensor with the name of its state.
_ON_OFF_STATES: Final = 2


class ApplianceEventType(StrEnum):
    """Type of an appliance event."""

    TURNED_ON = "turned_on"
    TURNED_OFF = "turned_off"
    STATE_CHANGED = "state_changed"


@dataclass(frozen=True, slots=True)
class ApplianceEvent:
    """Event of an appliance, with the transition that caused it."""

    type: ApplianceEventType
    transition: Transition


@dataclass(frozen=True, slots=True)
class Run:
    """Time from turning an appliance on until turning it off."""

    start: datetime
    end: datetime
    energy: float | None
    """Wh; None if the reader has not sent the energy at the start and at the end."""


@dataclass(slots=True, eq=False)
class Appliance:
    """Last known state of one appliance."""

    id: str
    name: str
    category: str | None = None

    state: str | None = None
    """Name of the state, as the owner wrote it."""

    is_on: bool | None = None
    power: float | None = None
    """W, as configured for the state."""

    last_run: Run | None = None
    """Last run with a known start and a known end."""

    was_reported: bool = False
    """True if the reader has reported it since the start."""

    pending_events: deque[ApplianceEvent] = field(default_factory=lambda: deque(maxlen=_MAX_PENDING_EVENTS))
    """Events for the event entity."""

    _validator: RegisterValidator[str] = field(
        default_factory=lambda: RegisterValidator({_ENERGY: APPLIANCE_LIMITS}, label="an appliance's energy")
    )
    _energy_at: float | None = None
    """Time of the energy, in seconds since 1970."""

    _states: tuple[ApplianceState, ...] = ()
    _changed_at: datetime | None = None
    """Time of the last change by Home Assistant's clock, because the device's can be wrong or jump."""

    _changes: deque[tuple[str, datetime | None]] = field(default_factory=lambda: deque(maxlen=_MAX_CHANGES))
    """Last states and their times by the device's clock, which identify a repeated change."""

    _run_start: tuple[datetime, float | None] | None = None
    """Start of the present run and energy at that time; None if it is off, or if the start is not known."""

    _is_on_by_state: dict[str, bool | None] = field(default_factory=dict)
    """Known names of states, and whether they mean on."""

    @property
    def energy(self) -> float | None:
        """Energy register in Wh; None before the first one."""
        return self._validator.registers.get(_ENERGY)

    @property
    def has_many_states(self) -> bool:
        """True if there are more states than on and off."""
        return len(self._is_on_by_state) > _ON_OFF_STATES

    def update_from_inventory(self, profile: ApplianceProfile) -> None:
        """Update the appliance from the inventory of the device."""
        self.name = profile.name or self.name
        self.category = self.category or profile.category
        self._states = profile.states
        for state in profile.states:
            if state.name:
                self._add_state(state.name, is_on=state.is_on)
        if self.is_on is None:
            # No state was stored for this appliance.
            self.is_on = self._is_on_by_state.get(self.state or "")

    def apply_detection(self, detection: Detection, now: datetime) -> bool:
        """Process a detection as a transition. Return whether it causes an event.

        The state of a detection is an index in the inventory.
        """
        self.was_reported = True
        if self._is_superseded(detection, now):
            return False
        index = detection.state_index
        if index is None or not 0 <= index < len(self._states) or not (state := self._states[index]).name:
            self._accept_energy(detection, now)
            return False
        return self.apply_transition(
            Transition(
                appliance_id=self.id,
                state=state.name,
                is_on=state.is_on,
                # A detection has no previous state. If the state is unknown, a detection is not a change.
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

    def apply_transition(self, transition: Transition, now: datetime) -> bool:
        """Process a transition. Return whether it causes an event, which is added to the pending events."""
        self.was_reported = True
        self.name = transition.name or self.name
        self.category = transition.category or self.category
        if self._is_superseded(transition, now):
            return False
        transition = replace(transition, energy=self._accept_energy(transition, now))
        if transition.may_be_replay and (transition.state, transition.time) in self._changes:
            return False
        event = self._event_for(transition)
        self._apply_state(transition, now)
        if event is not None:
            self.pending_events.append(event)
        return event is not None

    def _accept_energy(self, report: Transition | Detection, now: datetime) -> float | None:
        """Update the energy from a report. Return the energy in Wh; None if it is missing or rejected."""
        if report.energy is None:
            return None
        time = now.timestamp() - (report.age or 0)
        if not self._validator.validate({_ENERGY: report.energy}, time):
            return None
        self._energy_at = time
        return report.energy

    def _event_for(self, transition: Transition) -> ApplianceEvent | None:
        """Return the event of a transition, or None.

        A transition that is repeated, confirms the present state, or is too old does not fire an event.
        """
        # A change before the connection fires an event only if its age is known.
        is_too_old = transition.age is None or (
            transition.age > 0 and (self._changed_at is None or transition.age >= _EVENT_MAX_AGE)
        )
        if is_too_old or not self._is_new(transition):
            return None
        return ApplianceEvent(self._event_type_of(transition), transition)

    def _is_new(self, transition: Transition) -> bool:
        """Return whether a transition is a change that was not reported before."""
        last_time = self._changes[-1][1] if self._changes else None
        is_repeated = transition.state == self.state and _is_same_moment(transition.time, last_time)
        return transition.is_change and not is_repeated

    def _event_type_of(self, transition: Transition) -> ApplianceEventType:
        # The previous state in the report is newer than the stored state.
        was_on = self._is_on_by_state.get(transition.previous_state or self.state or "")
        return _event_type(was_on=was_on, is_on=self._is_on_after(transition))

    def _update_run(self, transition: Transition, now: datetime) -> None:
        """Start or end a run. A run counts only if its start and its end are known."""
        at = None if transition.age is None else now - timedelta(seconds=transition.age)
        event_type = self._event_type_of(transition) if self._is_new(transition) else None
        if event_type is ApplianceEventType.TURNED_ON:
            self._run_start = None if at is None else (at, transition.energy)
        elif self._is_on_after(transition) is False:
            if event_type is ApplianceEventType.TURNED_OFF and at is not None and self._run_start is not None:
                start, energy_at_start = self._run_start
                energy = _difference(energy_at_start, transition.energy)
                self.last_run = Run(start, max(start, at), energy)
            self._run_start = None

    def _apply_state(self, transition: Transition, now: datetime) -> None:
        """Update the state from a transition."""
        self._update_run(transition, now)
        self.state, self.is_on = transition.state, self._is_on_after(transition)
        if transition.power is not None:
            self.power = transition.power
        self._add_state(transition.state, is_on=self.is_on)
        self._changed_at = now - timedelta(seconds=transition.age or 0)
        if transition.is_change:
            self._changes.append((transition.state, transition.time))

    def _is_on_after(self, transition: Transition) -> bool | None:
        return self._is_on_by_state.get(transition.state) if transition.is_on is None else transition.is_on

    def _add_state(self, name: str, *, is_on: bool | None) -> None:
        states = self._is_on_by_state
        states[name] = is_on
        if len(states) > _MAX_STATES:
            in_inventory = {state.name for state in self._states}
            del states[next((each for each in states if each not in in_inventory), name)]

    def _is_superseded(self, report: Transition | Detection, now: datetime) -> bool:
        """Return whether a report is older than the last change.

        Both clocks are compared. The device's clock can have jumped, and with Home Assistant's clock only the
        age of the report is known.
        """
        if not report.age or self._changed_at is None:
            return False
        happened_at = now - timedelta(seconds=report.age)
        last_change = self._changes[-1][1] if self._changes else None
        is_later = report.time is not None and last_change is not None and report.time > last_change
        return happened_at < self._changed_at - timedelta(seconds=_SAME_CHANGE_TOLERANCE) and not is_later

    # ----------------------------------------------------------------------------------------- storage

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data."""
        self.state = get_text(data, "state")
        self.category = self.category or get_text(data, "category")
        is_on, power = data.get("is_on"), data.get("power")
        self.is_on = is_on if isinstance(is_on, bool) else None
        self.power = power if is_number(power) else None
        if self.state is not None and self.is_on is not None:
            self._add_state(self.state, is_on=self.is_on)
        self._changed_at = None if data["changed_at"] is None else _parse_time(data["changed_at"])
        self._changes.extend(
            (state, None if time is None else _parse_time(time)) for state, time in data["changes"]
        )
        self._energy_at = get_number(data, "energy_at")
        if data.get("last_run") is not None:
            start, end, energy = data["last_run"]
            self.last_run = Run(_parse_time(start), _parse_time(end), energy if is_number(energy) else None)
        if data.get("run_start") is not None:
            start, energy = data["run_start"]
            self._run_start = _parse_time(start), energy if is_number(energy) else None
        self._validator.restore(_ENERGY, data.get(_ENERGY), self._energy_at)

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {
            "state": self.state,
            "category": self.category,
            "is_on": self.is_on,
            "power": self.power,
            "changed_at": self._changed_at and self._changed_at.isoformat(),
            "last_run": (run := self.last_run) and (run.start.isoformat(), run.end.isoformat(), run.energy),
            "run_start": (start := self._run_start) and (start[0].isoformat(), start[1]),
            _ENERGY: self.energy,
            "energy_at": self._energy_at,
            "changes": [(state, time and time.isoformat()) for state, time in self._changes],
        }


def _is_same_moment(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) <= _SAME_CHANGE_TOLERANCE


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or after < before else after - before


def _event_type(*, was_on: bool | None, is_on: bool | None) -> ApplianceEventType:
    # Most appliances have two states, so an unknown previous state was the other state.
    if is_on is None or was_on is is_on:
        return ApplianceEventType.STATE_CHANGED
    return ApplianceEventType.TURNED_ON if is_on else ApplianceEventType.TURNED_OFF


def _parse_time(text: str) -> datetime:
    # Times without a time zone could not be compared.
    return datetime.fromisoformat(text).astimezone(UTC)


class Appliances:
    """All appliances of a reader."""

    def __init__(self, known: Iterable[Appliance]) -> None:
        """Start with the appliances that have a device."""
        self._appliances = {appliance.id: appliance for appliance in known}
        self._inventory: frozenset[str] | None = None
        self._limit = DeviceLimit(_MAX_AT_FIRST_REPORT, _MAX_OUTSIDE_INVENTORY)

    def __iter__(self) -> Iterator[Appliance]:
        """Iterate over all appliances."""
        return iter(list(self._appliances.values()))

    def update_from_inventory(self, inventory: Inventory) -> list[Appliance]:
        """Update the appliances of an inventory, and return them."""
        self._inventory = frozenset(profile.id for profile in inventory.appliances)
        appliances = []
        for profile in inventory.appliances:
            if (appliance := self._get_or_create(profile.id)) is not None:
                appliance.update_from_inventory(profile)
                appliances.append(appliance)
        return appliances

    def process_report(self, report: Transition | Detection, now: datetime) -> tuple[Appliance, bool] | None:
        """Process a report. Return its appliance and whether there is a new event; None if it is rejected."""
        is_deleted = self._inventory is not None and report.appliance_id not in self._inventory
        if report.age != 0 and is_deleted:
            # The device repeats reports of an appliance that its owner has deleted.
            return None
        if (appliance := self._get_or_create(report.appliance_id)) is None:
            return None
        if isinstance(report, Transition):
            return appliance, appliance.apply_transition(report, now)
        return appliance, appliance.apply_detection(report, now)

    def remove(self, appliance: Appliance) -> bool:
        """Remove an appliance. Return False for one that the reader still reports."""
        if appliance.was_reported or appliance.id in (self._inventory or ()):
            return False
        del self._appliances[appliance.id]
        return True

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data."""
        for appliance in self:
            if appliance.id in data:
                appliance.restore(data[appliance.id])

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {appliance.id: appliance.as_dict() for appliance in self}

    def _get_or_create(self, appliance_id: str) -> Appliance | None:
        """Return the appliance of an id; None if there are too many, or if it could be a sub-meter's id."""
        if appliance_id.startswith(SUB_METER_PREFIX):
            return None
        appliance = self._appliances.get(appliance_id)
        if appliance is None and self._is_accepted(appliance_id):
            # The id is made from the name, and replaces it until the name is known.
            name = appliance_id.replace("_", " ").capitalize()
            appliance = self._appliances[appliance_id] = Appliance(appliance_id, name)
        return appliance

    def _is_accepted(self, appliance_id: str) -> bool:
        inventory = self._inventory or frozenset()
        if appliance_id in inventory:
            return len(self._appliances) < _MAX_APPLIANCES
        return self._limit.accept(appliance_id, len(self._appliances.keys() - inventory))
