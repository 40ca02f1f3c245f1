"""From bytes that nobody should send to the states of entities."""

from datetime import UTC, datetime
import json
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.energy_sse.appliances import Appliances
from custom_components.energy_sse.reader import (
    ApplianceProfile,
    Inventory,
    Measurement,
    Transition,
    currentlyone,
)
from custom_components.energy_sse.reader.currentlyone import FIELDS as CURRENTLYONE_FIELDS
from custom_components.energy_sse.reader.health import StreamHealth
from custom_components.energy_sse.reader.sse import ServerSentEvent
from custom_components.energy_sse.reader.whatwatt import FIELDS as WHATWATT_FIELDS

from .homes import set_up, tick
from .readers import CurrentlyOneSimulator, WhatwattSimulator

KEYS = st.sampled_from(
    [*WHATWATT_FIELDS, *CURRENTLYONE_FIELDS, "Vol", "Date", "Time", "sec", "t", "m", "detected", "id", "bs"]
) | st.text(max_size=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["ON", "OFF", "HAN", "BLINK", "ALL", "kettle"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)
EVENTS = st.builds(
    lambda name, payload, end: f"event: {name}{end}data: {json.dumps(payload)}{end}{end}".encode(),
    st.sampled_from(["live", "state", "transition", "hourly", "ping", "log", "status"]) | st.text(max_size=9),
    st.dictionaries(KEYS, VALUES, max_size=8) | VALUES,
    st.sampled_from(["\n", "\r\n", "\r"]),
)
GARBAGE = st.lists(st.binary(max_size=60) | EVENTS, max_size=6).map(b"".join)


@pytest.fixture(autouse=True)
def _no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the readers' clocks run ahead of the connection's."""
    monkeypatch.setattr(currentlyone, "_REPLAY_LASTS", 0)


@settings(
    max_examples=150,
    deadline=None,
    # One Home Assistant for all: what an example leaves behind is a part of the next one's trouble.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(garbage=GARBAGE)
async def test_garbage_raises_nothing_and_what_comes_after_it_arrives(
    hass: HomeAssistant,
    either: WhatwattSimulator | CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
    garbage: bytes,
) -> None:
    if not either.streams:
        await set_up(hass, either)
    await either.broadcast(garbage + b"\n\n\r\n\r\n")
    await tick(hass, either)
    entry = hass.config_entries.async_entries("energy_sse")[0]
    coordinator = entry.runtime_data
    assert coordinator.link_is_up
    assert set(coordinator.readings.values) <= set(Measurement)
    assert len(list(coordinator.appliances)) <= 100
    assert len(coordinator.counters) <= 32
    assert [r for r in caplog.records if r.levelno >= logging.ERROR and "energy_sse" in r.name] == []


def test_appliances_and_states_without_end_fill_no_memory() -> None:
    appliances = Appliances([])
    now = datetime.now(UTC)
    for n in range(1000):
        appliances.heard(Transition(appliance_id=str(n), state="on"), now)
        appliances.heard(Transition(appliance_id="0", state=str(n)), now)
    profiles = tuple(ApplianceProfile(id=f"new {n}") for n in range(1000))
    assert appliances.learn(Inventory(appliances=profiles)) == []
    known = list(appliances)
    assert len(known) == 100
    assert len(known[0]._is_on_in) == 50  # noqa: SLF001 (shows nowhere else)


def test_event_types_that_nobody_knows_fill_no_memory() -> None:
    health = StreamHealth()
    for n in range(1000):
        health.heard(ServerSentEvent(str(n), "{}", ""))
    assert len(health.events) == 51
    assert health.events["others"] == 950
