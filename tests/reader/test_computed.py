"""Measurements that are computed from others."""

import pytest

from custom_components.energy_sse.reader import ComputedValues, Measurement as M
from custom_components.energy_sse.reader.whatwatt import WhatwattReader

UNITS = WhatwattReader.units
L1 = M.HEADROOM_L1


def computed(values: dict[M, float], last: dict[M, float] | None = None, *, missing: bool = False) -> str:
    """Return the net power as a text."""
    values = values.copy()
    ComputedValues(UNITS).add(values, last or {}, lambda _: missing)
    return str(values.get(M.ACTIVE_POWER_NET))


@pytest.mark.parametrize(
    ("power_import", "power_export", "net"),
    [
        *((0.036, 0, "0.036"), (0, 2.5, "-2.5"), (1.234, 0.1, "1.134")),
        *((0.0, 0.0, "0.0"), (0, 0.0000001, "0.0"), (606, 0, "606")),
    ],
)
def test_net_power_is_import_minus_export(power_import: float, power_export: float, net: str) -> None:
    values = {M.ACTIVE_POWER_IMPORT: power_import, M.ACTIVE_POWER_EXPORT: power_export}
    assert computed(values) == net
    one_after_the_other = [{each: value} for each, value in values.items()]
    assert computed(*one_after_the_other) == computed(*reversed(one_after_the_other)) == net


@pytest.mark.parametrize(("each", "net"), [(M.ACTIVE_POWER_IMPORT, "1.5"), (M.ACTIVE_POWER_EXPORT, "-1.5")])
def test_net_power_needs_both_directions_that_the_meter_has(each: M, net: str) -> None:
    assert computed({each: 1.5}) == "None"
    assert computed({each: 1.5}, missing=True) == net
    assert computed({M.VOLTAGE_L1: 230}, {each: 1.5}, missing=True) == "None", "it is not a new value"


@pytest.mark.parametrize(
    ("current", "net", "headroom"),
    [(10.0, 2.3, 15), (10.0, -2.3, 35), (10.0, None, 15), (10.0, 0.0, 15), (-10.0, None, 35), (0.0, 0.0, 25)],
)
def test_headroom_is_main_fuse_minus_signed_current(
    current: float, net: float | None, headroom: float
) -> None:
    values, last = {M.CURRENT_L1: current}, {} if net is None else {M.ACTIVE_POWER_NET_L1: net}
    ComputedValues(UNITS, 25).add(values, last, lambda _: False)
    assert values[L1] == headroom


@pytest.mark.parametrize(("main_fuse", "phases", "count"), [(None, 3, 0), (25, 1, 1), (25, 3, 3)])
def test_headroom_exists_for_each_phase_of_the_fuse(main_fuse: float | None, phases: int, count: int) -> None:
    assert len(ComputedValues(UNITS, main_fuse, phases).headrooms) == count


def test_computed_values_depend_on_their_inputs() -> None:
    values = ComputedValues(UNITS, 25)
    assert set(values.get_dependent({M.ACTIVE_POWER_EXPORT, M.CURRENT_L1})) == {M.ACTIVE_POWER_NET, L1}
    assert set(values.get_dependent({M.ACTIVE_POWER_NET_L1, M.VOLTAGE_L1})) == set()
