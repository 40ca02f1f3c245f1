"""Read the imported energy from the recorder: totals at boundaries, and when readings arrived."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.util import dt as dt_util

from ..power_tariff.boundaries import Total
from .recorder import NearestReadings, read_nearest_readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the recorder has of the energy imported."""

    hours: Sequence[Total]
    """At full hours, in their order. Of the first row there is only the end."""

    five_minutes: Sequence[Total]
    """Every five minutes, as far back as the recorder keeps them."""

    nearest_readings: Mapping[datetime, NearestReadings]
    """When states around some moments were recorded."""

    lively_hours: frozenset[datetime]
    """The beginnings of hours in which the power has changed, so that readings must have arrived.

    Empty when no moments were asked for.
    """


def read_recorded(
    hass: HomeAssistant,
    energy_id: str,
    power_id: str | None,
    since: datetime,
    *,
    until: datetime,
    moments: Iterable[datetime],
    has_five_minutes: bool,
) -> Recorded:
    """Read the totals from a full hour until another time, and the nearest readings around some moments.

    `power_id` is a sensor that changes with nearly every reading.
    """
    sensors = [energy_id] if power_id is None else [energy_id, power_id]
    with session_scope(hass=hass, read_only=True) as session:
        ids = [get_instance(hass).states_meta_manager.get(sensor, session, False) for sensor in sensors]
        nearest_readings = {
            moment: _nearest(
                [read_nearest_readings(session, states_id, moment) for states_id in ids if states_id]
            )
            for moment in moments
        }
    return Recorded(
        hours=_read_totals(hass, energy_id, "hour", since, until),
        five_minutes=(_read_totals(hass, energy_id, "5minute", since, until) if has_five_minutes else []),
        nearest_readings=nearest_readings,
        lively_hours=(
            _read_lively_hours(hass, power_id, since)
            if power_id is not None and nearest_readings
            else frozenset()
        ),
    )


def _nearest(readings: Sequence[NearestReadings]) -> NearestReadings:
    return NearestReadings(
        max((each.before for each in readings if each.before is not None), default=None),
        min((each.after for each in readings if each.after is not None), default=None),
    )


def _read_totals(
    hass: HomeAssistant,
    statistic_id: str,
    period: Literal["5minute", "hour"],
    since: datetime,
    until: datetime,
) -> list[Total]:
    rows = statistics_during_period(
        hass, since, until, {statistic_id}, period, {"energy": "Wh"}, {"state", "sum"}
    ).get(statistic_id, [])
    return [
        Total(dt_util.utc_from_timestamp(row["end"]), register, energy)
        for row in rows
        if (register := row.get("state")) is not None and (energy := row.get("sum")) is not None
    ]


def _read_lively_hours(hass: HomeAssistant, statistic_id: str, since: datetime) -> frozenset[datetime]:
    rows = statistics_during_period(hass, since, None, {statistic_id}, "hour", None, {"max", "min"})
    return frozenset(
        dt_util.utc_from_timestamp(row["start"])
        for row in rows.get(statistic_id, [])
        if row.get("min") != row.get("max")
    )
