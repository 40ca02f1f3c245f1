"""What is remembered over a restart, and when it was heard."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.memory import Memory

from .conftest import MakeTimeLapse
from .time_lapse import REGISTERS, TimeLapse
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow("memory.py", "readings.py", "reader/validation.py", "tests/time_lapse.py")

IMPORT, EXPORT = REGISTERS

MORNING = datetime(2026, 11, 10, 9, 47, 20, tzinfo=UTC)


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return days of a sunny house, in which more is exported in ten minutes than a minute allows."""
    async with make_time_lapse(None) as time_lapse:
        time_lapse.reader.house.clock = MORNING - timedelta(minutes=17)
        await time_lapse.live(minutes=1)
        yield time_lapse


def dropped(time_lapse: TimeLapse) -> int:
    return int(time_lapse.entry.runtime_data.readings.validator.dropped.total())


def shown(time_lapse: TimeLapse) -> list[float]:
    """Return the registers that the sensors show, in Wh."""
    states = [time_lapse.hass.states.get(time_lapse.sensor(register)) for register in REGISTERS]
    return [float(state.state) * 1000 for state in states if state is not None]


async def back_after(time_lapse: TimeLapse, **duration: float) -> None:
    """Be off for a while."""
    await time_lapse.stop()
    await time_lapse.live(**duration)
    await time_lapse.start()


async def test_register_that_fell_during_a_restart_is_doubted(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    before = shown(time_lapse)
    await time_lapse.stop()
    time_lapse.reader.house.active_export = {1: 12.0, 2: 0.0}
    await time_lapse.live(minutes=2)
    await time_lapse.start()
    await time_lapse.live(minutes=2)
    assert dropped(time_lapse)
    assert shown(time_lapse)[1] == before[1]


async def test_what_the_reader_repeats_from_before_a_restart_is_no_other_meter(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    await back_after(time_lapse, minutes=1)
    await time_lapse.live(minutes=2)
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)
    assert "A meter was replaced" not in caplog.text
    assert not dropped(time_lapse)


async def test_old_meter_that_the_reader_repeats_is_not_a_new_one(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    time_lapse.reader.house.active_import = {1: 12.0, 2: 0.0}
    time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
    await time_lapse.live(minutes=20)
    before = replacements(time_lapse)
    assert before == [1, 1]
    # The reader still stores readings of the old meter, which it repeats after the connect.
    await back_after(time_lapse, minutes=1)
    await time_lapse.live(minutes=20)
    assert replacements(time_lapse) == before
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)


def replacements(time_lapse: TimeLapse) -> list[int]:
    return [
        len(history.replacements) for history in time_lapse.entry.runtime_data.histories.by_register.values()
    ]


@pytest.mark.parametrize("restarts", [0, 1, 3])
async def test_register_that_rose_while_nobody_could_hear_it_is_believed_at_once(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, restarts: int
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    await time_lapse.stop()
    await time_lapse.disconnect_reader()
    await time_lapse.live(hours=5)
    await time_lapse.start()
    for _ in range(restarts):
        await back_after(time_lapse, minutes=1)
    assert time_lapse.entry.state is ConfigEntryState.SETUP_RETRY
    await time_lapse.reconnect_reader()
    await time_lapse.live(minutes=2)
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)
    assert not dropped(time_lapse)
    assert "A meter was replaced" not in caplog.text


async def test_crash_costs_the_last_minutes_of_what_is_remembered(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    await time_lapse.crash()
    assert time_lapse.memory is not None
    heard_at = time_lapse.memory["data"]["heard_at"]
    assert 0 <= MORNING.timestamp() - heard_at[EXPORT] < 10 * 60


@pytest.mark.parametrize("meter_is_silent", [False, True])
async def test_what_is_remembered_is_as_old_as_it_was_heard(
    time_lapse: TimeLapse, *, meter_is_silent: bool
) -> None:
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    time_lapse.reader.meter_is_connected = not meter_is_silent
    silent_since = time_lapse.now.timestamp()
    await time_lapse.live(minutes=20)
    await time_lapse.stop()
    assert time_lapse.memory is not None
    expected = silent_since if meter_is_silent else time_lapse.now.timestamp()
    assert list(time_lapse.memory["data"]["heard_at"].values()) == pytest.approx([expected] * 4, abs=150)


async def test_what_is_saved_at_once_waits_for_nothing_else(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    known = {"registers": 1}
    memory = Memory(hass, "reader", lambda: known)
    memory.save_within(300)
    memory.save_within(0)
    memory.save_within(300)
    await wait_until(lambda: hass_storage.get(f"{DOMAIN}.reader", {}).get("data") == known)
    known["registers"] = 2
    await time_machine.advance(10)
    memory.save_within(0)
    memory.save_within(300)
    await wait_until(lambda: hass_storage[f"{DOMAIN}.reader"]["data"] == known)


async def test_flicker_is_saved_no_more_often_than_states_are(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    saved: list[int] = []
    flickers = 0

    def collect() -> dict[str, int]:
        saved.append(flickers)
        return {"flickers": flickers}

    memory = Memory(hass, "reader", collect)
    for n in range(60):
        flickers = n
        memory.save_within(0)
        await time_machine.advance(0.5)
    assert 5 <= len(saved) <= 8
    await time_machine.advance(5)
    assert hass_storage[f"{DOMAIN}.reader"]["data"] == {"flickers": 59}


async def test_save_is_not_put_off_by_the_next_one(
    hass: HomeAssistant, hass_storage: dict[str, Any], time_machine: TimeMachine
) -> None:
    memory = Memory(hass, "reader", lambda: {"registers": 1})
    for _ in range(70):
        memory.save_within(300)
        await time_machine.advance(5)
    assert f"{DOMAIN}.reader" in hass_storage
    await memory.async_close()


# ------------------------------------------------------------------------- a clock that is not right at once


@pytest.mark.parametrize(
    "error",
    [
        # The clock went on where it had been when the power went.
        pytest.param(timedelta(hours=-5), id="stood still"),
        pytest.param(timedelta(hours=-9), id="hours behind"),
        pytest.param(timedelta(hours=2), id="hours ahead"),
        pytest.param(timedelta(days=-20_000), id="years behind"),
        pytest.param(timedelta(days=400), id="years ahead"),
    ],
)
async def test_registers_are_believed_though_the_clock_was_wrong_at_the_start(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture, error: timedelta
) -> None:
    # The recorder compiles all five minutes that it has missed, of as many days as it keeps.
    time_lapse.recorder_options = {"purge_keep_days": 1}
    await time_lapse.start()
    await time_lapse.run_until(MORNING)
    await time_lapse.stop()
    await time_lapse.live(hours=5)
    time_lapse.set_clock(error)
    await time_lapse.start()
    await time_lapse.live(minutes=12)
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)
    assert "A meter was replaced" not in caplog.text
    # A time server is heard.
    time_lapse.set_clock(timedelta())
    await time_lapse.live(minutes=12)
    assert shown(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=200)
    assert dropped(time_lapse) <= 4 * 4
    await time_lapse.stop()
    assert time_lapse.memory is not None
    assert time_lapse.memory["data"]["heard_at"][EXPORT] == pytest.approx(time_lapse.now.timestamp(), abs=180)
