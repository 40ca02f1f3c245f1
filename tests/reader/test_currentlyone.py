"""Protocol of the CurrentlyOne: from recorded events to messages."""

from datetime import UTC, datetime
import json
from unittest.mock import patch

import pytest

from custom_components.energy_sse.reader import (
    ApplianceProfile,
    ApplianceState,
    Detection,
    Heartbeat,
    HourlyRegister,
    Inventory,
    Measurement as M,
    Message,
    Property as P,
    ReaderInfo,
    ReaderStatus,
    Reading,
    Transition,
    Unit,
    clock,
)
from custom_components.energy_sse.reader.currentlyone import (
    CurrentlyOneReader,
    EventParser,
    parse_inventory,
)
from custom_components.energy_sse.reader.sse import ServerSentEvent
from tests.samples import sample_events

CONFIG = ("config", '{"id":"abcd1879cf58","m":"HAN","t":"2025-04-11T09:48:05+0200"}')


def interpret(*events: tuple[str, str]) -> list[Message]:
    """Return the messages of events that arrive at the connect."""
    return interpret_later(*((0.0, *event) for event in events))


def interpret_later(*events: tuple[float, str, str]) -> list[Message]:
    """Return the messages of events. Each has the seconds after the connect, the type and the data."""
    with patch.object(clock, "now", return_value=0.0) as now:
        parser = EventParser()
        messages: list[Message] = []
        for seconds, event_type, data in events:
            now.return_value = seconds
            messages += parser.parse(ServerSentEvent(event_type, data, ""))
        return messages


def interpret_sample(name: str) -> list[Message]:
    return interpret(*((event.type, event.data) for event in sample_events(name)))


def test_stream_of_current_firmware_is_parsed() -> None:
    status, info, state, *hourly, reading, transition, ping, log, progress, restart = interpret_sample(
        "currentlyone_stream_2.8.9.sse"
    )
    assert state == ReaderStatus(
        values={
            P.MODE: "H+B",
            P.PRICE_AREA: "SE2",
            P.RESTART_REASON: "SW",
            P.SIGNAL_STRENGTH: -82,
        }
    )
    assert [status, log, progress, restart] == [Heartbeat()] * 4
    assert ping == Heartbeat(time=datetime(2025, 4, 11, 7, 48, 16, tzinfo=UTC))
    assert hourly == [
        HourlyRegister(
            hour=datetime(2025, 4, 10, hour, tzinfo=UTC),
            values={M.ACTIVE_ENERGY_IMPORT: register, M.ACTIVE_ENERGY_EXPORT: 0},
        )
        for hour, register in ((21, 30095650), (22, 30097430))
    ]
    assert info == ReaderInfo(
        kind="currentlyone",
        id="abcd1879cf58",
        name="Casa Mia",
        mac_addresses=("58cf7918cdab",),
        firmware="2.8.9",
        clock=datetime(2025, 4, 11, 7, 48, 5, tzinfo=UTC),
    )
    assert isinstance(reading, Reading)
    assert reading.age == 4
    assert reading.reader_time == datetime(2025, 4, 11, 7, 48, 1, tzinfo=UTC)
    assert reading.meter_time == datetime(2025, 4, 11, 7, 48, 0, tzinfo=UTC)
    assert reading.values == {
        M.ACTIVE_POWER_IMPORT: 606,
        M.ACTIVE_POWER_EXPORT: 0,
        M.ACTIVE_POWER_IMPORT_L1: 248,
        M.ACTIVE_POWER_IMPORT_L2: 317,
        M.ACTIVE_POWER_IMPORT_L3: 40,
        M.ACTIVE_POWER_EXPORT_L1: 0,
        M.ACTIVE_POWER_EXPORT_L2: 0,
        M.ACTIVE_POWER_EXPORT_L3: 0,
        M.ACTIVE_ENERGY_IMPORT: 30107340,
        M.ACTIVE_ENERGY_EXPORT: 0,
        M.REACTIVE_POWER_IMPORT: 0,
        M.REACTIVE_POWER_EXPORT: 358,
        M.REACTIVE_POWER_IMPORT_L1: 0,
        M.REACTIVE_POWER_IMPORT_L2: 0,
        M.REACTIVE_POWER_IMPORT_L3: 0,
        M.REACTIVE_POWER_EXPORT_L1: 235,
        M.REACTIVE_POWER_EXPORT_L2: 75,
        M.REACTIVE_POWER_EXPORT_L3: 47,
        M.REACTIVE_ENERGY_IMPORT: 8620089,
        M.REACTIVE_ENERGY_EXPORT: 5360216,
        M.CURRENT_L1: 1.4,
        M.CURRENT_L2: 1.3,
        M.CURRENT_L3: 0.2,
        M.VOLTAGE_L1: 236.0,
        M.VOLTAGE_L2: 234.8,
        M.VOLTAGE_L3: 237.7,
    }
    assert transition == Transition(
        appliance_id="mocca_mast",
        name="Mocca Master",
        state="off",
        is_on=False,
        previous_state="off",
        power=0,
        energy=1746,
        category="coffee-makers",
        time=datetime(2025, 4, 11, 5, 20, 31, tzinfo=UTC),
        age=8854,
        may_be_replay=True,
    )
    assert not transition.is_change
    assert CurrentlyOneReader.units[M.ACTIVE_ENERGY_IMPORT] is Unit.WATT_HOUR


def test_stream_of_old_firmware_is_parsed() -> None:
    _, info, state, detection, *readings = interpret_sample("currentlyone_stream_2.0.25.sse")
    assert isinstance(state, ReaderStatus)
    assert state.values[P.SIGNAL_STRENGTH] == -87
    assert isinstance(info, ReaderInfo)
    assert (info.id, info.name, info.firmware) == ("b8b41879cf58", "b8b4 HAN", "2.0.25")
    assert detection == Detection(
        appliance_id="byd_charge",
        state_index=0,
        energy=31537,
        time=datetime(2023, 10, 3, 21, 39, 20, tzinfo=UTC),
        age=764_413,
        may_be_replay=True,
    )
    assert [r.values[M.ACTIVE_POWER_IMPORT] for r in readings if isinstance(r, Reading)] == [757, 752]


def test_replayed_reading_is_ignored_when_the_clock_was_set_back() -> None:
    config = ("config", '{"id":"abcd1879cf58","m":"HAN","t":"1970-01-01T01:00:20+0100"}')
    before, after = ("state", '{"W":1,"Wh":5,"sec":1744357000}'), ("state", '{"W":2,"Wh":6,"sec":21}')
    readings = [m for m in interpret(config, before, after) if isinstance(m, Reading)]
    assert [reading.values[M.ACTIVE_ENERGY_IMPORT] for reading in readings] == [6]


CONNECTED_AT = 1744357685
"""The time in `CONFIG`."""


def reading(seconds: float, stamp: float) -> tuple[float, str, str]:
    """Return a reading. `seconds` and `stamp` are relative to the connect."""
    return seconds, "state", f'{{"m":"HAN","W":1,"sec":{CONNECTED_AT + stamp}}}'


def transition(seconds: float, stamp: float) -> tuple[float, str, str]:
    """Return a transition. `seconds` and `stamp` are relative to the connect."""
    return seconds, "transition", f'{{"id":"kettle","bs":"ON","sec":{CONNECTED_AT + stamp}}}'


def ages(*events: tuple[float, str, str]) -> list[float | None]:
    """Return the ages of the messages after `config`."""
    messages = interpret_later((0.0, *CONFIG), *events)
    return [message.age for message in messages if isinstance(message, Reading | Transition | Detection)]


SLOW_REPLAY = [
    each for n in range(32) for each in (reading(3 * n, 10 * n - 320), transition(3 * n, 10 * n - 320))
]
SLOW_AGES = [age for n in range(32) for age in (320 - 7 * n, 320 - 7 * n)]
LATE_REPLAY = [reading(40, 10 * n - 320) for n in range(32)]
LATE_AGES = [360 - 10 * n for n in range(32)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # After the replay, the age is zero, regardless of the clock.
        *(
            (
                [reading(0.1, -10), reading(10, 10), reading(60, 60 + offset), transition(61, 61 + offset)],
                [10.1, 0, 0, 0],
            )
            for offset in (-3600, -300, 0, 300, 3600)
        ),
        # The clock is set back during the replay.
        (
            [*(reading(1, stamp) for stamp in (-30, -20, -10, -3600, -3590)), transition(1, -3590)],
            [31, 21, 11, 0, 0, 0],
        ),
        ([*SLOW_REPLAY, reading(94, 94), transition(94, 94)], [*SLOW_AGES, 0, 0]),
        # The clock is corrected after the replay.
        ([*SLOW_REPLAY, reading(125, 125), reading(135, -165), transition(136, -164)], [*SLOW_AGES, 0, 0, 0]),
        ([*LATE_REPLAY, transition(40, -100)], [*LATE_AGES, 140]),
        ([*LATE_REPLAY, reading(75, -225), reading(85, -215)], [*LATE_AGES, 0, 0]),
        # The clock is corrected in steps.
        ([reading(10, -3590), reading(50, -3550), reading(60, -940), reading(70, 70)], [3600, 0, 0, 0]),
    ],
)
def test_age_is_known_during_the_replay_and_zero_after_it(
    events: list[tuple[float, str, str]], expected: list[float]
) -> None:
    assert ages(*events) == expected


@pytest.mark.parametrize("offset", [-3600, -300, 300, 3600])
def test_repeated_config_does_not_change_ages(offset: int) -> None:
    time = datetime.fromtimestamp(CONNECTED_AT + offset, UTC).isoformat()
    config = (60.0, "config", f'{{"id":"abcd1879cf58","m":"HAN","t":"{time}"}}')
    assert ages(config, reading(60, 60), transition(60, 60)) == [0, 0]


def test_transition_in_a_slow_replay_is_marked() -> None:
    replayed = [reading(3 * n, 10 * n - 320) for n in range(32)]
    *_, may_be_replay = interpret_later((0.0, *CONFIG), *replayed, transition(94, -5))
    *_, later = interpret_later((0.0, *CONFIG), *replayed, transition(125, 125))
    assert isinstance(may_be_replay, Transition)
    assert isinstance(later, Transition)
    assert (may_be_replay.may_be_replay, later.may_be_replay) == (True, False)


def test_late_readings_do_not_prolong_the_replay() -> None:
    """Delay each third reading by five seconds."""
    readings = [reading(9.99 * n + 5 * (n % 3 == 0), 10 * n - 300) for n in range(1, 20)]
    assert set(ages(*readings)[6:]) == {0}


@pytest.mark.parametrize("offset", [-3600, 3600])
def test_first_reading_can_come_long_after_the_connect(offset: int) -> None:
    *_, last = ages(*(reading(seconds, seconds + offset) for seconds in (60, 80, 100)))
    assert last == 0


def test_reading_without_clocks_counts_as_live() -> None:
    no_clock = ("config", '{"id":"abcd1879cf58"}')
    for events in (
        (no_clock, ("state", '{"m":"HAN","W":1,"sec":5}')),
        (CONFIG, ("state", '{"m":"HAN","W":1}')),
    ):
        *_, reading = interpret(*events)
        assert isinstance(reading, Reading)
        assert reading.age == 0


def test_config_with_an_unescaped_quote_has_the_id() -> None:
    config = (
        '{"id":"abcd1879cf58","v":"2.8.9","m":"HAN","ssid":"dad"s","t":"2025-04-11T09:48:05+0200","rssi":-82}'
    )
    info, _ = interpret(("config", config))
    assert isinstance(info, ReaderInfo)
    assert (info.id, info.firmware, info.name) == ("abcd1879cf58", "2.8.9", "")
    assert info.clock == datetime(2025, 4, 11, 7, 48, 5, tzinfo=UTC)


@pytest.mark.parametrize("data", ["", "{}", '{"id":5}', '{"id":"router"}', '{"v":"2.8.9"}'])
def test_config_without_an_id_is_ignored(data: str) -> None:
    assert interpret(("config", data)) == []


@pytest.mark.parametrize("clock", ["", "yesterday", "2025-04-11T09:48:05"])
def test_invalid_clock_is_ignored(clock: str) -> None:
    info, _ = interpret(("config", f'{{"id":"ABCD1879CF58","t":"{clock}"}}'))
    assert isinstance(info, ReaderInfo)
    assert (info.id, info.clock) == ("abcd1879cf58", None)


HAN = ("state", '{"m":"HAN","W":1}')
BLINK = ("state", '{"m":"BLINK","W":600,"Wh":1047}')
REGISTER = {M.ACTIVE_POWER_IMPORT: 600, M.ACTIVE_ENERGY_IMPORT: 1047}
BOTH = ("state", '{"m":"BLINK","W":600,"Wh":1047,"bW":590,"bWh":1047}')


@pytest.mark.parametrize(
    ("mode", "events", "values"),
    [
        *((mode, [BLINK], []) for mode in ("HAN", "H+B")),
        *((mode, [BOTH], [{M.BLINK_POWER: 590, M.BLINK_ENERGY: 1047}]) for mode in ("HAN", "H+B")),
        ("BLINK", [BLINK], [REGISTER]),
        # Without a mode, blinks are ignored after the first telegram.
        ("", [BLINK], [REGISTER]),
        ("", [HAN, BLINK], [{M.ACTIVE_POWER_IMPORT: 1}]),
        ("", [BLINK, HAN, BLINK], [REGISTER, {M.ACTIVE_POWER_IMPORT: 1}]),
    ],
)
def test_blinks_are_the_register_only_without_telegrams(
    mode: str, events: list[tuple[str, str]], values: list[dict[M, float]]
) -> None:
    messages = interpret(("config", f'{{"id":"abcd1879cf58","m":"{mode}"}}'), *events)
    assert [message.values for message in messages if isinstance(message, Reading)] == values


@pytest.mark.parametrize("second", [0, 1, 60, 61, 1800, 3599])
def test_hourly_register_is_sent_within_a_minute(second: int) -> None:
    (message,) = interpret(("hourly", f'{{"sec":{1744318800 + second},"Wh":30095650}}'))
    hourly = HourlyRegister(
        hour=datetime(2025, 4, 10, 21, tzinfo=UTC), values={M.ACTIVE_ENERGY_IMPORT: 30095650}
    )
    assert message == (hourly if second <= 60 else Heartbeat())


@pytest.mark.parametrize(
    "event",
    [
        ("ping", "nonsense"),
        ("hourly", "nonsense"),
        ("hourly", '{"sec":1744318801,"Wh":"a lot"}'),
        ("hourly", '{"Wh":30095650,"Ph":0}'),
        ("status", "online"),
        ("status", "fota"),
        ("status", "restart name"),
        ("log", 'currently/one/winecooler/detect {"actual":82,"id":"winecooler",'),
        ("log", '{"m":"HAN","W":752}'),
        ("progress", '{"v":40000,"s":1200000}'),
        ("something new", '{"W":1}'),
    ],
)
def test_other_event_is_a_heartbeat(event: tuple[str, str]) -> None:
    assert interpret(event) == [Heartbeat()]


@pytest.mark.parametrize(
    "event",
    [
        ("state", "nonsense"),
        ("state", '{"m":"HAN"}'),
        ("state", '{"m":"ALL","detected":"none"}'),
        ("state", '{"m":"ALL","detected":[5,{"to":1},{"id":""}]}'),
        ("transition", "nonsense"),
        ("transition", '{"id":"kettle"}'),
        ("transition", '{"bs":"ON","sName":"on"}'),
    ],
)
def test_event_without_data_is_ignored(event: tuple[str, str]) -> None:
    assert interpret(event) == []


@pytest.mark.parametrize("appliance_id", ['"12"', "12", "12.0"])
def test_appliance_is_the_same_in_all_forms_of_its_numbers(appliance_id: str) -> None:
    detected = f'{{"detected":[{{"id":{appliance_id},"to":1.0,"Wh":"5"}}]}}'
    (detection,) = interpret(("state", detected))
    assert detection == Detection(
        appliance_id="12", state_index=1, energy=5, time=None, age=None, may_be_replay=True
    )
    (transition,) = interpret(("transition", f'{{"id":{appliance_id},"bs":"ON","W":"5","Wh":5.0}}'))
    assert transition == Transition(
        appliance_id="12", state="ON", is_on=True, power=5, energy=5, may_be_replay=True, age=None
    )
    states = [{"name": "on", "status": True, "power": "5"}]
    payload = {"devices": [{"id": json.loads(appliance_id), "states": states}]}
    assert parse_inventory(payload) == Inventory(
        appliances=(ApplianceProfile(id="12", states=(ApplianceState(name="on", is_on=True, power=5),)),)
    )


@pytest.mark.parametrize("appliance_id", ["true", "null", "7.5", "1e300", '""', "[7]"])
def test_appliance_without_an_id_is_ignored(appliance_id: str) -> None:
    assert interpret(("transition", f'{{"id":{appliance_id},"bs":"ON"}}')) == []
    assert interpret(("state", f'{{"detected":[{{"id":{appliance_id},"to":1}}]}}')) == []
    assert parse_inventory({"devices": [{"id": json.loads(appliance_id)}]}) == Inventory(appliances=())


@pytest.mark.parametrize(("binary_state", "is_on"), [("ON", True), ("on", True), ("Off", False), ("1", None)])
def test_binary_state_is_not_case_sensitive(binary_state: str, *, is_on: bool | None) -> None:
    (transition,) = interpret(("transition", f'{{"id":"kettle","bs":"{binary_state}"}}'))
    assert isinstance(transition, Transition)
    assert transition.is_on is is_on


def test_inventory_has_the_states_of_each_appliance() -> None:
    payload = {
        "devices": [
            {
                "id": "heat_pump",
                "name": "Heat pump",
                "profileId": "heat-pumps",
                "states": [
                    {"id": 0, "name": "Active", "power": 1900, "status": True},
                    "garbage",
                    {"name": 5, "status": "yes", "power": "much"},
                ],
            },
            {"name": "no id"},
            "garbage",
            {"id": "kettle", "states": 5},
        ]
    }
    assert parse_inventory(payload) == Inventory(
        appliances=(
            ApplianceProfile(
                id="heat_pump",
                name="Heat pump",
                category="heat-pumps",
                states=(
                    ApplianceState(name="Active", is_on=True, power=1900),
                    ApplianceState(name=""),
                    ApplianceState(name=""),
                ),
            ),
            ApplianceProfile(id="kettle"),
        )
    )
    assert parse_inventory({"devices": []}) == Inventory(appliances=())


@pytest.mark.parametrize(
    "payload", [{}, {"devices": "none"}, {"devices": [{"id": str(n)} for n in range(101)]}]
)
def test_invalid_inventory_is_ignored(payload: dict[str, object]) -> None:
    assert parse_inventory(payload) is None


@pytest.mark.parametrize(
    ("config", "sec", "age"),
    [
        ('"t":"2025-04-11T09:48:05+0200"', 1744357685, 0),
        ('"t":"2025-04-11T09:48:05+0200"', 1744357625, 60),
        ('"t":"2025-04-11T09:48:05+0200"', 1744357700, 0),
        ('"t":"2025-04-11T09:48:05+0200"', 1744357785, None),
        ('"t":"2025-04-11T09:48:05+0200"', "null", None),
        ('"t":"1970-01-01T00:00:05+0000"', 1744357685, None),
        ('"v":"2"', 1744357685, None),
        ('"t":"9999-12-31T23:59:59+0000"', 1744357685, 366 * 86400),
    ],
)
@pytest.mark.parametrize("report", ["transition", "detection"])
def test_replayed_report_has_an_age_if_the_clock_is_known(
    config: str, sec: object, age: float | None, report: str
) -> None:
    event = (
        ("transition", f'{{"id":"kettle","bs":"ON","sec":{sec}}}')
        if report == "transition"
        else ("state", f'{{"sec":{sec},"detected":[{{"id":"kettle","to":1}}]}}')
    )
    message = interpret(("config", f'{{"id":"abcd1879cf58",{config}}}'), event)[-1]
    assert isinstance(message, Transition | Detection)
    assert message.age == age
