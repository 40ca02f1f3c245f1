"""Realistic house. Its loads, solar power and gas depend only on a seed and the time.

They do not depend on the steps of the clock. So a past that is simulated in large steps continues in real
time without a jump. The registers count the mean power of each minute. The power in a reading also has
random noise with a mean of zero. `tests/test_household.py` compares the house with these figures:

- BDEW, standard load profile H25 for households (2025): shape of the day.
- Swiss Federal Office of Energy, "Typischer Haushalt-Stromverbrauch" (2021): 5,200 kWh a year for four people
  in a detached house, without heating and without a car.
- A roof in the Swiss Plateau: about 1,000 kWh a year per kWp.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
import math
from random import Random
from typing import Final, NamedTuple, override

from .house import PHASES, Appliance, Change, House, State

_MINUTE: Final = timedelta(minutes=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 1440

# W of lights, screens and other small loads, in each hour of a workday and of a weekend.
_SMALL_LOADS: Final = [
    [int(watts) for watts in day.split()]
    for day in (
        "170 125 110 105 115 150 195 255 250 230 220 210 220 230 245 270 310 340 310 350 350 340 350 290",
        "230 175 135 125 115 115 140 210 240 280 310 320 370 370 380 410 440 450 390 450 420 400 400 310",
    )
]

# W. Standby power, and the power of a fridge and a freezer, which run for a third of the time.
_STANDBY: Final = 145
_FRIDGES: Final = 190

# var of each phase.
_REACTIVE_POWER: Final = -110.0

_WASHING: Final = {"washing": 180, "heating": 2000, "spinning": 550}

# Id, name, category, phase, and W in each state after "off".
_APPLIANCES: Final[Sequence[tuple[str, str, str, int, dict[str, int]]]] = (
    ("mocca_mast", "Mocca Master", "coffee-makers", 0, {"on": 1450}),
    ("stove", "Stove", "stoves", 1, {"simmering": 650, "frying": 1900}),
    ("dishwasher", "Dishwasher", "dishwashers", 1, {"washing": 120, "heating": 2100}),
    ("washing_machine", "Washing machine", "washing-machines", 2, _WASHING),
    ("heat_pump", "Heat pump", "heat-pumps", 2, {"active": 2400}),
    ("car", "Car", "car-chargers", 0, {"charging": 3680}),
)

# Index of a state, and minutes.
_COFFEE: Final = ((1, 6),)
_STOVE: Final = ((2, 9), (1, 14), (2, 5), (1, 9))
_DISHWASHER: Final = ((1, 12), (2, 16), (1, 28), (2, 11), (1, 20))
_WASHING_MACHINE: Final = ((1, 6), (2, 18), (1, 38), (3, 9))
_HOT_WATER: Final = ((1, 35),)

# Nights in five, so that the car is charged every second or third night.
_NIGHTS_OF_THE_CAR: Final = (0, 2)

# Minutes of a cycle of the heat pump. It runs once in each cycle, and longer if it is cold.
_HEATING_CYCLE: Final = 90
_SHORTEST_HEATING: Final = 10

# °C. Below the limit, the house is heated.
_HEATING_LIMIT: Final = 15.0

# K. If it is colder than the limit by this difference, the heat pump does not pause.
_FULL_HEATING: Final = 28.0

# m³ of gas in an hour: for each degree below the limit, and while water is heated.
_GAS_FOR_HEATING: Final = 0.022
_GAS_FOR_WATER: Final = 0.09


class Run(NamedTuple):
    """Run of an appliance, which can last beyond midnight."""

    appliance: str
    begin: int
    """Minute of the day."""

    steps: Sequence[tuple[int, int]]
    """Index of the state, and minutes."""


class _Day(NamedTuple):
    """Values in each minute of a day."""

    loads: tuple[list[float], ...]
    """W of each phase, without the appliances."""

    sun: list[float]
    """Fraction of the peak power of the panels."""

    gas: list[float]
    """m³ in each hour."""

    states: dict[str, list[int]]
    """Index of the state of each appliance."""


@dataclass
class Household(House):
    """A detached house whose power depends on its seed and the time alone."""

    latitude: float = 47.4
    """Degrees north."""

    longitude: float = 8.5
    """Degrees east."""

    size: float = 1.0
    """Factor of the small loads and of the fridges. It is 1 for four people."""

    has_appliances: bool = True

    has_heat_pump: bool = True
    """False for a house with gas heating."""

    has_car: bool = True
    appliances: list[Appliance] = field(init=False)
    active_import: dict[int, float] = field(init=False)
    active_export: dict[int, float] = field(init=False)
    solar_energy: float = field(init=False)
    maximum_demand: dict[int, float] = field(init=False)
    gas: float = field(init=False)
    """Register in m³."""

    is_manual: bool = False
    """True if only a test switches the appliances."""

    fast_since: datetime | None = None
    speed: float = 1.0
    """Simulated seconds in each second since `fast_since`. Energy is calculated with real time."""

    def __post_init__(self) -> None:
        """Make the appliances, and the registers of a meter that has been in use for years."""
        chance = Random(self.seed)
        self.active_import = {1: chance.uniform(6e6, 3e7), 2: chance.uniform(2e6, 1e7)}
        self.active_export = {1: chance.uniform(2e6, 2e7), 2: chance.uniform(1e4, 1e5)}
        self.solar_energy = 1.6 * sum(self.active_export.values())
        self.gas = chance.uniform(1500, 9000)
        self.maximum_demand = {1: 5_210.0, 2: 4_480.0}
        missing = {"heat_pump": not self.has_heat_pump, "car": not self.has_car}
        self.appliances = []
        for id_, name, category, phase, powers in _APPLIANCES:
            states = [State("off", 0, is_on=False)]
            states += [State(state, watts, is_on=True) for state, watts in powers.items()]
            if self.has_appliances and not missing.get(id_):
                # Only the plan of the day switches them, so their states have no end.
                never = (10**12,) * len(states)
                self.appliances.append(Appliance(id_, name, category, phase, tuple(states), never))
        self._days: dict[date, _Day] = {}
        self._planned: dict[str, int] = {}
        list(self._follow_plan())
        super().__post_init__()

    # ------------------------------------------------------------------------------------------- the meter

    def local_time(self, moment: datetime) -> datetime:
        """Return the local time in the house, which passes faster since `fast_since`."""
        if self.fast_since is not None and moment > self.fast_since:
            moment = self.fast_since + (moment - self.fast_since) * self.speed
        return moment.astimezone(self.zone)

    @property
    @override
    def tariff(self) -> int:
        """1 from 6:00 to 22:00, otherwise 2."""
        return 1 if 6 <= self._minute // 60 < 22 else 2

    @override
    def advance(self, seconds: float) -> Iterator[Change]:
        end = self.clock + timedelta(seconds=seconds)
        while self.clock < end:
            local = self.local_time(self.clock)
            left = _MINUTE - timedelta(seconds=local.second, microseconds=local.microsecond)
            if self.fast_since is not None and self.clock >= self.fast_since:
                # Rounded up, because a fast minute is not a whole number of microseconds.
                left = left / self.speed + _MICROSECOND
            elif self.fast_since is not None:
                left = min(left, self.fast_since - self.clock)
            step = min(end - self.clock, left)
            duration = step.total_seconds()
            self._count(duration, self._mean_power, 3 * _REACTIVE_POWER)
            self.gas += self._gas_flow * duration / 3600
            for appliance in self.appliances:
                appliance.energy += appliance.state.power * duration / 3600
            self.clock += step
            yield from self._follow_plan()
            self._measure()

    def _follow_plan(self) -> Iterator[Change]:
        """Switch the appliances that the plan of the day switches in this minute."""
        local = self.local_time(self.clock)
        self._today, self._minute = self._day(local.date()), local.hour * 60 + local.minute
        if self.is_manual:
            return
        for appliance in self.appliances:
            index = self._today.states[appliance.id][self._minute]
            # An appliance that a test has switched keeps its state until the plan changes.
            if index != self._planned.get(appliance.id, 0):
                self._planned[appliance.id] = index
                yield Change(appliance, appliance.switch(index), self.clock)

    @override
    def _measure(self) -> None:
        today, minute = self._today, self._minute
        self.solar_power = today.sun[minute] * self.solar_peak
        # m³ in an hour.
        self._gas_flow = 0.0 if self.has_heat_pump else today.gas[minute // 60]
        loads = [load[minute] for load in today.loads]
        for appliance in self.appliances:
            loads[appliance.phase] += appliance.state.power
        self._mean_power = sum(loads) - self.solar_power
        second = int(self.clock.timestamp())
        for phase, load in enumerate(loads):
            noise = _noise(second, self.seed * 10 + phase)
            power = self.power[phase] = load * (1 + 0.03 * noise) - self.solar_power / 3
            self.reactive_power[phase] = _REACTIVE_POWER + 40 * noise
            # The panels of the neighborhood raise the voltage. The line to this house has 0.3 ohms.
            self.voltage[phase] = 232.5 + 0.5 * noise + 25 * today.sun[minute] - 0.3 * power / 230
        self.maximum_demand[self.tariff] = max(self.maximum_demand[self.tariff], self._mean_power)

    # -------------------------------------------------------------------------------------- plan of a day

    def runs(self, day: date) -> Iterator[Run]:
        """Yield the runs of appliances that begin on a day."""
        chance = Random(f"{self.seed} runs {day}")

        def at(hour: float, deviation: float) -> int:
            return round(60 * chance.gauss(hour, deviation))

        is_weekend = day.weekday() >= 5
        is_at_home = is_weekend or chance.random() < 0.4
        yield Run("mocca_mast", at(8.5 if is_weekend else 6.6, 0.3), _COFFEE)
        if is_at_home:
            yield Run("mocca_mast", at(13.3, 0.3), _COFFEE)
            yield Run("stove", at(11.4, 0.5), _STOVE)
        if chance.random() < 0.9:
            yield Run("stove", at(18.1, 0.7), _STOVE)
        if chance.random() < 0.75:
            hour = chance.choice((13.3, 20)) if is_weekend else 20
            yield Run("dishwasher", at(hour, 0.7), _DISHWASHER)
        if chance.random() < (0.65 if is_weekend else 0.3):
            yield Run("washing_machine", at(9.7 if is_at_home else 18.2, 0.8), _WASHING_MACHINE)
        if self.has_car and (day.toordinal() + self.seed) % 5 in _NIGHTS_OF_THE_CAR:
            yield Run("car", at(22.4, 0.5), ((1, chance.randint(130, 300)),))
        if self.has_heat_pump:
            yield Run("heat_pump", at(4.2, 0.1), _HOT_WATER)
            for begin in range(0, _DAY, _HEATING_CYCLE):
                part = (_HEATING_LIMIT - self.temperature(day, begin)) / _FULL_HEATING
                minutes = round(_HEATING_CYCLE * min(part, 1))
                if minutes >= _SHORTEST_HEATING:
                    start = begin + chance.randint(0, _HEATING_CYCLE - minutes)
                    yield Run("heat_pump", start, ((1, minutes),))

    def temperature(self, day: date, minute: int) -> float:
        """Return the outdoor temperature in °C."""
        (today, clear), (tomorrow, _) = self._weather(day), self._weather(day + timedelta(days=1))
        deviation = 6 * (today + (tomorrow - today) * minute / _DAY)
        afternoon = -math.cos((minute - 180) / _DAY * 2 * math.pi)
        return 10 - 9.5 * _winter(day) + deviation + (2 + 3 * clear) * afternoon

    def _weather(self, day: date) -> tuple[float, float]:
        """Return the deviation of the temperature, and the fraction of clear sky. Both change over days."""
        days = [(day.toordinal() + each, 0.8 - 0.3 * abs(each)) for each in (-1, 0, 1)]
        warm, clear = (
            sum(_noise(number, self.seed + other) * weight for number, weight in days) for other in (0, 5000)
        )
        return warm, min(max(0.48 - 0.16 * _winter(day) + 0.75 * clear, 0.04), 1.0)

    def _day(self, day: date) -> _Day:
        """Return the plan of a day. The last two plans are cached."""
        if day not in self._days:
            self._days = dict([*self._days.items()][-1:]) | {day: self._plan(day)}
        return self._days[day]

    def _plan(self, day: date) -> _Day:
        # Also of the appliances that this house does not have.
        states = {appliance_id: [0] * _DAY for appliance_id, *_ in _APPLIANCES}
        for offset, runs in ((-_DAY, self.runs(day - timedelta(days=1))), (0, self.runs(day))):
            for run in runs:
                begin = run.begin + offset
                for index, minutes in run.steps:
                    for minute in range(max(begin, 0), min(begin + minutes, _DAY)):
                        states[run.appliance][minute] = index
                    begin += minutes
        chance = Random(f"{self.seed} loads {day}")
        loads: tuple[list[float], ...] = ([], [], [])
        small = [0.0] * 3
        for minute in range(_DAY):
            if minute % 8 == 0:
                watts = self.size * (1 + 0.13 * _winter(day)) * _SMALL_LOADS[day.weekday() >= 5][minute // 60]
                small = [watts / 3 * chance.uniform(0.55, 1.45) for _ in PHASES]
            fridges = _FRIDGES * ((minute + 7 * self.seed) % 45 < 15)
            for phase, load in enumerate(loads):
                load.append(small[phase] + (self.size * (_STANDBY + fridges) if phase == 0 else 0.0))
        gas = [
            _GAS_FOR_HEATING * max(_HEATING_LIMIT - self.temperature(day, hour * 60), 0)
            + _GAS_FOR_WATER * (hour in (6, 7, 19, 20))
            for hour in range(24)
        ]
        return _Day(loads, list(self._sun(day)), gas, states)

    def _sun(self, day: date) -> Iterator[float]:
        """Yield the power of panels that face south at 30 degrees, in each minute."""
        chance, (_, clear) = Random(f"{self.seed} clouds {day}"), self._weather(day)
        declination = math.radians(-23.44 * math.cos((day.timetuple().tm_yday + 10) / 365.25 * 2 * math.pi))
        noon = datetime.combine(day, time(12), self.zone).astimezone(UTC)
        solar_noon = 720 + (720 - 60 * noon.hour) - 4 * self.longitude
        passing = clear
        for minute in range(_DAY):
            if minute % 7 == 0:
                passing = min(max(chance.gauss(clear, 1.2 * clear * (1 - clear)), 0.03), 1.0)
            angle = (minute - solar_noon) / _DAY * 2 * math.pi
            # Sines of the height of the sun above the horizon, and above the panels.
            height, incidence = (
                math.sin(slope) * math.sin(declination)
                + math.cos(slope) * math.cos(declination) * math.cos(angle)
                for slope in (math.radians(self.latitude), math.radians(self.latitude - 30))
            )
            # Attenuation by the air mass (Meinel), and diffuse light.
            direct = 0.0 if height <= 0 else 1.35 * 0.7 ** ((height + 0.05) ** -0.678)
            diffuse = max(height, 0.0) * (0.1 + 0.16 * (1 - passing))
            yield 0.78 * (direct * max(incidence, 0.0) * passing + diffuse)


def _winter(day: date) -> float:
    """Return 1 on the coldest day of the year, and -1 half a year later."""
    return math.cos((day.timetuple().tm_yday - 20) / 365.25 * 2 * math.pi)


def _noise(number: int, seed: int) -> float:
    """Return a value from -1 to 1 that depends on the arguments alone."""
    value = (number * 0x9E3779B1 + seed * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ value >> 15) * 0x2C1B3C6D) & 0xFFFFFFFF
    value = ((value ^ value >> 12) * 0x297A2D39) & 0xFFFFFFFF
    return (value ^ value >> 15) / 0x7FFFFFFF - 1
