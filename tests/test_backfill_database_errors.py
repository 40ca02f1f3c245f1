"""Hours that the database could not store: a full disk, power failures, backups."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
import sqlite3
from typing import Final

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from custom_components.energy_sse import statistics
from custom_components.energy_sse.const import DOMAIN

from .conftest import MakeTimeLapse
from .test_backfill import (
    STORED_HOURS,
    at,
    check_hours,
    outage,
    rows_written,
    run_past_hours,
)
from .time_lapse import HOUR, REGISTERS, TimeLapse
from .wait import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "statistics.py", "registers.py", "histories.py", "wall_clock.py", "store.py", "tests/time_lapse.py"
    ),
]

IMPORT, EXPORT = REGISTERS

# Beginnings of the statements that write anything, rows of hours, and raised sums.
ANYTHING: Final = ("INSERT", "UPDATE")
HOURS: Final = ("INSERT INTO statistics ", "UPDATE statistics SET mean")
SUMS: Final = ("UPDATE statistics SET sum", "UPDATE statistics_short_term SET sum")


@pytest.fixture
async def time_lapse(
    make_time_lapse: MakeTimeLapse, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[TimeLapse]:
    """Return a home with a recorder that does not retry for long."""
    monkeypatch.setattr(statistics, "_COMMIT_TIMEOUT", 0.5)
    async with make_time_lapse(None) as time_lapse:
        time_lapse.recorder_options = {"db_max_retries": 1, "db_retry_wait": 0}
        yield time_lapse


@contextmanager
def full_database(time_lapse: TimeLapse, *beginnings: str) -> Iterator[list[str]]:
    """Let the database reject all statements with these beginnings. Yield a list that gets the statements."""
    engine = get_instance(time_lapse.hass).engine
    rejected: list[str] = []

    def reject(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(beginnings):
            rejected.append(statement)
            raise OperationalError(statement, None, sqlite3.OperationalError("database or disk is full"))

    event.listen(engine, "before_cursor_execute", reject)
    # The recorder cannot be settled while it cannot write.
    time_lapse.recorder_is_locked = beginnings == ANYTHING
    yield rejected
    event.remove(engine, "before_cursor_execute", reject)
    time_lapse.recorder_is_locked = False


async def test_hours_are_corrected_after_the_database_is_full(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "disconnected", at("07:57:20"), at("11:11:20"))
    # At first, only the hours cannot be written. Then, nothing can be written.
    with full_database(time_lapse, *HOURS) as rejected:
        await time_lapse.run_for(minutes=2)
        await wait_until(lambda: rows_written(caplog) and rejected)
    with full_database(time_lapse, *ANYTHING):
        await time_lapse.run_for(minutes=12)
    await run_past_hours(time_lapse, 2)
    await check_hours(time_lapse, at("06:00:00"), at("10:00:00"))


async def test_received_hours_of_a_full_database_are_corrected(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("07:21:00"))
    with full_database(time_lapse, *ANYTHING):
        await time_lapse.run_until(at("10:41:00"))
        # The recorder has to finish, so that all states of that time are rejected.
        await wait_until(lambda: not get_instance(time_lapse.hass).backlog, within=60)
    await run_past_hours(time_lapse, 2)
    errors = await check_hours(time_lapse, at("06:00:00"))
    assert errors.missed < 1e-3


async def test_hours_are_right_when_the_database_rejects_sums(
    time_lapse: TimeLapse,
) -> None:
    await time_lapse.run_until(at("14:35:00", day=13))
    await time_lapse.start()
    with full_database(time_lapse, *SUMS) as rejected:
        await time_lapse.run_for(minutes=7)
        await wait_until(lambda: rejected)
    await run_past_hours(time_lapse, 1)
    oldest = at("14:00:00", day=13) - (STORED_HOURS - 1) * HOUR
    assert (await check_hours(time_lapse, oldest)).missed < 1e-3


async def test_issue_of_a_reset_returns_when_it_was_not_stored(time_lapse: TimeLapse) -> None:
    time_lapse.recorder_options |= {"purge_keep_days": 1}
    await time_lapse.start()
    assert await async_setup_component(time_lapse.hass, "repairs", {})
    await outage(time_lapse, "disconnected", at("12:20:00"), at("06:20:00", day=12))
    await run_past_hours(time_lapse, 1)
    flows = time_lapse.hass.data[REPAIRS]["flow_manager"]
    await wait_until(lambda: len(ir.async_get(time_lapse.hass).issues) == len(REGISTERS))
    issues = set(ir.async_get(time_lapse.hass).issues)

    async def confirm() -> None:
        for _, issue_id in issues:
            form = await flows.async_init(DOMAIN, data={"issue_id": issue_id})
            await flows.async_configure(form["flow_id"], {})

    with full_database(time_lapse, *SUMS) as rejected:
        await confirm()
        await wait_until(lambda: rejected)
        await time_lapse.run_for(minutes=1)
    assert set(ir.async_get(time_lapse.hass).issues) == issues
    await confirm()
    await time_lapse.settle()
    assert not ir.async_get(time_lapse.hass).issues
    hours = await time_lapse.hours(EXPORT)
    assert all(hour.change >= 0 for hour in hours.values())


@pytest.mark.parametrize("seconds", [49, 50, 51])
async def test_hours_are_corrected_after_a_power_failure(time_lapse: TimeLapse, seconds: int) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    with full_database(time_lapse, *HOURS):
        await time_lapse.run_for(seconds=seconds)
        await time_lapse.crash()
    await time_lapse.run_until(at("11:13:20"))
    await time_lapse.start()
    await run_past_hours(time_lapse, 1)
    assert (await check_hours(time_lapse, at("06:00:00"))).missed < 1e-3


async def test_hours_are_corrected_when_a_purge_comes_between(
    time_lapse: TimeLapse, caplog: pytest.LogCaptureFixture
) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    # The register is received at 11:12:00, and its hours are known ten seconds later.
    with full_database(time_lapse, *HOURS) as rejected:
        await time_lapse.run_for(seconds=51)
        await wait_until(lambda: rows_written(caplog) and rejected)
        await time_lapse.hass.services.async_call(
            "recorder", "purge_entities", {"domains": ["sensor"], "keep_days": 0}, blocking=True
        )
        await time_lapse.settle()
    await run_past_hours(time_lapse, 1)
    assert (await check_hours(time_lapse, at("06:00:00"))).missed < 1e-3


async def test_hours_are_corrected_when_killed_in_a_backup(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await outage(time_lapse, "off", at("07:57:20"), at("11:11:20"))
    await time_lapse.run_for(seconds=49)
    # Rows that wait for the end of a backup are lost.
    with full_database(time_lapse, *ANYTHING):
        await time_lapse.run_for(minutes=20)
        await time_lapse.crash()
    await time_lapse.run_for(minutes=1)
    await time_lapse.start()
    await run_past_hours(time_lapse, 1)
    assert (await check_hours(time_lapse, at("06:00:00"), at("10:00:00"))).missed < 1e-3


async def test_locked_recorder_gets_an_adjustment_once_after_reloads(time_lapse: TimeLapse) -> None:
    await time_lapse.start()
    await time_lapse.run_until(at("08:06:30"))
    time_lapse.reader.house.active_export = {1: 3.0, 2: 0.0}
    # The recorder has counted the first register of the new meter as energy.
    await time_lapse.run_until(at("08:20:15"))
    (replacement,) = time_lapse.entry.runtime_data.coordinator.histories.by_register[EXPORT].replacements
    assert replacement.first > 50
    instance = get_instance(time_lapse.hass)
    assert await instance.lock_database()
    time_lapse.recorder_is_locked = True
    for _ in range(3):
        await time_lapse.run_for(seconds=12)
        await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)
    assert instance.unlock_database()
    time_lapse.recorder_is_locked = False
    await run_past_hours(time_lapse, 2)
    hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
    old = replacement.last - truth[at("08:00:00")]
    new = time_lapse.received[EXPORT][at("09:00:00")] - replacement.first
    # Within one Wh, and the noise of binary fractions.
    assert hours[at("08:00:00")].change == pytest.approx(old + new, abs=1.001)
