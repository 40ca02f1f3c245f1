"""The whatwatt's wire, from recorded bytes to messages."""

import json

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import Measurement as M, ReaderInfo, ReaderKind, Unit
from custom_components.energy_sse.reader.exceptions import ReaderProtocolError
from custom_components.energy_sse.reader.whatwatt import WhatwattReader, parse_live, parse_system
from tests.samples import sample, sample_events


def test_reading_of_current_firmware_has_what_the_wire_says_in_its_units() -> None:
    (event,) = sample_events("whatwatt_live_fw2.sse")
    reading = parse_live(event.data)
    assert reading is not None
    assert reading.age == 0
    assert reading.values == {
        M.ACTIVE_POWER_IMPORT: 0.036,
        M.ACTIVE_POWER_EXPORT: 0,
        M.ACTIVE_POWER_NET: 0.036,
        **{
            measurement: 0
            for measurement in M
            if measurement.startswith(("active_power_import_l", "active_power_export_l", "current_l"))
        },
        M.VOLTAGE_L1: 230.1,
        M.VOLTAGE_L2: 229.8,
        M.VOLTAGE_L3: 230.4,
        M.ACTIVE_ENERGY_IMPORT: 47.251,
        M.ACTIVE_ENERGY_IMPORT_T1: 33.388,
        M.ACTIVE_ENERGY_IMPORT_T2: 14.668,
        M.ACTIVE_ENERGY_EXPORT: 8.965,
        M.ACTIVE_ENERGY_EXPORT_T1: 7.868,
        M.ACTIVE_ENERGY_EXPORT_T2: 1.097,
        M.ACTIVE_TARIFF: 1,
    }
    assert WhatwattReader.units[M.ACTIVE_POWER_NET] is Unit.KILOWATT
    assert WhatwattReader.units[M.ACTIVE_ENERGY_IMPORT_T1] is Unit.KILOWATT_HOUR


def test_reading_of_old_firmware_has_no_tariff() -> None:
    (event,) = sample_events("whatwatt_live_fw1.sse")
    reading = parse_live(event.data)
    assert reading is not None
    assert M.ACTIVE_TARIFF not in reading.values
    assert reading.values[M.ACTIVE_ENERGY_IMPORT_T2] == 14.668


def test_unknown_tariff_is_absent() -> None:
    reading = parse_live('{"P_In":1,"T":0}')
    assert reading is not None
    assert M.ACTIVE_TARIFF not in reading.values


@pytest.mark.parametrize(
    ("power_import", "power_export", "net"), [(0.036, 0, 0.036), (0, 2.5, -2.5), (1.234, 0.1, 1.134)]
)
def test_net_power_is_import_minus_export(power_import: float, power_export: float, net: float) -> None:
    reading = parse_live(json.dumps({"P_In": power_import, "P_Out": power_export}))
    assert reading is not None
    assert reading.values[M.ACTIVE_POWER_NET] == net


@pytest.mark.parametrize("payload", ['{"P_In":1}', '{"P_Out":1}'])
def test_net_power_needs_both_directions(payload: str) -> None:
    reading = parse_live(payload)
    assert reading is not None
    assert M.ACTIVE_POWER_NET not in reading.values


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"Date":"2024-08-24"}', '{"P_In":"1"}', '{"P_In":null}'])
def test_payload_without_a_measurement_is_no_reading(data: str) -> None:
    assert parse_live(data) is None


@given(st.text())
def test_no_payload_raises(data: str) -> None:
    parse_live(data)


def test_system_says_who_it_is() -> None:
    info = parse_system(json.loads(sample("whatwatt_system_fw1.10.json")))
    assert info == ReaderInfo(
        kind=ReaderKind.WHATWATT,
        id="ECC9FF5C7F14",
        mac_addresses=("ECC9FF5C7F14", "ECC9FF5C7F17"),
        firmware="1.10.0",
        hardware="WW_Go_1.2",
    )


def test_system_with_nothing_but_the_id_is_enough() -> None:
    assert parse_system({"device": {"id": "ecc9ff5c7f14"}}).id == "ECC9FF5C7F14"


@pytest.mark.parametrize(
    "payload", [{}, {"device": None}, {"device": {"id": "router"}}, {"device": {"id": 5}}]
)
def test_system_of_another_device_is_refused(payload: dict[str, object]) -> None:
    with pytest.raises(ReaderProtocolError):
        parse_system(payload)
