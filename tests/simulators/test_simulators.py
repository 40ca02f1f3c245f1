"""The simulated readers, held to the recorded payloads and to an independent client."""

import json

import aiohttp
import pytest

from tests.conftest import Start
from tests.samples import sample, sample_events

from . import CurrentlyOneSimulator, House, WhatwattSimulator
from .whatwatt import Firmware


def keys_of_live(name: str) -> list[str]:
    (event,) = sample_events(name)
    return list(json.loads(event.data))


def test_whatwatt_of_old_firmware_sends_every_key_that_was_recorded(house: House) -> None:
    live = WhatwattSimulator(house, firmware=Firmware.FILLING).live()
    assert set(keys_of_live("whatwatt_live_fw1.sse")) <= set(live)


def test_whatwatt_of_new_firmware_sends_only_documented_keys(house: House) -> None:
    live = WhatwattSimulator(house).live()
    assert set(live) <= set(keys_of_live("whatwatt_live_fw2.sse"))


def shape(value: object) -> object:
    """Return the keys of nested objects."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def is_part_of(part: object, whole: object) -> bool:
    """Tell whether every key of one shape is in the other."""
    if not isinstance(part, dict) or not isinstance(whole, dict):
        return part is None
    return all(key in whole and is_part_of(inner, whole[key]) for key, inner in part.items())


@pytest.mark.parametrize("licence", [None, "PLUS"])
def test_whatwatt_answers_system_with_the_keys_that_were_recorded(house: House, licence: str | None) -> None:
    recorded = json.loads(sample("whatwatt_system_fw1.10.json"))
    assert is_part_of(shape(WhatwattSimulator(house, licence=licence).system()), shape(recorded))


def test_whatwatt_answers_report_with_the_keys_that_were_recorded(house: House) -> None:
    recorded = shape(json.loads(sample("whatwatt_report_kamstrup_kmp.json")))
    assert is_part_of(shape(WhatwattSimulator(house, licence="PLUS").report()), recorded)


def test_currentlyone_sends_states_as_they_were_recorded(house: House) -> None:
    recorded = next(e for e in sample_events("currentlyone_stream_2.8.9.sse") if e.type == "state")
    state = json.loads(CurrentlyOneSimulator(house).state())
    expected = json.loads(recorded.data)
    # A step that the detector found, which not every state has.
    del expected["dR2"]
    assert list(state)[:10] == list(expected)[:10]
    assert set(state) == set(expected)


def test_currentlyone_sends_config_as_it_was_recorded(house: House) -> None:
    recorded = next(e for e in sample_events("currentlyone_stream_2.8.9.sse") if e.type == "config")
    assert list(json.loads(CurrentlyOneSimulator(house).config())) == list(json.loads(recorded.data))


async def test_currentlyone_repeats_on_connect_what_it_remembers_in_crlf(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    for _ in range(70):
        await reader.advance(3600)
    for _ in range(40):
        await reader.tick()
    await reader.switch("mocca_mast", "on")
    async with session.get(f"http://{reader.host}/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert "Transfer-Encoding" not in response.headers
        assert "Content-Length" not in response.headers
        received = b""
        async for chunk in response.content.iter_any():
            received += chunk
            if received.count(b"event: ") >= 2 + 64 + 3 + 32:
                break
    lines = received.split(b"\r\n")
    assert b"\n" not in b"".join(lines).replace(b"\r\n", b"")
    types = [line.removeprefix(b"event: ").decode() for line in lines if line.startswith(b"event: ")]
    assert types == ["status", "config", *["hourly"] * 64, *["state"] * (3 + 32)]


async def test_currentlyone_stamps_the_register_a_second_after_the_full_hour(house: House) -> None:
    reader = CurrentlyOneSimulator(house)
    await reader.advance(2400)
    registers = (house.active_import, house.active_export)
    expected = [int(sum(register.values())) for register in registers]
    await reader.advance(600)
    (event,) = reader._hourly  # noqa: SLF001 (what it remembers)
    hourly = json.loads(event.split(b"data: ")[1])
    assert hourly["sec"] % 3600 == 1
    assert [hourly["Wh"], hourly["Ph"]] == expected


async def test_currentlyone_pings_while_the_meter_is_silent(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = CurrentlyOneSimulator(house)
    house.appliances.clear()
    await start(reader)
    reader.meter_is_connected = False
    async with session.get(f"http://{reader.host}/events") as response:
        await response.content.readuntil(b"}\r\n\r\n")
        await reader.tick(20)
        assert (await response.content.readuntil(b"\r\n")) == b"event: ping\r\n"


async def test_newcomer_ends_the_whatwatts_stream_of_the_one_before(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    url = f"http://{reader.host}/api/v1/live"
    async with session.get(url) as first, session.get(url) as second:
        assert await first.content.read() == b""
        await reader.tick()
        assert (await second.content.readline()) == b"event: live\n"


async def test_whatwatt_without_a_licence_gives_no_report(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    async with session.get(f"http://{reader.host}/api/v1/report") as response:
        assert (response.status, await response.text()) == (404, "License required")
    reader.licence = "PLUS"
    async with session.get(f"http://{reader.host}/api/v1/report") as response:
        assert (await response.json())["report"]["id"] == reader.report_id


async def test_whatwatt_refuses_a_foreign_origin(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house)
    await start(reader)
    url = f"http://{reader.host}/api/v1/system"
    async with session.get(url, headers={"Origin": "http://elsewhere"}) as response:
        assert response.status == 404


def test_registers_only_grow_and_fit_the_power(house: House) -> None:
    for seconds in [5.0] * 500:
        before = sum(house.active_import.values()) - sum(house.active_export.values())
        power = house.net_power
        totals = [*house.active_import.values(), *house.active_export.values()]
        for _ in house.advance(seconds):
            pass
        after = sum(house.active_import.values()) - sum(house.active_export.values())
        assert after - before == pytest.approx(power * seconds / 3600, abs=1e-6)
        assert all(
            later >= earlier
            for earlier, later in zip(
                totals, [*house.active_import.values(), *house.active_export.values()], strict=True
            )
        )
