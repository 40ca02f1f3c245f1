"""Protocol of the whatwatt Go: from recorded payloads to messages."""

from datetime import UTC, datetime
import json
from typing import Any

import pytest

from custom_components.energy_sse.reader import (
    Measurement as M,
    Property as P,
    ReaderInfo,
    ReaderStatus,
    Reading,
    SubMeterReading,
    Unit,
)
from custom_components.energy_sse.reader.models import ReaderProtocolError
from custom_components.energy_sse.reader.whatwatt import (
    WhatwattReader,
    parse_identity,
    parse_live,
    parse_report,
    parse_status,
)
from tests.samples import sample, sample_events


def reading_in(data: str) -> Reading:
    reading, *_ = parse_live(data)
    assert isinstance(reading, Reading)
    return reading


def test_reading_has_the_values_of_the_protocol() -> None:
    (event,) = sample_events("whatwatt_live_fw2.sse")
    reading = reading_in(event.data)
    assert reading.age == 0
    assert reading.values == {
        M.ACTIVE_POWER_IMPORT: 0.036,
        M.ACTIVE_POWER_EXPORT: 0,
        **{
            measurement: 0
            for measurement in M
            if measurement.startswith(
                ("active_power_import_l", "active_power_export_l", "current_l", "reactive_", "power_factor")
            )
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


def test_reading_of_old_firmware_lacks_a_tariff() -> None:
    (event,) = sample_events("whatwatt_live_fw1.sse")
    reading = reading_in(event.data)
    assert M.ACTIVE_TARIFF not in reading.values
    assert reading.values[M.ACTIVE_ENERGY_IMPORT_T2] == 14.668


@pytest.mark.parametrize(
    ("tariff", "expected"),
    [
        *((tariff, "None") for tariff in ("0", "0.0", '"0"', "2.5", '"2.5"', '"HT"', "null", "true")),
        *((tariff, "2") for tariff in ("2", "2.0", '"2"', '"2.0"')),
    ],
)
def test_tariff_is_a_positive_integer(tariff: str, expected: str) -> None:
    reading = reading_in(f'{{"P_In":1,"T":{tariff}}}')
    assert repr(reading.values.get(M.ACTIVE_TARIFF)) == expected


def with_texts_for_numbers(value: Any) -> Any:
    """Return a payload whose numbers are written as texts."""
    if isinstance(value, dict):
        return {key: with_texts_for_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [with_texts_for_numbers(each) for each in value]
    return str(value) if type(value) in (int, float) else value


@pytest.mark.parametrize("name", ["ensor_dsmr", "kamstrup_kmp", "landis_dlms"])
def test_numbers_of_a_report_may_be_written_as_texts(name: str) -> None:
    report = json.loads(sample(f"whatwatt_report_{name}.json"))["report"]
    assert parse_report(report)
    assert parse_report(with_texts_for_numbers(report)) == parse_report(report)


def test_numbers_of_the_system_may_be_written_as_texts() -> None:
    system = json.loads(sample("whatwatt_system_fw1.10.json"))
    expected, values = (dict(parse_status(each).values) for each in (system, with_texts_for_numbers(system)))
    # This value depends on the time of the test.
    assert values.pop(P.LAST_RESTART, None) is not None
    del expected[P.LAST_RESTART]
    assert values == expected
    assert parse_identity(with_texts_for_numbers(system)) == parse_identity(system)


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"Date":"2024-08-24"}', '{"P_In":"1,5"}', '{"P_In":null}'])
def test_payload_without_a_measurement_is_ignored(data: str) -> None:
    assert list(parse_live(data)) == []


def test_identity_is_read_from_system() -> None:
    info = parse_identity(json.loads(sample("whatwatt_system_fw1.10.json")))
    assert info == ReaderInfo(
        kind="whatwatt",
        id="ECC9FF5C7F14",
        mac_addresses=("ECC9FF5C7F14", "ECC9FF5C7F17"),
        firmware="1.10.0",
        hardware="WW_Go_1.2",
    )


def test_identity_requires_only_the_id() -> None:
    assert parse_identity({"device": {"id": "ecc9ff5c7f14"}}).id == "ECC9FF5C7F14"


@pytest.mark.parametrize("address", ["none", "ECC9FF5C7F1", "ec:c9:ff:5c:7f:14\n", "x" * 300, 5])
def test_invalid_mac_address_is_ignored(address: object) -> None:
    payload = {"device": {"id": "ECC9FF5C7F14"}, "wifi": {"mac": address}}
    assert parse_identity(payload).mac_addresses == ()
    payload["wifi"] = {"mac": "ec:c9:ff:5c:7f:14"}
    assert parse_identity(payload).mac_addresses == ("ec:c9:ff:5c:7f:14",)


@pytest.mark.parametrize(
    "payload", [{}, {"device": None}, {"device": {"id": "router"}}, {"device": {"id": 5}}]
)
def test_system_of_another_device_is_rejected(payload: dict[str, object]) -> None:
    with pytest.raises(ReaderProtocolError):
        parse_identity(payload)


def test_sub_meters_are_read_with_and_without_a_value() -> None:
    (event,) = sample_events("whatwatt_live_fw2.sse")
    time = datetime(2024, 8, 24, 14, 34)  # noqa: DTZ001 (local time)
    assert list(parse_live(event.data))[1:] == [SubMeterReading(meter_id="12345678", value=123.45, time=time)]
    payload = '{"Vol":[{"Bus":1,"M_ID":"20000741"},{"Bus":2},5,{"Bus":"x","M_ID":"7","Cum":null}]}'
    assert list(parse_live(payload)) == [
        SubMeterReading(meter_id="20000741"),
        SubMeterReading(meter_id="7"),
    ]
    assert list(parse_live('{"Vol":"none"}')) == []


@pytest.mark.parametrize(
    ("meter_id", "is_valid"),
    [
        *((meter_id, True) for meter_id in ('"20000741"', "20000741", "20000741.0")),
        *((meter_id, False) for meter_id in ("true", "null", "7.5", "1e300", '""', "[7]")),
    ],
)
@pytest.mark.parametrize("value", ["5.5", '"5.5"'])
def test_sub_meter_is_read_in_all_forms(meter_id: str, value: str, *, is_valid: bool) -> None:
    expected = [SubMeterReading(meter_id="20000741", value=5.5)] if is_valid else []
    assert list(parse_live(f'{{"Vol":[{{"M_ID":{meter_id},"Cum":{value}}}]}}')) == expected


@pytest.mark.parametrize(
    ("time", "age"),
    [
        *(("2024-08-24T14:00:00", 2040), ("2024-08-24T15:00:00", 0), ("2024-08-24T14:00:00+02:00", 2040)),
        *(("noon", 0), ("", 0)),
    ],
)
def test_register_of_a_sub_meter_has_an_age(time: str, age: float) -> None:
    (event,) = sample_events("whatwatt_live_fw2.sse")
    _, register = parse_live(event.data.replace('"DT":"2024-08-24T14:34:00"', f'"DT":"{time}"'))
    assert isinstance(register, SubMeterReading)
    assert register.age == age
    assert register.time is None or register.time.tzinfo is None


def test_reading_has_the_local_time_of_the_reader() -> None:
    (event,) = sample_events("whatwatt_live_fw2.sse")
    assert reading_in(event.data).reader_time == datetime(2024, 8, 24, 14, 34)  # noqa: DTZ001 (local time)
    assert reading_in('{"P_In":1,"Date":"2024-08-24","Time":""}').reader_time is None


def test_status_is_read_from_system() -> None:
    status = parse_status(json.loads(sample("whatwatt_system_fw1.10.json")))
    values = dict(status.values)
    last_restart = values.pop(P.LAST_RESTART)
    assert isinstance(last_restart, datetime)
    assert (datetime.now(UTC) - last_restart).total_seconds() == pytest.approx(337837, abs=60)
    assert values == {
        P.METER_STATUS: "OK",
        P.METER_INTERFACE: "MBUS",
        P.REPORT_INTERVAL: 6.794,
        P.SIGNAL_STRENGTH: -29,
        P.SUPPLY_VOLTAGE_USB: 5.16,
        P.SUPPLY_VOLTAGE_MBUS: 13.94,
        P.SUPPLY_VOLTAGE_P1: 2.83,
        P.SUPPLY_VOLTAGE_BUFFER: 4.87,
        P.LICENSE: "PLUS",
        P.CLOUD_WHATWATT: True,
    }


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"device": {"plug": 5, "license": "PLUS", "time_since_boot": -1}, "meter": [], "wifi": None},
        {"device": {"time_since_boot": 60 * 365 * 86400}},
        {
            "device": {"time_since_boot": 1e14},
            "clouds": {"mystrom": {"enabled": False, "status": "DISABLED"}},
        },
    ],
)
def test_missing_status_is_ignored(payload: dict[str, object]) -> None:
    assert parse_status(payload) == ReaderStatus(values={})


@pytest.mark.parametrize("uptime", [0, 0.5, 40 * 365 * 86400])
def test_last_restart_follows_from_the_uptime(uptime: float) -> None:
    last_restart = parse_status({"device": {"time_since_boot": uptime}}).values[P.LAST_RESTART]
    assert isinstance(last_restart, datetime)
    assert (datetime.now(UTC) - last_restart).total_seconds() == pytest.approx(uptime, abs=60)


@pytest.mark.parametrize(("status", "connected"), [("CONNECTED", True), ("CONNECTING", False)])
def test_connection_of_mystrom_is_read_from_its_status(status: str, *, connected: bool) -> None:
    payload = {"clouds": {"mystrom": {"enabled": True, "status": status}}}
    assert parse_status(payload) == ReaderStatus(values={P.CLOUD_MYSTROM: connected})
