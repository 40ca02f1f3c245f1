"""Simulated house with a meter, appliances, solar power and two tariffs.

`House` behaves the same on every date: its sun is that of an equinox, and its appliances have short cycles.
Most tests need this. `household.py` contains the realistic house.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import math
import random
from typing import Final
from zoneinfo import ZoneInfo

PHASES = (0, 1, 2)

ZURICH: Final = ZoneInfo("Europe/Zurich")


@dataclass(frozen=True)
class State:
    """A state of an appliance."""

    name: str
    power: int
    """W."""

    is_on: bool


@dataclass
class Appliance:
    """An appliance that changes its state periodically."""

    id: str
    name: str
    category: str
    phase: int
    states: tuple[State, ...]
    durations: tuple[int, ...]
    """Seconds in each state."""

    index: int = 0
    energy: float = 0.0
    """Wh."""

    _left: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._left = self.durations[self.index]

    @property
    def state(self) -> State:
        """Current state."""
        return self.states[self.index]

    def advance(self, seconds: float) -> State | None:
        """Advance the time. Return the previous state if the state changes."""
        self.energy += self.state.power * seconds / 3600
        self._left -= seconds
        if self._left > 0:
            return None
        return self.switch((self.index + 1) % len(self.states))

    def switch(self, index: int) -> State:
        """Change the state. Return the previous one."""
        left = self.state
        self.index = index
        self._left = self.durations[index]
        return left


@dataclass(frozen=True)
class Change:
    """Change of the state of an appliance."""

    appliance: Appliance
    left: State
    time: datetime


def usual_appliances() -> list[Appliance]:
    """Return appliances with short cycles."""
    off = State("off", 0, is_on=False)
    return [
        Appliance(
            "mocca_mast", "Mocca Master", "coffee-makers", 0, (off, State("on", 1450, is_on=True)), (95, 40)
        ),
        Appliance(
            "dishwasher",
            "Dishwasher",
            "dishwashers",
            1,
            (off, State("washing", 120, is_on=True), State("heating", 2100, is_on=True)),
            (150, 50, 70),
        ),
        Appliance(
            "heat_pump", "Heat pump", "heat-pumps", 2, (State("Active", 1900, is_on=True), off), (180, 130)
        ),
    ]


@dataclass
class House:
    """A house behind one three-phase meter."""

    clock: datetime
    seed: int = 1
    zone: ZoneInfo = ZURICH
    solar_peak: float = 6400.0
    """W; 0 for a house without solar."""

    appliances: list[Appliance] = field(default_factory=usual_appliances)

    # Registers in Wh and varh; a meter that has been in use for years.
    active_import: dict[int, float] = field(default_factory=lambda: {1: 8_039_276.0, 2: 2_486_751.0})
    active_export: dict[int, float] = field(default_factory=lambda: {1: 1_786_100.0, 2: 109_700.0})
    reactive_import: float = 283_967.0
    reactive_export: float = 2_949_486.0
    solar_energy: float = 9_127_300.0
    """Wh of the solar panels, which the meter does not measure."""

    maximum_demand: dict[int, float] = field(default_factory=lambda: {1: 5_210.0, 2: 2_480.0})
    """W, the highest import so far by tariff."""

    power: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0], init=False)
    """Signed W per phase, import positive."""

    solar_power: float = field(default=0.0, init=False)
    """W of the solar panels."""

    reactive_power: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0], init=False)
    voltage: list[float] = field(default_factory=lambda: [230.0, 230.0, 230.0], init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._measure()

    @property
    def net_power(self) -> float:
        """Signed W of all phases, as the meter sums them."""
        return sum(self.power)

    @property
    def tariff(self) -> int:
        """1 from 6:00 to 22:00 UTC, otherwise 2."""
        return 1 if 0.25 <= self._day_fraction < 22 / 24 else 2

    @property
    def power_factor(self) -> float:
        """Active power divided by apparent power, 0 to 1."""
        apparent_power = math.hypot(self.net_power, sum(self.reactive_power))
        return abs(self.net_power) / apparent_power

    def current(self, phase: int) -> float:
        """Unsigned A."""
        return math.hypot(self.power[phase], self.reactive_power[phase]) / self.voltage[phase]

    def advance(self, seconds: float) -> Iterator[Change]:
        """Advance the time, and yield the changes of appliances."""
        self._count(seconds, self.net_power, sum(self.reactive_power))
        self.clock += timedelta(seconds=seconds)
        for appliance in self.appliances:
            if left := appliance.advance(seconds):
                yield Change(appliance, left, self.clock)
        self._measure()

    def _count(self, seconds: float, net_power: float, reactive_power: float) -> None:
        """Add the energy of a time with constant power to the registers."""
        register = self.active_import if net_power > 0 else self.active_export
        register[self.tariff] += abs(net_power) * seconds / 3600
        self.solar_energy += self.solar_power * seconds / 3600
        reactive = reactive_power * seconds / 3600
        if reactive > 0:
            self.reactive_import += reactive
        else:
            self.reactive_export -= reactive

    def switch(self, appliance_id: str, state_name: str) -> Change:
        """Change the state of an appliance."""
        appliance = next(each for each in self.appliances if each.id == appliance_id)
        index = [state.name for state in appliance.states].index(state_name)
        change = Change(appliance, appliance.switch(index), self.clock)
        self._measure()
        return change

    @property
    def _day_fraction(self) -> float:
        return self.clock.timestamp() / 86400 % 1

    def _measure(self) -> None:
        sun = max(0.0, math.sin((self._day_fraction - 0.25) * 2 * math.pi)) * self.solar_peak
        sun *= self._random.uniform(0.85, 1.0)
        self.solar_power = sun
        for phase in PHASES:
            load = self._random.uniform(60, 110) * (phase + 1)
            load += sum(a.state.power for a in self.appliances if a.phase == phase)
            self.power[phase] = load - sun / 3
            self.reactive_power[phase] = self._random.uniform(-160, -40)
            self.voltage[phase] = self._random.uniform(228.5, 233.5)
        self.maximum_demand[self.tariff] = max(self.maximum_demand[self.tariff], self.net_power)
