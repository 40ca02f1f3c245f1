"""Validated readings, without Home Assistant."""

from typing import Any

import pytest

from custom_components.energy_sse.reader import Freshness, Measurement as M, Reading, Unit
from custom_components.energy_sse.readings import Readings
from custom_components.energy_sse.supply import Supply

IMPORT = M.ACTIVE_ENERGY_IMPORT
UNITS = {IMPORT: Unit.KILOWATT_HOUR, M.ACTIVE_POWER_IMPORT: Unit.KILOWATT}


@pytest.mark.parametrize("value", [-1.0, 1e9, "5000", True, None])
def test_impossible_register_is_not_restored(value: Any) -> None:
    readings = Readings(UNITS, Freshness())
    readings.restore({"registers": {IMPORT: value}, "received_at": {IMPORT: 0.0}}, 0.0)
    assert readings.as_dict(0.0)["registers"] == {}
    reading = readings.update(Reading(values={IMPORT: 5000.0}), 10.0)
    assert reading is not None
    assert reading.values == {IMPORT: 5000.0}


def test_register_that_the_reader_does_not_send_is_not_restored() -> None:
    readings = Readings(UNITS, Freshness())
    readings.restore({"registers": {M.ACTIVE_ENERGY_EXPORT: 1.0}, "received_at": {}}, 0.0)
    assert readings.as_dict(0.0)["registers"] == {}


def test_impossible_net_power_rejects_import_and_export_too() -> None:
    units = {
        M.ACTIVE_POWER_IMPORT: Unit.WATT,
        M.ACTIVE_POWER_EXPORT: Unit.WATT,
        M.ACTIVE_POWER_NET: Unit.WATT,
    }
    readings = Readings(units, Freshness())
    for power in (1500, -4e9):
        halves = {M.ACTIVE_POWER_IMPORT: max(0, power), M.ACTIVE_POWER_EXPORT: max(0, -power)}
        readings.update(Reading(values={M.ACTIVE_POWER_NET: power, **halves}), power)
    assert readings.values[M.ACTIVE_POWER_NET] == readings.values[M.ACTIVE_POWER_IMPORT] == 1500
    assert readings.validator.rejected == {"beyond a household supply": 1}


def test_computed_value_expires_with_its_inputs() -> None:
    units = {M.CURRENT_L1: Unit.AMPERE, M.VOLTAGE_L1: Unit.VOLT, M.HEADROOM_L1: Unit.AMPERE}
    readings = Readings(units, Freshness(), Supply(main_fuse=25, phases=1))
    for now in range(0, 60, 10):
        readings.update(Reading(values={M.CURRENT_L1: 5, M.VOLTAGE_L1: 230}), now)
    for now in range(60, 110, 10):
        readings.update(Reading(values={M.VOLTAGE_L1: 230}), now)
    assert readings.next_expiry(109) == 1
    assert readings.remove_outdated(109) == set()
    assert readings.remove_outdated(110) == {M.CURRENT_L1, M.HEADROOM_L1}
    assert readings.values == {M.VOLTAGE_L1: 230}


def test_net_power_is_import_if_the_protocol_has_no_export() -> None:
    units = dict.fromkeys((M.ACTIVE_POWER_IMPORT, M.ACTIVE_POWER_NET), Unit.WATT)
    readings = Readings(units, Freshness())
    readings.update(Reading(values={M.ACTIVE_POWER_IMPORT: 5}), 0)
    assert readings.values == {M.ACTIVE_POWER_IMPORT: 5, M.ACTIVE_POWER_NET: 5}
