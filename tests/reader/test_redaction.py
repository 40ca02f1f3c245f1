"""Redaction: identities that are replaced, and data that is kept."""

from collections.abc import Callable
from datetime import UTC, datetime
import json
import re
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import currentlyone, whatwatt
from custom_components.energy_sse.reader.payload import parse_object
from custom_components.energy_sse.reader.redaction import MAX_LENGTH, REDACTED, Redactor
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


def redacted_object(redactor: Redactor, text: str) -> dict[str, Any]:
    """Return the redacted object of a text that is JSON."""
    redacted = redactor.data(text)
    assert isinstance(redacted, dict)
    return redacted


def text_of(redacted: dict[str, Any] | str) -> str:
    return json.dumps(redacted, ensure_ascii=False)


def test_texts_become_pseudonyms_and_the_rest_is_kept(redactor: Redactor) -> None:
    after = redacted_object(redactor, CONFIG % "Casa Mia")
    assert_absent(text_of(after), *SECRETS)
    before = json.loads(CONFIG % "Casa Mia")
    assert list(after) == list(before)
    kept = ("v", "m", "imps", "t", "rr", "rssi")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def test_readings_are_not_redacted(redactor: Redactor) -> None:
    for event in sample_events("currentlyone_stream_2.0.25.sse"):
        if event.type == "state" and "detected" not in event.data:
            assert redactor.event(event.type, event.data) == json.loads(event.data)


def test_data_are_redacted_as_the_reader_parses_them(redactor: Redactor) -> None:
    odd = '{"U1": 232.500,\t"csL3":-0.619, "x":[1, nan,-inf,1e5,true,null]}'
    assert redactor.data(odd) == {"U1": 232.5, "csL3": -0.619, "x": [1, None, None, 1e5, True, None]}


def test_same_identity_has_the_same_pseudonym(redactor: Redactor) -> None:
    inventory = redacted_object(redactor, '{"devices":[{"id":"mocca_mast","name":"Mocca Master"}]}')
    transition = redacted_object(redactor, '{"id":"mocca_mast","dName":"Mocca Master","mocca_mast":1}')
    assert inventory["devices"][0] == {"id": transition["id"], "name": transition["dName"]}
    assert transition[transition["id"]] == 1
    assert redactor.data('{"id":123456789}') == redactor.data('{"id":"123456789"}')


def test_escaped_text_has_the_pseudonym_of_the_plain_one(redactor: Redactor) -> None:
    assert redactor.data('{"name":"Caf\\u00e9"}') == redactor.data('{"name":"Café"}')


@pytest.mark.parametrize(
    "address",
    [
        "ecc9ff5c7f14",
        "ec:c9:ff:5c:7f:14",
        "ec-c9-ff-5c-7f-14",
        "ec c9 ff 5c 7f 14",
        "ec_c9_ff_5c_7f_14",
        "ecc9.ff5c.7f14",
    ],
)
def test_pseudonym_of_a_mac_address_looks_like_one(redactor: Redactor, address: str) -> None:
    upper = redactor.pseudonym("ECC9FF5C7F14")
    assert re.fullmatch("[0-9A-F]{12}", upper)
    assert upper != "ECC9FF5C7F14"
    assert redactor.pseudonym(address) == upper.lower()
    for text in (f'{{"state":"at {address}"}}', f'{{"{address}":1}}', f'{{"at_{address}":1}}'):
        assert_absent(text_of(redactor.data(text)), address)


def test_second_half_of_a_known_mac_address_is_redacted(redactor: Redactor) -> None:
    redactor.pseudonym("ECC9FF5C7F14")
    text = '{"model":"whatwatt-5C7F14","whatwatt_5c7f14":1}'
    assert_absent(text_of(redactor.data(text)), "5c7f14")


# --------------------------------------------------------------------------------- the key of the pseudonyms


def test_pseudonyms_depend_on_the_key_only() -> None:
    redactors = [Redactor(), Redactor(), Redactor()]
    redactors[1].key = redactors[0].key
    for identity in ("Casa Mia", "123456", "ecc9ff5c7f14"):
        pseudonyms = [redactor.pseudonym(identity) for redactor in redactors]
        assert pseudonyms[0] == pseudonyms[1] != pseudonyms[2]


# ------------------------------------------------------------------------------------ text that is not JSON


@pytest.mark.parametrize(
    "name", ['Casa "Mia" Segreta', 'Casa "Mia', '"Casa', 'Casa", "Mia', "Casa\\", 'Casa "Mia", x']
)
def test_broken_config_is_reduced_to_its_parsed_fields(redactor: Redactor, name: str) -> None:
    config = CONFIG % name
    assert parse_object(config) is None
    assert redactor.event("config", config) == {
        "id": redactor.pseudonym("b8b41879cf58"),
        "v": "2.8.9",
        "m": "HAN",
        "t": "2025-04-11T09:48:05+0200",
    }


@pytest.mark.parametrize("length", range(1, 330, 7))
def test_truncated_config_contains_no_identity(redactor: Redactor, length: int) -> None:
    assert_absent(text_of(redactor.event("config", (CONFIG % "Casa Mia")[:length])), *SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        *("Casa Segreta", "at 192.168.1.122", "41791234567", '"Segreta"', '["Segreta"]', "{Casa} 'Mia'"),
        *('{"name":"Casa Segre', "connected dLink2.4", "restart Segreta", "segreta"),
    ],
)
def test_other_text_becomes_its_length(redactor: Redactor, text: str) -> None:
    for event_type in ("new", "status", "config"):
        assert redactor.event(event_type, text) == f"{REDACTED} ({len(text)} characters)"


def test_log_of_a_device_becomes_its_length(redactor: Redactor) -> None:
    assert redactor.event("log", '{"W":5}') == f"{REDACTED} (7 characters)"


@pytest.mark.parametrize("status", ["online", "offline", "fota", "restart", "restart name", "restart SW"])
def test_known_status_is_kept(redactor: Redactor, status: str) -> None:
    assert redactor.event("status", status) == status


def test_text_is_redacted_by_length_when_it_is_long(redactor: Redactor) -> None:
    text = json.dumps({"a": "x" * MAX_LENGTH})
    assert redactor.data(text) == f"{REDACTED} ({len(text)} characters)"


# ------------------------------------------------------------------------------------ identities by their key


def test_serial_numbers_of_the_samples_are_redacted(redactor: Redactor) -> None:
    system = redacted_object(redactor, sample("whatwatt_system_fw1.10.json").decode())
    assert_absent(text_of(system), "LGZ1030784855204", "ECC9FF", "DC15C8", "192.168", '"home"', '"CH"')
    meter = system["meter"]
    assert (meter["manufacturer"], meter["interface"], meter["protocol"]) == ("Landis+Gyr", "MBUS", "DLMS")
    ensor = redactor.data(sample("whatwatt_report_ensor_dsmr.json").decode())
    assert_absent(text_of(ensor), "0012084367", "030712084367", "20000741")


@pytest.mark.parametrize(
    "text",
    [
        '{"id":%s}',
        '{"device_id":%s.0}',
        '{"deviceId":[%s]}',
        '{"M_ID":%s}',
        '{"serialNo":%s}',
        '{"pin":%s}',
        '{"serial":{"value":%s}}',
        '{"ssid":%s,"W":1}',
        '{"owner":{"x":[1,%s]}}',
        '{"seen":%s,"id":"%s"}',
        '{"seen":[{"by":-%s}],"name":"-%s"}',
    ],
)
def test_number_is_redacted_when_it_is_an_identity(redactor: Redactor, text: str) -> None:
    number = "41791234567"
    redacted = redactor.data(text.replace("%s", number))
    assert_absent(text_of(redacted), number)
    assert "anon-" in text_of(redacted)


def test_number_is_kept_when_it_counts_or_measures(redactor: Redactor) -> None:
    text = '{"id":7892,"Wh":30107340,"sec":1795522800,"E_In":10526.027,"states":[{"id":1}],"sec2":1e300}'
    assert redactor.data(text) == json.loads(text)


# ---------------------------------------------------------------------------------- identities by their value


@pytest.mark.parametrize(
    "text",
    [
        # A word of the firmware, by its key.
        '{"name":"Segreta","state":"Segreta"}',
        '{"state":"Segreta","name":"Segreta"}',
        '{"status":"connected to Casa Segreta","ssid":"Casa-Segreta"}',
        '{"status":"AP dLink2.4 lost","ssid":"dLink2.4"}',
        '{"owner":{"type":"Segreta"}}',
        '{"status":"nas.segreta.example"}',
        '{"type":"b8b4.1879.cf58","model":"WW b8 b4 18 79 cf 58"}',
        '{"source":"fe80::5acf:79ff:fe18:b4b8"}',
        '{"source":"10.0.0.2","model":"10.0.0.2 Segreta","id":"Segreta"}',
        '{"mode":"http://10.0.0.2/segreta?user=anna"}',
        '{"build":"meter 20000741","M_ID":"20000741"}',
        # A name as a text, a slug and a key.
        '{"casa_segreta":{"W":5},"name":"Casa Segreta"}',
        '{"CASA-SEGRETA":5,"name":"casa segreta"}',
        '{"W_casa_segreta":5,"name":"casa segreta"}',
        '{"Casa Segreta":5}',
        '{"10.0.0.2":{"nas.segreta.example":1,"fe80::5acf":2}}',
        '{"name":"a\\nSegreta","x":1}',
        '{"name":"\\u0053egreta","Segreta":{}}',
        '{"x":["a",{"state":"on"},"Segreta"]}',
    ],
)
def test_identity_is_redacted_wherever_it_is(redactor: Redactor, text: str) -> None:
    redacted = redacted_object(redactor, text)
    secrets = (*SECRETS, "b8b4", "b8 b4", "fe80", "10.0", "20000741")
    assert_absent(text_of(redacted), *secrets)
    assert redactor.values(redacted) == redacted


def test_identity_is_redacted_when_another_event_has_shown_it(redactor: Redactor) -> None:
    redactor.event("config", CONFIG % "Casa Segreta")
    for text in ('{"status":"on dLink2.4"}', '{"casa_segreta":1}', '{"state":"b8b41879cf58"}'):
        assert_absent(text_of(redactor.data(text)), *SECRETS)
    for event_type in ("casa_segreta", "Casa Segreta", "at 10.0.0.2", "b8b4.1879.cf58"):
        assert redactor.event_type(event_type).startswith("anon-") or "5e5e" in redactor.event_type(
            event_type
        )


def test_identity_is_known_after_many_others(redactor: Redactor) -> None:
    for number in range(2000):
        redactor.data(json.dumps({"x": f"text {number}", "name": "Segreta"}))
    assert_absent(text_of(redactor.data('{"segreta":1}')), "segreta")
    assert len(redactor._identities) == 1000  # noqa: SLF001 (not visible otherwise)


def test_protocol_is_kept_when_an_owner_uses_its_words(redactor: Redactor) -> None:
    house = House(clock=datetime(2026, 11, 24, tzinfo=UTC))
    whatwatts, one = WhatwattSimulator(house, license_type="PRO"), CurrentlyOneSimulator(house)
    whatwatts.sub_meters = {"20000741": 5.0}
    texts = [path.read_text() for path in FOLDER.iterdir() if path.suffix in (".json", ".sse")]
    texts += [json.dumps(each) for each in (whatwatts.system(), whatwatts.report(), whatwatts.live())]
    texts += [one.config(), json.dumps(one.inventory())]
    keys = {key for text in texts for key in re.findall(r'"([^"\\]*)"\s*:', text)}
    keys |= {*currentlyone.FIELDS, *whatwatt.FIELDS, *whatwatt.CLOUDS}
    types = ("config", "transition", "state", "status", "live", "hourly", "ping", "progress")
    for name in (*keys, *types, "online", "dishwashers", "OK", "BLINK", "HAN"):
        redactor.pseudonym(name)
    assert [key for key in sorted(keys) if redactor.event_type(key) != key] == []
    assert [event_type for event_type in types if redactor.event_type(event_type) != event_type] == []
    assert redactor.event("status", "online") == "online"
    payload = {"m": "BLINK", "cat": "dishwashers", "meter": {"status": "OK"}, "P_P1_In": 5}
    assert redactor.values(payload) == payload


@pytest.mark.parametrize("name", ["W", "on", "Wh_1"])
def test_short_name_does_not_redact_a_key(redactor: Redactor, name: str) -> None:
    assert_absent(text_of(redacted_object(redactor, f'{{"dName":"{name}"}}')["dName"]), f'"{name}"')
    assert redactor.data(f'{{"{name}":5}}') == {name: 5}


# A name that a person can enter, and that breaks the JSON of a device that does not escape it.
NAMES = st.text(
    st.one_of(st.sampled_from('"\\:,{}[] \n\t'), st.characters(codec="utf-8")), min_size=1, max_size=20
).map(lambda around: f"Kunterb{around}unt")


@given(name=NAMES, ssid=NAMES, cut=st.integers(0, 400), is_escaped=st.booleans())
def test_any_name_is_redacted(*, name: str, ssid: str, cut: int, is_escaped: bool) -> None:
    redactor = Redactor()
    config = CONFIG.replace("dLink2.4", "%s").replace('"%s"', "%s")
    written = [json.dumps(text) if is_escaped else f'"{text}"' for text in (ssid, name)]
    for whole in (config % tuple(written), f'{{"id":{written[1]},"to":1}}'):
        for text in (whole, whole[:cut]):
            redacted = redactor.event("config", text)
            assert_absent(text_of(redacted), "Kunterb", "casamia", "192.168")
            again = redacted if isinstance(redacted, str) else json.dumps(redacted)
            assert Redactor().event("config", again) == redacted


@given(name=st.from_regex(r"Kunterb[A-Za-z0-9 _.+-]{0,12}unt", fullmatch=True), data=st.data())
def test_name_of_an_appliance_is_redacted_in_every_event(name: str, data: st.DataObject) -> None:
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
        assert_absent(text_of(redactor.data(text)), "Kunterb")
    assert_absent(text_of(redactor.event("status", f"restart {name}")), "Kunterb")
    assert_absent(redactor.event_type(name), "Kunterb")


# --------------------------------------------------------------------------------------------------- any data


def test_redacted_data_stay_the_same_when_redacted_again(redactor: Redactor) -> None:
    texts = [CONFIG % "Casa Mia", '{"Casa Mia":{"a":"b"}}', "Casa, 5", '{"id":123456789}']
    texts += [sample(f"whatwatt_{name}.json").decode() for name in ("system_fw1.10", "report_ensor_dsmr")]
    for text in texts:
        redacted = redactor.data(text)
        again = redacted if isinstance(redacted, str) else json.dumps(redacted)
        assert Redactor().data(again) == redacted


@pytest.mark.parametrize("depth", [19, 20, 300, 1000, 5000])
def test_deep_levels_are_redacted(redactor: Redactor, depth: int) -> None:
    text = text_of(redactor.data('{"a":' * depth + "1" + "}" * depth))
    assert text.count("a") <= 21
    assert ("1" in text) is (depth <= 20) or REDACTED in text


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda piece: piece * 1_000, id="repeated"),
        pytest.param(lambda piece: f'"{piece * 1_000}', id="in a text"),
        pytest.param(lambda piece: f'{{"a":"{piece * 1_000}', id="in an object"),
        pytest.param(lambda piece: f'{{"a":[{piece * 1_000}1]}}', id="in a list"),
    ],
)
@pytest.mark.parametrize(
    "piece",
    ['"', '" ', "{", '"a":', '\\"', '"\t', '",', " ", "\\", '"\\', "a", "-1", '"a":"', "[[{", '"","', "1,"],
)
def test_any_data_can_be_redacted(redactor: Redactor, piece: str, make: Callable[[str], str]) -> None:
    for event_type in ("config", "state"):
        assert len(text_of(redactor.event(event_type, make(piece)))) <= 2 * MAX_LENGTH
