"""Random bytes and endless data: no errors, limited memory."""

from datetime import UTC, datetime
import json
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.energy_sse.appliances import Appliances
from custom_components.energy_sse.const import CONF_POWER_TARIFF
from custom_components.energy_sse.reader import (
    READERS,
    ApplianceProfile,
    ApplianceState,
    Inventory,
    Measurement,
    Transition,
    currentlyone,
)
from custom_components.energy_sse.reader.sse import ServerSentEvent
from custom_components.energy_sse.reader.traffic import ConnectionStats

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator, Simulator
from .time_machine import TimeMachine

KEYS = st.sampled_from(
    [
        *(key for reader in READERS.values() for key in reader.fields),
        *("Vol", "Date", "Time", "sec", "t", "m", "detected", "id", "bs"),
    ]
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
    """Process reports whose time is ahead of the connection as new ones."""
    monkeypatch.setattr(currentlyone, "_REPLAY_DURATION", 0)


@settings(
    max_examples=150,
    deadline=None,
    # All examples use one Home Assistant, with the data of the earlier ones.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(garbage=GARBAGE)
async def test_reading_is_processed_after_random_bytes(
    hass: HomeAssistant,
    any_reader: Simulator,
    caplog: pytest.LogCaptureFixture,
    garbage: bytes,
) -> None:
    if not any_reader.streams:
        await set_up(hass, any_reader)
    await any_reader.broadcast(garbage + b"\n\n\r\n\r\n")
    await tick(hass, any_reader)
    entry = hass.config_entries.async_entries("energy_sse")[0]
    coordinator = entry.runtime_data.coordinator
    assert coordinator.data.is_streaming
    assert set(coordinator.data.values) <= set(Measurement)
    assert len(list(coordinator.data.appliances)) <= 250
    assert len(coordinator.data.sub_meters.values) <= 64
    assert [r for r in caplog.records if r.levelno >= logging.ERROR and "energy_sse" in r.name] == []


def test_endless_appliances_and_states_are_limited() -> None:
    appliances = Appliances([])
    now = datetime.now(UTC)
    for n in range(1000):
        appliances.process_report(Transition(appliance_id=str(n), state="on"), now)
        appliances.process_report(Transition(appliance_id="0", state=str(n)), now)
    known = list(appliances)
    assert len(known) == 50
    profiles = tuple(ApplianceProfile(id=f"new {n}") for n in range(1000))
    assert len(appliances.update_from_inventory(Inventory(appliances=profiles))) == 200
    assert len(list(appliances)) == 250
    for n in range(20):
        profiles = tuple(ApplianceProfile(id=f"{n} {each}") for each in range(100))
        appliances.update_from_inventory(Inventory(appliances=profiles))
    assert len(list(appliances)) == 250
    for n in range(100):
        states = tuple(ApplianceState(name=f"{n} {each}") for each in range(100))
        appliances.update_from_inventory(Inventory(appliances=(ApplianceProfile(id="0", states=states),)))
    assert len(known[0]._is_on_by_state) == 50  # noqa: SLF001 (limits the memory)


def test_large_events_are_limited() -> None:
    stats = ConnectionStats()
    for n in range(100):
        large = f"{n}" * 100_000
        stats.add_event(ServerSentEvent(large, large, large), at=n)
    stored = [part for _, event in stats.recent_events for part in event]
    assert sum(map(len, [*stored, *stats.events])) < 3_000_000
    stats.add_event(ServerSentEvent("state", "x" * 3000, ""), at=100)
    assert stats.recent_events[-1] == (100, ServerSentEvent("state", "x" * 3000, ""))


def test_unknown_event_types_are_limited() -> None:
    stats = ConnectionStats()
    for n in range(1000):
        stats.add_event(ServerSentEvent(str(n), "{}", ""), at=n)
    assert len(stats.events) == 51
    assert stats.events["others"] == 950


async def test_endless_hours_and_meters_are_limited(
    recorder_mock: None,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up(hass, currentlyone, options={CONF_POWER_TARIFF: {"enabled": True}})
    await tick(hass, currentlyone)
    hours = [f'event: hourly\r\ndata: {{"sec":{3600 * n + 1},"Wh":{n}}}\r\n\r\n' for n in range(3000)]
    await currentlyone.broadcast("".join(hours).encode())
    for n in range(24):
        # Another register is a new meter after at most twenty readings and five minutes.
        meter = f'event: state\r\ndata: {{"m":"HAN","W":1,"Wh":{7_000_000 if n % 2 else 5}}}\r\n\r\n'
        for _ in range(10):
            await currentlyone.broadcast((meter * 3).encode())
            await time_machine.advance(40)
    await tick(hass, currentlyone)
    await time_machine.advance(15)
    (tracker,) = entry.runtime_data.tariffs.values()
    assert tracker.diagnostics["meter_replacements"] == 20
    assert caplog.text.count("A meter was replaced") == 3
    for history in entry.runtime_data.coordinator.histories.by_register.values():
        assert len(history._hourly._registers) <= 200  # noqa: SLF001 (limits the memory)
