"""What sub-meters and appliances can count in an hour, by an answer that may be an hour old."""

import pytest

from custom_components.energy_sse.const import SubMeterKind
from custom_components.energy_sse.limits import APPLIANCE_LIMITS, SUB_METER_LIMITS
from custom_components.energy_sse.reader import RegisterLimits, RegisterValidator


@pytest.mark.parametrize(
    ("limits", "possible", "impossible"),
    [
        (SUB_METER_LIMITS[SubMeterKind.GAS], 50.4, 50.5),
        (SUB_METER_LIMITS[SubMeterKind.WATER], 40.3, 40.4),
        (SUB_METER_LIMITS[SubMeterKind.HEAT], 403.3, 403.4),
        (APPLIANCE_LIMITS, 87_724, 87_726),
    ],
)
def test_register_rises_by_what_can_flow_in_the_time(
    limits: RegisterLimits, possible: float, impossible: float
) -> None:
    guard = RegisterValidator({"x": limits})
    guard.validate({"x": 1000.0}, 0.0)
    assert not guard.validate({"x": 1000.0 + impossible}, 3600.0)
    assert guard.validate({"x": 1000.0 + possible}, 3600.0)


def test_what_nobody_knows_the_unit_of_may_rise_by_anything() -> None:
    guard = RegisterValidator({"x": SUB_METER_LIMITS[SubMeterKind.NONE]})
    guard.validate({"x": 1.0}, 0.0)
    assert guard.validate({"x": 1e12}, 1.0)


@pytest.mark.parametrize("limits", [*SUB_METER_LIMITS.values(), APPLIANCE_LIMITS])
def test_new_register_is_believed_when_it_was_told_for_an_hour(limits: RegisterLimits) -> None:
    guard = RegisterValidator({"x": limits})
    guard.validate({"x": 1000.0}, 0.0)
    believed = [time for time in range(60, 7200, 60) if guard.validate({"x": 5.0}, float(time))]
    assert believed[0] == 3660
