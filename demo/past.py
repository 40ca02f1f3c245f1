"""Past of the houses, and its import into the long-term statistics.

The recorder begins a sum at zero with its first state. So the imported sums are negative, and end at zero.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import batched
from statistics import fmean
from typing import Any, Final, NamedTuple, cast

from custom_components.energy_sse.power_tariff.demand import (
    Boundary,
    Month,
    MonthlyPeak,
    PowerTariff,
    demand_limit,
    intervals_between,
    monthly_peaks,
)
from tests.simulators import Simulator
from tests.simulators.household import Household

from . import solar
from .home_assistant import HomeAssistantApi
from .houses import CASA_MIA, GAS_METER

# The rules of the contract that `power_tariff.set_up` selects.
TARIFF: Final = PowerTariff(peaks=3, one_per_day=True, min_limit_share=0.5)

_HOUR: Final = timedelta(hours=1)

# Seconds.
_STEP: Final = 300.0

_STEPS_PER_HOUR: Final = 12

# Seconds until the recorder has written the first states. Before that, the entry is reloaded, because the
# kind of its sub-meter is set.
_RECORDER_TIMEOUT: Final = 30

_PHASES: Final = (1, 2, 3)


class _Unit(NamedTuple):
    name: str
    unit_class: str


_WATT: Final = _Unit("W", "power")
_KILOWATT: Final = _Unit("kW", "power")
_KILOWATT_HOUR: Final = _Unit("kWh", "energy")
_CUBIC_METER: Final = _Unit("m³", "volume")
_VOLT: Final = _Unit("V", "voltage")
_AMPERE: Final = _Unit("A", "electric_current")


class Past:
    """Hours of one house until now, by the unique ids of its sensors."""

    def __init__(self, reader: Simulator) -> None:
        """Set the reader. The past begins at the time of its house."""
        self.reader = reader
        self.begin = cast("Household", reader.house).clock
        self.totals: dict[str, list[float]] = {}
        """Register at the beginning and at the end of each hour, in kWh or m³."""

        self.values: dict[str, list[float]] = {}
        """Values every five minutes, in W, V or A."""

    async def run_until(self, now: datetime) -> None:
        """Advance the house, and collect the registers and values."""
        house = cast("Household", self.reader.house)
        self._note_totals()
        for number in range(1, int((now - house.clock).total_seconds() // _STEP) + 1):
            await self.reader.advance(_STEP)
            for key, value in self._powers().items():
                self.values.setdefault(key, []).append(value)
            if number % _STEPS_PER_HOUR == 0:
                self._note_totals()
        await self.reader.advance((now - house.clock).total_seconds())

    def _note_totals(self) -> None:
        for key, value in self._registers().items():
            self.totals.setdefault(key, []).append(value)

    def _registers(self) -> dict[str, float]:
        house, device_id = cast("Household", self.reader.house), self.reader.device_id
        registers = {f"{device_id}:counter:{GAS_METER}": house.gas}
        if device_id == CASA_MIA:
            registers[solar.ENERGY] = house.solar_energy / 1000
        for direction, by_tariff in (("import", house.active_import), ("export", house.active_export)):
            registers[f"{device_id}_active_energy_{direction}"] = int(sum(by_tariff.values())) / 1000
            for tariff, energy in by_tariff.items():
                registers[f"{device_id}_active_energy_{direction}_t{tariff}"] = int(energy) / 1000
        for appliance in house.appliances:
            registers[f"{device_id}:{appliance.id}:energy"] = int(appliance.energy) / 1000
        return registers

    def _powers(self) -> dict[str, float]:
        house, device_id = self.reader.house, self.reader.device_id
        powers = {
            f"{device_id}_active_power_net": house.net_power,
            f"{device_id}_active_power_import": max(house.net_power, 0),
            f"{device_id}_active_power_export": max(-house.net_power, 0),
        }
        if device_id == CASA_MIA:
            powers[solar.POWER] = house.solar_power
        for index, phase in enumerate(_PHASES):
            powers[f"{device_id}_active_power_net_l{phase}"] = house.power[index]
            powers[f"{device_id}_voltage_l{phase}"] = house.voltage[index]
            powers[f"{device_id}_current_l{phase}"] = house.current(index)
        return powers | {f"{device_id}:{each.id}:power": each.state.power for each in house.appliances}

    def hours(self, key: str) -> dict[int, float]:
        """Return a register in Wh by the timestamp of its hour."""
        return {
            int((self.begin + index * _HOUR).timestamp()): round(kilowatt_hours * 1000, 1)
            for index, kilowatt_hours in enumerate(self.totals[key])
        }

    def last_powers(self, key: str) -> Iterator[tuple[str, float]]:
        """Yield the power in W as a state, and its timestamp, every five minutes of the last day."""
        values = self.values[key]
        for number in range(max(len(values) - 24 * _STEPS_PER_HOUR, 0), len(values)):
            yield str(round(values[number])), self.begin.timestamp() + (number + 1) * _STEP

    async def import_totals(self, api: HomeAssistantApi, entities: Mapping[str, str]) -> None:
        """Import the registers. `entities` are the entity ids by unique id."""
        # An appliance that was never on has no energy in Home Assistant.
        totals = {key: each for key, each in self.totals.items() if key in entities and each[-1]}
        first = await _first_states(api, {entities[key] for key in totals})
        for key, total in totals.items():
            zero = first[entities[key]]
            rows = [{"state": each, "sum": each - zero} for each in total[1:]]
            await _import(api, entities[key], _unit_of(key), self.begin, rows)

    async def import_means(self, api: HomeAssistantApi, entities: Mapping[str, str]) -> None:
        """Import the powers, voltages and currents. `entities` are the entity ids by unique id."""
        for key, values in self.values.items():
            if key in entities:
                complete = values[: len(values) // _STEPS_PER_HOUR * _STEPS_PER_HOUR]
                hours = batched(complete, _STEPS_PER_HOUR, strict=True)
                rows = [{"mean": fmean(each), "min": min(each), "max": max(each)} for each in hours]
                await _import(api, entities[key], _unit_of(key), self.begin, rows)

    async def import_demand(self, api: HomeAssistantApi, *entity_ids: str) -> None:
        """Import the demand of each hour, its limit and the monthly peak of these entities."""
        registers = self.totals[f"{self.reader.device_id}_active_energy_import"]
        zone = self.reader.house.zone
        hours = await asyncio.to_thread(lambda: list(demands(self.begin, registers, zone)))
        for entity_id, values in zip(entity_ids, zip(*hours, strict=True), strict=True):
            rows = [{"mean": each, "min": each, "max": each} for each in values]
            await _import(api, entity_id, _KILOWATT, self.begin, rows)


def demands(
    begin: datetime, registers: Iterable[float], zone: tzinfo
) -> Iterator[tuple[float, float, float]]:
    """Yield the demand of each hour, its limit and the monthly peak in kW. The registers are in kWh."""
    boundaries = [
        Boundary(begin + index * _HOUR, 1000 * register) for index, register in enumerate(registers)
    ]
    intervals = list(intervals_between(boundaries, _HOUR))
    peaks: Mapping[Month, MonthlyPeak] = {}
    for index, interval in enumerate(intervals, 1):
        local = interval.start.astimezone(zone)
        limit = demand_limit(TARIFF, peaks, local)
        peaks = monthly_peaks(TARIFF, intervals[:index], zone)
        yield interval.energy / 1000, (limit or 0.0) / 1000, (peaks[Month.of(local)].demand or 0.0) / 1000


def _unit_of(key: str) -> _Unit:
    for part, unit in (("voltage", _VOLT), ("current", _AMPERE), ("counter", _CUBIC_METER), ("power", _WATT)):
        if part in key:
            return unit
    return _KILOWATT_HOUR


async def _first_states(api: HomeAssistantApi, entity_ids: set[str]) -> dict[str, float]:
    """Return the first number that the recorder has seen of each entity, as soon as it has."""
    begin, ids = (datetime.now(UTC) - _HOUR).isoformat().replace("+", "%2B"), ",".join(entity_ids)
    found: dict[str, float] = {}
    async with asyncio.timeout(_RECORDER_TIMEOUT):
        while found.keys() < entity_ids:
            for states in await api.get(f"/api/history/period/{begin}?no_attributes&filter_entity_id={ids}"):
                if numbers := [number for state in states if (number := _number(state)) is not None]:
                    found[states[0]["entity_id"]] = numbers[0]
            await asyncio.sleep(0.2)
    return found


def _number(state: Mapping[str, Any]) -> float | None:
    try:
        return float(state["state"])
    except ValueError:
        return None


async def _import(
    api: HomeAssistantApi, entity_id: str, unit: _Unit, begin: datetime, rows: list[dict[str, float]]
) -> None:
    metadata: dict[str, Any] = {
        "source": "recorder",
        "statistic_id": entity_id,
        "name": None,
        "unit_of_measurement": unit.name,
        "unit_class": unit.unit_class,
        "has_sum": "sum" in rows[0],
        "mean_type": 0 if "sum" in rows[0] else 1,
    }
    stats = [{"start": (begin + index * _HOUR).isoformat(), **row} for index, row in enumerate(rows)]
    await api.command("recorder/import_statistics", metadata=metadata, stats=stats)
