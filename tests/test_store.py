"""Data that is stored over a restart."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.store import EnergySseStore, storage_key

from .conftest import MakeTimeLapse
from .time_lapse import REGISTERS, TimeLapse
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow("store.py", "readings.py", "reader/validation.py", "tests/time_lapse.py")

IMPORT, EXPORT = REGISTERS

MORNING = datetime(2026, 11, 10, 9, 47, 20, tzinfo=UTC)


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home that exports more energy in ten minutes than is possible in one minute."""
    async with make_time_lapse(None) as time_lapse:
        time_lapse.reader.house.clock = MORNING - timedelta(minutes=17)
        await time_lapse.run_for(minutes=1)
        await time_lapse.start()
        await time_lapse.run_until(MORNING)
        yield time_lapse


def rejected(time_lapse: TimeLapse) -> int:
    return int(time_lapse.entry.runtime_data.coordinator.readings.validator.rejected.total())


def shown(time_lapse: TimeLapse) -> list[float]:
    """Return the registers that the sensors show, in Wh."""
    states = [time_lapse.hass.states.get(time_lapse.sensor(register)) for register in REGISTERS]
    return [float(state.state) * 1000 for state in states if state is not None]


async def restart_after(time_lapse: TimeLapse, **duration: float) -> None:
    """Stop Home Assistant, and start it after a time."""
    await time_lapse.stop()
    await time_lapse.run_for(**duration)
    await time_lapse.start()


async def test_register_that_fell_during_a_restart_is_rejected(time_lapse: TimeLapse) -> None:
    before = shown(time_lapse)
    await time_lapse.stop()
    time_lapse.reader.house.active_export = {1: 12.0, 2: 0.0}
    await time_lapse.run_for(minutes=2)
    await time_lapse.start()
    await time_lapse.run_for(minutes=2)
    assert rejected(time_lapse)
    assert shown(time_lapse)[1] == before[1]


async def test_replayed_readings_of_an_old_meter_are_ignored(time_lapse: TimeLapse) -> None:
    time_lapse.reader.house.active_import = {1: 12.0, 2: 0.0}
    time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
    await time_lapse.run_for(minutes=20)
    before = replacements(time_lapse)
    assert before == [1, 1]
    # The reader still stores readings of the old meter, which it repeats after the connect.
    await restart_after(time_lapse, minutes=1)
    await time_lapse.run_for(minutes=20)
    assert replacements(time_lapse) == before
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)


def replacements(time_lapse: TimeLapse) -> list[int]:
    return [
        len(history.replacements)
        for history in time_lapse.entry.runtime_data.coordinator.histories.by_register.values()
    ]


@pytest.mark.parametrize("restarts", [0, 3])
async def test_register_that_rose_in_an_outage_is_accepted_at_once(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, restarts: int
) -> None:
    await time_lapse.stop()
    await time_lapse.disconnect_reader()
    await time_lapse.run_for(hours=5)
    await time_lapse.start()
    for _ in range(restarts):
        await restart_after(time_lapse, minutes=1)
    assert time_lapse.entry.state is ConfigEntryState.SETUP_RETRY
    await time_lapse.reconnect_reader()
    await time_lapse.run_for(minutes=2)
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)
    assert not rejected(time_lapse)
    assert "A meter was replaced" not in caplog.text


async def test_crash_loses_at_most_a_quarter_of_an_hour(time_lapse: TimeLapse) -> None:
    await time_lapse.crash()
    received_at = time_lapse.stored("meter")["received_at"]
    assert 0 <= MORNING.timestamp() - received_at[EXPORT] < 16 * 60


@pytest.mark.parametrize("is_meter_offline", [False, True])
async def test_stored_registers_have_the_time_of_their_reading(
    time_lapse: TimeLapse, *, is_meter_offline: bool
) -> None:
    time_lapse.reader.meter_is_connected = not is_meter_offline
    offline_since = time_lapse.now.timestamp()
    await time_lapse.run_for(minutes=20)
    await time_lapse.stop()
    expected = offline_since if is_meter_offline else time_lapse.now.timestamp()
    assert list(time_lapse.stored("meter")["received_at"].values()) == pytest.approx([expected] * 4, abs=150)


def make_store(hass: HomeAssistant, collect: Callable[[], object]) -> EnergySseStore:
    store = EnergySseStore(hass, "reader")
    store.async_add_section("section", collect, lambda _data: None)
    return store


def saved(hass_storage: dict[str, Any]) -> object:
    return hass_storage.get(storage_key("reader"), {}).get("data", {}).get("section")


async def test_urgent_save_does_not_wait_for_others(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    data = {"registers": 1}
    store = make_store(hass, data.copy)
    store.async_save_within(300)
    store.async_save_within(0)
    store.async_save_within(300)
    await wait_until(lambda: saved(hass_storage) == data)
    data["registers"] = 2
    await time_machine.advance(10)
    store.async_save_within(0)
    store.async_save_within(300)
    await wait_until(lambda: saved(hass_storage) == data)


async def test_urgent_saves_have_five_seconds_between_them(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    collected: list[int] = []
    number = 0

    def collect() -> int:
        collected.append(number)
        return number

    store = make_store(hass, collect)
    for number in range(60):  # noqa: B007 (collect returns it)
        store.async_save_within(0)
        await time_machine.advance(0.5)
    assert 5 <= len(collected) <= 8
    await time_machine.advance(5)
    assert saved(hass_storage) == 59


async def test_save_is_not_postponed_by_the_next_one(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    store = make_store(hass, lambda: 1)
    for _ in range(70):
        store.async_save_within(300)
        await time_machine.advance(5)
    assert saved(hass_storage) == 1
    await store.async_close()
