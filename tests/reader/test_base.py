"""Parts that the protocols of all readers have in common."""

from typing import Any

import pytest

from custom_components.energy_sse.reader import Measurement as M, Property as P, Unit
from custom_components.energy_sse.reader.base import Reader, measurement_names, parse_measurements

SIGNED = {"power": (M.ACTIVE_POWER_NET, Unit.WATT)}


@pytest.mark.parametrize(
    ("power", "power_import", "power_export"),
    [(1500, 1500, 0), (-0.5, 0, 0.5), (0.0, 0, 0), ("-12", 0, 12)],
)
def test_power_with_a_sign_is_import_or_export(
    power: float | str, power_import: float, power_export: float
) -> None:
    values = parse_measurements({"power": power}, measurement_names(SIGNED))
    assert (values[M.ACTIVE_POWER_IMPORT], values[M.ACTIVE_POWER_EXPORT]) == (power_import, power_export)
    assert values[M.ACTIVE_POWER_NET] == float(power)
    assert "-0.0" not in map(str, values.values()), "zero has no sign"


@pytest.mark.parametrize(
    ("fields", "computed"),
    [
        (SIGNED, {M.ACTIVE_POWER_IMPORT: Unit.WATT, M.ACTIVE_POWER_EXPORT: Unit.WATT}),
        ({"in": (M.ACTIVE_POWER_IMPORT, Unit.KILOWATT)}, {M.ACTIVE_POWER_NET: Unit.KILOWATT}),
        ({"total": (M.ACTIVE_ENERGY_IMPORT, Unit.WATT_HOUR)}, {}),
    ],
)
def test_units_of_a_kind_follow_from_its_fields(
    fields: dict[str, tuple[M, Unit]], computed: dict[M, Unit]
) -> None:
    kind: type[Reader] = type("Kind", (Reader,), {"fields": fields})
    clocks = {M.READER_CLOCK_OFFSET: Unit.SECOND, M.METER_CLOCK_OFFSET: Unit.SECOND}
    assert kind.units == dict(fields.values()) | computed | clocks


@pytest.mark.parametrize(
    "payload", [{}, {"wifi": 5, "meter": None}, {"wifi": {"rssi": "weak"}, "meter": " "}]
)
def test_properties_that_are_missing_are_left_out(payload: dict[str, Any]) -> None:
    paths = {"numbers": {("wifi", "rssi"): P.SIGNAL_STRENGTH}, "texts": {("meter",): P.METER_STATUS}}
    kind: type[Reader] = type("Kind", (Reader,), {"fields": SIGNED, **paths})
    assert kind.parse_properties(payload) == {}
    whole = {"wifi": {"rssi": -60}, "meter": "OK"}
    assert kind.parse_properties(whole) == {P.SIGNAL_STRENGTH: -60, P.METER_STATUS: "OK"}
