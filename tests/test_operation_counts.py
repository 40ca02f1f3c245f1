"""Numbers of operations for one event, which do not depend on the speed of the machine."""

from collections.abc import Callable
import json
import sys
import tracemalloc
from typing import Any

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.reader.currentlyone import FIELDS as CURRENTLYONE_FIELDS, EventParser
from custom_components.energy_sse.reader.sse import EventStreamDecoder
from custom_components.energy_sse.reader.whatwatt import FIELDS as WHATWATT_FIELDS, parse_live

from .conftest import Start
from .home_assistant import set_up
from .simulators import House, WhatwattSimulator
from .state_writes import watch_states
from .wait import wait_until


def live(payload: dict[str, Any]) -> bytes:
    return f"event: live\ndata: {json.dumps(payload)}\n\n".encode()


# ------------------------------------------------------------------------------- writing states


async def arrive(hass: HomeAssistant, reader: WhatwattSimulator, payload: dict[str, Any]) -> None:
    """Receive a reading, whose voltage has to differ from the last one."""
    (entry,) = hass.config_entries.async_entries("energy_sse")
    await reader.broadcast(live(payload))
    await wait_until(lambda: entry.runtime_data.coordinator.data.values.get("voltage_l1") == payload["V_P1"])
    await hass.async_block_till_done()


async def test_reading_writes_only_changed_states(hass: HomeAssistant, house: House, start: Start) -> None:
    reader = await start(WhatwattSimulator(house))
    await set_up(hass, reader)
    payload = {key: 100.0 + number for number, key in enumerate(WHATWATT_FIELDS)} | {"T": 1, "V_P1": 230.0}
    await arrive(hass, reader, payload)
    writes = watch_states(hass)

    changed = {"V_P1": 230.1, "P_In": 90.0, "P_P1_In": 91.0, "I_P1": 2.5}
    await arrive(hass, reader, payload | changed)
    prefix = "sensor.meter_"
    assert sorted(write.entity_id for write in writes) == [
        f"{prefix}current_l1",
        f"{prefix}net_power",
        f"{prefix}net_power_l1",
        f"{prefix}power_import",
        f"{prefix}voltage_l1",
    ]

    writes.clear()
    everything = {key: value * 1.01 for key, value in payload.items()} | {"T": 2}
    await arrive(hass, reader, everything)
    written = [write.entity_id for write in writes]
    assert len(written) == len(set(written))
    enabled = {
        state.entity_id
        for state in hass.states.async_all("sensor")
        if "unit_of_measurement" in state.attributes
    }
    # `T` has no unit.
    assert set(written) == enabled | {f"{prefix}active_tariff"}


# ------------------------------------------------------------------------------------ decoding


def calls_of(work: Callable[[], object]) -> int:
    """Return the number of Python functions that are called, resumed generators included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls - 1  # without the call of `work` itself


def event_of(name: str, newline: str, keys: list[str]) -> bytes:
    data = json.dumps(
        dict.fromkeys(keys, 1.5) | {"Date": "2026-11-21", "Time": "10:00:00", "sec": 1795255200}
    )
    return f"event: {name}{newline}data: {data}{newline * 2}".encode()


def whatwatt_work(keys: list[str]) -> Callable[[], object]:
    decoder, event = EventStreamDecoder(), event_of("live", "\n", keys)
    decoder.feed(event)
    return lambda: [message for e in decoder.feed(event) for message in parse_live(e.data)]


def currentlyone_work(keys: list[str]) -> Callable[[], object]:
    decoder, parser, event = EventStreamDecoder(), EventParser(), event_of("state", "\r\n", keys)
    decoder.feed(event)
    return lambda: [message for e in decoder.feed(event) for message in parser.parse(e)]


@pytest.mark.parametrize(
    ("make_work", "keys", "limit"),
    [
        pytest.param(whatwatt_work, list(WHATWATT_FIELDS), 14, id="whatwatt"),
        pytest.param(currentlyone_work, list(CURRENTLYONE_FIELDS), 23, id="currentlyone"),
    ],
)
async def test_number_of_calls_does_not_depend_on_the_values(
    make_work: Callable[[list[str]], Callable[[], object]], keys: list[str], limit: int
) -> None:
    few, many = calls_of(make_work(keys[:3])), calls_of(make_work(keys))
    assert few == many <= limit


def peak_memory_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1460, 10**6], ids=["pieces", "whole"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_event_needs_memory_for_few_copies(newline: bytes, size: int) -> None:
    decoder = EventStreamDecoder()
    stream = b"event: live" + newline + b"data: " + b"x" * 200_000 + newline * 2
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert peak_memory_of(lambda: [decoder.feed(piece) for piece in pieces]) < 5 * len(stream)
