"""Limits of the registers of sub-meters and appliances."""

import pytest

from custom_components.energy_sse.appliances import APPLIANCE_LIMITS
from custom_components.energy_sse.const import SubMeterKind
from custom_components.energy_sse.reader import RegisterLimits, RegisterValidator
from custom_components.energy_sse.sub_meters import SUB_METER_LIMITS


@pytest.mark.parametrize(
    ("limits", "possible", "impossible"),
    [
        (SUB_METER_LIMITS[SubMeterKind.GAS], 50.4, 50.5),
        (SUB_METER_LIMITS[SubMeterKind.WATER], 40.3, 40.4),
        (SUB_METER_LIMITS[SubMeterKind.HEAT], 403.3, 403.4),
        (APPLIANCE_LIMITS, 87_724, 87_726),
    ],
)
def test_rise_of_a_register_is_limited(limits: RegisterLimits, possible: float, impossible: float) -> None:
    validator = RegisterValidator({"x": limits})
    validator.validate({"x": 1000.0}, 0.0)
    assert not validator.validate({"x": 1000.0 + impossible}, 3600.0)
    assert validator.validate({"x": 1000.0 + possible}, 3600.0)


def test_register_without_a_unit_can_rise_by_anything() -> None:
    validator = RegisterValidator({"x": SUB_METER_LIMITS[SubMeterKind.NONE]})
    validator.validate({"x": 1.0}, 0.0)
    assert validator.validate({"x": 1e12}, 1.0)


@pytest.mark.parametrize("limits", [*SUB_METER_LIMITS.values(), APPLIANCE_LIMITS])
def test_new_register_is_accepted_after_an_hour(limits: RegisterLimits) -> None:
    validator = RegisterValidator({"x": limits})
    validator.validate({"x": 1000.0}, 0.0)
    accepted = [time for time in range(60, 7200, 60) if validator.validate({"x": 5.0}, float(time))]
    assert accepted[0] == 3660
