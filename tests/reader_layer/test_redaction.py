"""What is taken out of a report, and what is left in it."""

import json

import pytest

from custom_components.energy_sse.reader.redaction import LENGTH_LIMIT, Redactor
from tests.samples import sample, sample_events

CONFIG = (
    '{"id":"b8b41879cf58","v":"2.8.9","m":"HAN","area":"SE2","ssid":"dLink2.4","localIP":"192.168.1.122",'
    '"mqtt":"mqtt://anna:pw@10.0.0.2","remoteUrl":"https://c1.casamia.example","name":"%s","imps":1000,'
    '"t":"2025-04-11T09:48:05+0200","rr":"SW","rssi":-82}'
)
SECRETS = ("b8b41879cf58", "SE2", "dLink", "192.168", "anna", "casamia", "Casa", "Mia", "Segreta")


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


def assert_absent(text: str, *secrets: str) -> None:
    for secret in secrets:
        assert secret.lower() not in text.lower(), secret


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
        assert len(redactor.json(text)) <= 17 * LENGTH_LIMIT
    assert len(redactor.json("1" * 100_000)) == LENGTH_LIMIT
