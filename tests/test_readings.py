"""Validated readings, without Home Assistant."""

from typing import Any

import pytest

from custom_components.energy_sse.reader import Freshness, Measurement as M, Reading, Unit
from custom_components.energy_sse.readings import Readings

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
