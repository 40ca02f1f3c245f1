"""What is taken out of a report, and what is left in it."""

from datetime import UTC, datetime
import json
import re

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import currentlyone, whatwatt
from custom_components.energy_sse.reader.redaction import MAX_LENGTH, Redactor
from tests.pseudonyms import assert_absent
from tests.samples import FOLDER, sample, sample_events
from tests.simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.house import Appliance, State

CONFIG = (
    '{"id":"b8b41879cf58","v":"2.8.9","m":"HAN","area":"SE2","ssid":"dLink2.4","localIP":"192.168.1.122",'
    '"mqtt":"mqtt://anna:pw@10.0.0.2","remoteUrl":"https://c1.casamia.example","name":"%s","imps":1000,'
    '"t":"2025-04-11T09:48:05+0200","rr":"SW","rssi":-82}'
)
SECRETS = ("b8b41879cf58", "SE2", "dLink", "192.168", "anna", "casamia", "Casa", "Mia", "Segreta")


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


def test_texts_become_pseudonyms_and_everything_else_stays_as_it_was(redactor: Redactor) -> None:
    redacted = redactor.json(CONFIG % "Casa Mia")
    assert_absent(redacted, *SECRETS)
    before, after = json.loads(CONFIG % "Casa Mia"), json.loads(redacted)
    assert list(after) == list(before)
    kept = ("v", "m", "imps", "t", "rr", "rssi")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def test_numbers_and_blanks_are_kept_as_they_were_written(redactor: Redactor) -> None:
    for event in sample_events("currentlyone_stream_2.0.25.sse"):
        if event.type == "state" and "detected" not in event.data:
            assert redactor.event(event.type, event.data) == event.data
    odd = '{"U1": 232.500,\t"csL3":-0.619, "x":[1, nan,-inf,1e5,true,null]}'
    assert redactor.json(odd) == odd


def test_same_identity_has_the_same_pseudonym_in_events_answers_and_keys(redactor: Redactor) -> None:
    inventory = json.loads(redactor.json('{"devices":[{"id":"mocca_mast","name":"Mocca Master"}]}'))
    transition = json.loads(redactor.event("transition", '{"id":"mocca_mast","dName":"Mocca Master"}'))
    (device,) = inventory["devices"]
    assert (device["id"], device["name"]) == (transition["id"], transition["dName"])
    assert device["id"] != device["name"]
    by_key = json.loads(redactor.event("new", '{"mocca_mast":{"Mocca Master":5}}'))
    assert by_key == {device["id"]: {device["name"]: 5}}
    assert redactor.event_type("mocca_mast") == device["id"]
    assert Redactor().pseudonym("mocca_mast") != device["id"], "nobody can try names out"


def test_escaped_name_is_the_same_name(redactor: Redactor) -> None:
    one, other = redactor.json('{"name":"Caf\\u00e9"}'), redactor.json('{"name":"Café"}')
    assert one == other


def test_pseudonym_of_a_device_is_one_that_a_reader_accepts(redactor: Redactor) -> None:
    whatwatt, colons = redactor.pseudonym("ECC9FF5C7F14"), redactor.pseudonym("ec:c9:ff:5c:7f:14")
    assert len(whatwatt) == 12
    assert whatwatt == whatwatt.upper()
    assert int(whatwatt, 16) != int("ECC9FF5C7F14", 16)
    assert colons == whatwatt.lower()


@pytest.mark.parametrize(
    "name", ['Casa "Mia" Segreta', 'Casa "Mia', '"Casa', 'Casa", "Mia', "Casa\\", 'Casa "Mia", x']
)
def test_name_that_breaks_the_json_is_taken_out_and_the_rest_can_still_be_read(
    redactor: Redactor, name: str
) -> None:
    redacted = redactor.json(CONFIG % name)
    assert_absent(redacted, *SECRETS)
    for text in ('"v":"2.8.9"', '"m":"HAN"'):
        assert text in redacted


def test_broken_config_stays_broken_and_still_says_who_it_is(redactor: Redactor) -> None:
    redacted = redactor.json(CONFIG % 'Casa "Mia" Segreta')
    with pytest.raises(json.JSONDecodeError):
        json.loads(redacted)
    assert f'"id":"{redactor.pseudonym("b8b41879cf58")}"' in redacted
    assert '"t":"2025-04-11T09:48:05+0200"' in redacted


@pytest.mark.parametrize("length", range(1, 330, 7))
def test_text_that_was_cut_anywhere_says_no_more_than_the_whole(redactor: Redactor, length: int) -> None:
    assert_absent(redactor.json((CONFIG % "Casa Mia")[:length]), *SECRETS)


@pytest.mark.parametrize(
    "text", ["Casa Segreta", "at 192.168.1.122", "41791234567", "a: Casa", "{Casa} 'Mia'"]
)
def test_of_free_text_only_its_shape_is_left(redactor: Redactor, text: str) -> None:
    redacted = redactor.event("new", text)
    assert_absent(redacted, *SECRETS, "41791234567")
    assert len(redacted) == len(text)


def test_of_the_log_of_a_device_only_its_length_is_left(redactor: Redactor) -> None:
    assert redactor.event("log", '{"W":5}') == "**REDACTED** (7 characters)"


def test_status_of_a_device_is_kept_unless_it_is_a_name(redactor: Redactor) -> None:
    for status in ("online", "restart name", "restart SW"):
        assert redactor.event("status", status) == status
    redactor.pseudonym("Segreta")
    for status in ("Casa Mia", "restart Segreta", "ip 10.0.0.1"):
        assert_absent(redactor.event("status", status), *SECRETS, "10.0")


def test_serial_numbers_are_found_where_a_firmware_should_have_words(redactor: Redactor) -> None:
    system = redactor.json(sample("whatwatt_system_fw1.10.json").decode())
    assert_absent(system, "LGZ1030784855204", "ECC9FF", "DC15C8", "192.168", '"home"', '"CH"')
    meter = json.loads(system)["meter"]
    assert (meter["manufacturer"], meter["interface"], meter["protocol"]) == ("Landis+Gyr", "MBUS", "DLMS")
    ensor = redactor.json(sample("whatwatt_report_ensor_dsmr.json").decode())
    assert_absent(ensor, "0012084367", "030712084367", "20000741")
    assert json.loads(redactor.json('{"M_ID":20000741,"serialNo":12345678,"Wh":30107340}')) == {
        "M_ID": 0,
        "serialNo": 0,
        "Wh": 30107340,
    }


@pytest.mark.parametrize(
    "said",
    [
        '{"pin":%s}',
        '{"serial":{"value":%s}}',
        '{"ssid":%s,"W":1}',
        '{"owner":{"x":[1,%s]}}',
        '{"a":{"b":1}} call %s',
        "{call %s}",
        '[{"a":1},%s]',
        '{"name":%s',
        '{"name":"%s","seen":{"by":%s}}',
        '{"seen":%s,"id":"%s"}',
    ],
)
def test_number_that_tells_who_is_taken_out(redactor: Redactor, said: str) -> None:
    number = "41791234567"
    assert_absent(redactor.json(said.replace("%s", number)), number)


@pytest.mark.parametrize(
    "said",
    [
        # A word of the firmware, by its key.
        '{"name":"Segreta","state":"Segreta"}',
        '{"state":"Segreta","name":"Segreta"}',
        '{"owner":{"type":"Segreta"}}',
        '{"status":"nas.segreta.example"}',
        '{"m":"HAN","Segreta","x":1}',
        '{"type":"b8b4.1879.cf58","model":"WW b8 b4 18 79 cf 58"}',
        '{"source":"fe80::5acf:79ff:fe18:b4b8"}',
        '{"mode":"http://10.0.0.2/segreta?user=anna"}',
        # Of a name, its text, its slug and its key.
        '{"casa_segreta":{"W":5},"name":"Casa Segreta"}',
        '{"CASA-SEGRETA":5,"name":"casa segreta"}',
        '{"name":"Segreta":"Segreta"}',
        '{"name":"a\\nSegreta","x":1}',
        '{"name":"a\nSegreta\\","x":1}',
        '{"name":"\\u0053egreta","Segreta":{}}',
        '{"name":Segreta 🏡,"x":1}',
        "Segreta",
        '"Segreta"',
        '"Segreta":1',
        '{"x":["a",{"state":"on"},"Segreta"]}',
    ],
)
def test_name_is_found_wherever_it_stands(redactor: Redactor, said: str) -> None:
    redacted = redactor.json(said)
    assert_absent(redacted, *SECRETS, "🏡", "b8b4", "b8 b4", "fe80", "10.0")
    assert Redactor().json(redacted) == redacted


def test_whoever_calls_things_like_words_of_the_wire_keeps_the_recording_readable(redactor: Redactor) -> None:
    owners = (
        *currentlyone.FIELDS,
        *whatwatt.FIELDS,
        "detected",
        "config",
        "transition",
        "dishwashers",
        "online",
    )
    for name in owners:
        redactor.pseudonym(name)
    said = '{"detected":[{"id":"dishwashers","cat":"dishwashers","to":1}],"P_P1_In":5}'
    redacted = redactor.json(said)
    assert json.loads(redacted)["detected"][0]["cat"] == "dishwashers"
    assert json.loads(redacted)["P_P1_In"] == 5
    for event_type in ("config", "transition", "state", "status", "live", "hourly", "ping"):
        assert redactor.event_type(event_type) == event_type
    assert redactor.event("status", "online") == "online"


def test_every_key_of_the_wires_stays_whatever_an_owner_calls_an_appliance(redactor: Redactor) -> None:
    house = House(clock=datetime(2026, 11, 24, tzinfo=UTC))
    whatwatts, one = WhatwattSimulator(house, licence="PRO"), CurrentlyOneSimulator(house)
    whatwatts.sub_meters = {"20000741": 5.0}
    texts = [path.read_text() for path in FOLDER.iterdir() if path.suffix in (".json", ".sse")]
    texts += [json.dumps(each) for each in (whatwatts.system(), whatwatts.report(), whatwatts.live())]
    texts += [one.config(), json.dumps(one.inventory())]
    keys = {key for text in texts for key in re.findall(r'"([^"\\]*)"\s*:', text)}
    keys |= {*currentlyone.FIELDS, *whatwatt.FIELDS, *whatwatt.CLOUDS}
    for key in keys:
        redactor.pseudonym(key)
    assert [key for key in sorted(keys) if redactor.key(key) != key] == []


# What a person may write into a field, and what breaks the JSON of a device that does not escape it.
NAMES = st.text(
    st.one_of(st.sampled_from('"\\:,{}[] \n\t'), st.characters(codec="utf-8")), min_size=1, max_size=20
).map(lambda around: f"Kunterb{around}unt")


@given(name=NAMES, ssid=NAMES, cut=st.integers(0, 400), is_escaped=st.booleans())
def test_whatever_an_owner_writes_is_taken_out(*, name: str, ssid: str, cut: int, is_escaped: bool) -> None:
    redactor = Redactor()
    config = CONFIG.replace("dLink2.4", "%s").replace('"%s"', "%s")
    written = [json.dumps(text) if is_escaped else f'"{text}"' for text in (ssid, name)]
    for said in (config % tuple(written), f'{{"id":{written[1]},"to":1}}'):
        for text in (said, said[:cut]):
            redacted = redactor.json(text)
            assert_absent(redacted, "Kunterb", "casamia", "192.168")
            assert Redactor().json(redacted) == redacted


@given(name=st.from_regex(r"Kunterb[A-Za-z0-9 _.+-]{0,12}unt", fullmatch=True), data=st.data())
def test_whatever_an_appliance_is_called_is_taken_out_of_every_event(name: str, data: st.DataObject) -> None:
    off, on = State("off", 0, is_on=False), State(f"{name} on", 5, is_on=True)
    house = House(clock=datetime(2026, 11, 24, tzinfo=UTC))
    house.appliances = [Appliance(name.lower(), name, "dishwashers", 0, (off, on), (10, 10))]
    reader = CurrentlyOneSimulator(house, name=name)
    event = {
        "id": name.lower(),
        "dName": name,
        "sName": on.name,
        "from": "off",
        "cat": "dishwashers",
        name: 1,
    }
    keys = data.draw(st.permutations(list(event)))
    redactor = Redactor()
    for text in (json.dumps({key: event[key] for key in keys}), json.dumps(reader.inventory())):
        assert_absent(redactor.json(text), "Kunterb")
    assert_absent(redactor.event("status", f"restart {name}"), "Kunterb")
    assert_absent(redactor.event_type(name), "Kunterb")


def test_redacting_again_changes_nothing(redactor: Redactor) -> None:
    texts = [
        CONFIG % "Casa Mia",
        CONFIG % 'Casa "Mia" S',
        (CONFIG % "C")[:100],
        "Casa, 5",
        '{"Casa Mia":{"a":"b"}}',
    ]
    texts += [sample(f"whatwatt_{name}.json").decode() for name in ("system_fw1.10", "report_ensor_dsmr")]
    for text in texts:
        redacted = redactor.json(text)
        assert Redactor().json(redacted) == redacted


@pytest.mark.parametrize(
    "piece", ['"', '" ', "{", '"a":', '\\"', '"\t', '",', " ", "\\", '"\\', "a", "-1", '"a":"', "[[{", '"","']
)
def test_whatever_arrives_costs_little_and_is_cut(redactor: Redactor, piece: str) -> None:
    # What grew with the square of the length would not get through in the time that a test has.
    for text in (piece * 100_000, f'"{piece * 100_000}', f'{{"a":"{piece * 100_000}'):
        assert len(redactor.json(text)) <= 17 * MAX_LENGTH
    assert len(redactor.json("1" * 100_000)) == MAX_LENGTH


@pytest.mark.parametrize("name", ["W", "on", "Wh_1"])
def test_short_name_of_an_appliance_takes_no_key_away(redactor: Redactor, name: str) -> None:
    assert_absent(redactor.json(f'{{"dName":"{name}"}}').removeprefix('{"dName"'), f'"{name}"')
    text = f'{{"{name}":5}}'
    assert redactor.json(text) == text
