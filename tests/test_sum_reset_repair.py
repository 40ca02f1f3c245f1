"""The repair of a sum that was reset, while the recorder or the sensor changes."""

import asyncio
from collections.abc import AsyncGenerator
import json
import re
from typing import Any

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import CONF_FILL_MISSED_HOURS, DOMAIN
from custom_components.energy_sse.issues import Issue
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader

from .conftest import MakeTimeLapse
from .home_assistant import set_up
from .pseudonyms import assert_absent
from .simulators import WhatwattSimulator
from .test_backfill import at, outage, run_past_hours
from .time_lapse import HOUR, REGISTERS, TimeLapse
from .wait import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow("sum_reset.py", "repairs.py", "statistics.py", "tests/time_lapse.py"),
]

IMPORT, EXPORT = REGISTERS


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home after an outage that was longer than the recorder keeps short-term statistics."""
    async with make_time_lapse(None) as time_lapse:
        # One day, instead of the default of ten.
        time_lapse.recorder_options = {"purge_keep_days": 1}
        # Missed hours are corrected once the sums are right.
        time_lapse.options = {CONF_FILL_MISSED_HOURS: False}
        await time_lapse.start()
        assert await async_setup_component(time_lapse.hass, "repairs", {})
        await outage(time_lapse, "disconnected", at("12:20:00"), at("06:20:00", day=12))
        await run_past_hours(time_lapse, 1)
        await wait_until(lambda: len(issues(time_lapse)) == len(REGISTERS))
        yield time_lapse


def issues(time_lapse: TimeLapse) -> list[ir.IssueEntry]:
    return [each for each in ir.async_get(time_lapse.hass).issues.values() if each.domain == DOMAIN]


def sensor_of(issue: ir.IssueEntry) -> str:
    return (issue.translation_placeholders or {})["sensor"]


async def begin_repair(time_lapse: TimeLapse, sensor: str) -> str:
    """Open the dialog of a sensor's issue, and return the id of the flow."""
    (issue,) = (each for each in issues(time_lapse) if sensor_of(each) == sensor)
    form = await time_lapse.hass.data[REPAIRS]["flow_manager"].async_init(
        DOMAIN, data={"issue_id": issue.issue_id}
    )
    return str(form["flow_id"])


async def confirm(hass: HomeAssistant, flow_id: str) -> tuple[FlowResultType, str | None]:
    result = await hass.data[REPAIRS]["flow_manager"].async_configure(flow_id, {})
    return result["type"], result.get("reason")


async def has_right_sums(time_lapse: TimeLapse, register: Any) -> bool:
    """Return True if the sums continue over the outage."""
    hours = await time_lapse.hours(register)
    before, after = (hours[at(*time)] for time in (("12:00:00",), ("06:00:00", 12)))
    return bool(after.sum - before.sum == pytest.approx(after.state - before.state, abs=1))


async def test_sums_are_raised_after_the_statistics_were_purged(make_time_lapse: MakeTimeLapse) -> None:
    async with make_time_lapse(None) as time_lapse:
        await time_lapse.start()
        assert await async_setup_component(time_lapse.hass, "repairs", {})
        await time_lapse.run_until(at("09:27:20"))
        await time_lapse.hass.services.async_call("recorder", "purge", {"keep_days": 0}, blocking=True)
        await run_past_hours(time_lapse, 2)
        hours = await time_lapse.hours(EXPORT)
        assert hours[at("09:00:00")].change < 0
        issue = next(each for each in issues(time_lapse) if sensor_of(each) == time_lapse.sensor(EXPORT))
        placeholders = issue.translation_placeholders
        assert placeholders is not None
        assert placeholders["last_reading"] == placeholders["first_reading"]
        for key in ("shown", "counted", "raise_by"):
            assert re.fullmatch(r"-?\d+\.\d\d kWh", placeholders[key])
        flow_id = await begin_repair(time_lapse, time_lapse.sensor(EXPORT))
        assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.CREATE_ENTRY, None)
        await run_past_hours(time_lapse, 1)
        hours, truth = await time_lapse.hours(EXPORT), time_lapse.truth[EXPORT]
        changes = [hours[begin].change for begin in sorted(hours) if begin >= at("06:00:00")]
        expected = [truth[begin + HOUR] - truth[begin] for begin in sorted(hours) if begin >= at("06:00:00")]
        assert changes == pytest.approx(expected, abs=3)
        # The issue is not created again, and not for hours without a reset.
        assert [each for each in issues(time_lapse) if sensor_of(each) == time_lapse.sensor(EXPORT)] == []


async def test_reset_sum_is_found_beside_sensors_without_sums(make_time_lapse: MakeTimeLapse) -> None:
    async with make_time_lapse(None) as time_lapse:
        # Many of them, because the recorder returns their statistics in a random order.
        time_lapse.measurements = set(CurrentlyOneReader.units)
        await time_lapse.start()
        await time_lapse.run_until(at("09:27:20"))
        await time_lapse.hass.services.async_call("recorder", "purge", {"keep_days": 0}, blocking=True)
        await run_past_hours(time_lapse, 2)
        assert time_lapse.sensor(EXPORT) in {sensor_of(each) for each in issues(time_lapse)}


async def test_sums_are_raised_once_after_a_lock(time_lapse: TimeLapse) -> None:
    sensor, instance = time_lapse.sensor(EXPORT), get_instance(time_lapse.hass)
    assert await instance.lock_database()
    for _ in range(2):
        flow_id = await begin_repair(time_lapse, sensor)
        assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.ABORT, "database_problem")
    assert instance.unlock_database()
    await time_lapse.settle()
    flow_id = await begin_repair(time_lapse, sensor)
    assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.CREATE_ENTRY, None)
    await time_lapse.settle()
    assert await has_right_sums(time_lapse, EXPORT)
    assert not await has_right_sums(time_lapse, IMPORT)


@pytest.mark.smoke
async def test_sums_are_raised_once_by_two_dialogs(time_lapse: TimeLapse) -> None:
    flow_ids = [await begin_repair(time_lapse, time_lapse.sensor(EXPORT)) for _ in range(2)]
    results = await asyncio.gather(*(confirm(time_lapse.hass, flow_id) for flow_id in flow_ids))
    assert results == [(FlowResultType.CREATE_ENTRY, None)] * 2
    await time_lapse.settle()
    assert await has_right_sums(time_lapse, EXPORT)


async def test_sums_of_a_renamed_sensor_are_raised(time_lapse: TimeLapse) -> None:
    flow_id = await begin_repair(time_lapse, time_lapse.sensor(EXPORT))
    er.async_get(time_lapse.hass).async_update_entity(time_lapse.sensor(EXPORT), new_entity_id="sensor.sun")
    await time_lapse.settle()
    # The sums are checked every hour.
    await run_past_hours(time_lapse, 1)
    assert {sensor_of(each) for each in issues(time_lapse)} == {time_lapse.sensor(IMPORT), "sensor.sun"}
    assert len(issues(time_lapse)) == len(REGISTERS)
    assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.CREATE_ENTRY, None)
    await time_lapse.settle()
    assert await has_right_sums(time_lapse, EXPORT)


async def test_issue_is_created_again_after_a_restart(
    time_lapse: TimeLapse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [each.translation_placeholders for each in issues(time_lapse)]
    # The regular checks do not find a reset that is older.
    monkeypatch.setattr("custom_components.energy_sse.statistics.ROWS", 1)
    await time_lapse.stop()
    await time_lapse.start()
    await run_past_hours(time_lapse, 1)
    after = [each.translation_placeholders for each in issues(time_lapse)]
    assert sorted(map(str, after)) == sorted(map(str, before))


async def test_issue_in_diagnostics_contains_no_name(time_lapse: TimeLapse) -> None:
    """Home Assistant adds the issues of an integration to its diagnostics."""
    in_diagnostics = json.dumps([each.to_json() for each in issues(time_lapse)])
    assert_absent(in_diagnostics, time_lapse.entry.title, *map(sensor_of, issues(time_lapse)))


async def test_issue_ends_with_its_sensor_or_entry(time_lapse: TimeLapse) -> None:
    flow_id = await begin_repair(time_lapse, time_lapse.sensor(EXPORT))
    er.async_get(time_lapse.hass).async_remove(time_lapse.sensor(EXPORT))
    await time_lapse.settle()
    assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.CREATE_ENTRY, None)
    assert len(issues(time_lapse)) == 1
    await time_lapse.hass.config_entries.async_remove(time_lapse.entry.entry_id)
    assert issues(time_lapse) == []


async def test_issue_stays_ignored_after_a_reload(time_lapse: TimeLapse) -> None:
    ignored, other = issues(time_lapse)
    ir.async_ignore_issue(time_lapse.hass, DOMAIN, ignored.issue_id, ignore=True)
    await time_lapse.hass.config_entries.async_reload(time_lapse.entry.entry_id)
    await run_past_hours(time_lapse, 1)
    found = {each.issue_id: each.dismissed_version is not None for each in issues(time_lapse)}
    assert found == {ignored.issue_id: True, other.issue_id: False}


async def test_sums_of_a_disabled_entry_are_raised(time_lapse: TimeLapse) -> None:
    entry_id = time_lapse.entry.entry_id
    await time_lapse.hass.config_entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER)
    flow_id = await begin_repair(time_lapse, time_lapse.sensor(EXPORT))
    assert await confirm(time_lapse.hass, flow_id) == (FlowResultType.CREATE_ENTRY, None)
    await time_lapse.settle()
    assert await has_right_sums(time_lapse, EXPORT)
    assert [sensor_of(each) for each in issues(time_lapse)] == [time_lapse.sensor(IMPORT)]


@pytest.mark.parametrize("data", [{"entity": "sensor.export"}, {"statistic_id": "sensor.export"}], ids=str)
async def test_repair_without_a_recorder_changes_nothing(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, data: dict[str, str | int | float | None]
) -> None:
    assert await async_setup_component(hass, "repairs", {})
    entry = await set_up(hass, whatwatt)
    sensor = er.async_get(hass).async_get_or_create(
        "sensor", DOMAIN, "export", config_entry=entry, suggested_object_id="export"
    )
    assert sensor.entity_id == "sensor.export"
    ir.async_create_issue(
        hass,
        DOMAIN,
        "sum_restart",
        data={**data, "start": 1e9},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=Issue.SUM_RESET,
        translation_placeholders={},
    )
    form = await hass.data[REPAIRS]["flow_manager"].async_init(DOMAIN, data={"issue_id": "sum_restart"})
    assert await confirm(hass, form["flow_id"]) == (FlowResultType.ABORT, "database_problem")
