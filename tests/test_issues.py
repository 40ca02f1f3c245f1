"""Repair issues: other clients, meter keys, wrong clocks and other devices."""

import asyncio
from contextlib import suppress
from datetime import timedelta
import logging

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import ConnectionState

from .conftest import MakeTimeLapse, Start
from .home_assistant import entry_for, set_up, state_of, tick
from .logs import logged_messages
from .simulators import House, WhatwattSimulator
from .simulators.server import Simulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke


def issues(hass: HomeAssistant) -> dict[str, ir.IssueEntry]:
    found = ir.async_get(hass).issues.values()
    return {str(issue.translation_key): issue for issue in found if issue.domain == DOMAIN}


@pytest.fixture
def reader(house: House) -> WhatwattSimulator:
    """Return a whatwatt whose meter sends every five seconds."""
    return WhatwattSimulator(house, interval=5)


@pytest.fixture
async def live(reader: WhatwattSimulator, start: Start) -> WhatwattSimulator:
    """Return the reader while its meter sends by itself."""
    return await start(reader, live=True)


class OtherClient:
    """Another client, which opens the stream again whenever it loses it."""

    def __init__(self, reader: Simulator) -> None:
        self._reader = reader
        self.connects = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            stream, writer = await asyncio.open_connection("127.0.0.1", self._reader.port)
            writer.write(b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.connects += 1
            with suppress(ConnectionError):
                await stream.read(-1)
            writer.close()
            await asyncio.sleep(2)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


# ---------------------------------------------------------------------------------------- other clients


@pytest.mark.parametrize("license_type", [None, "PLUS"])
async def test_contention_is_an_issue_until_the_other_client_ends(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine, license_type: str | None
) -> None:
    live.license_type = license_type
    entry = await set_up(hass, live)
    await time_machine.advance(120)
    assert issues(hass) == {}
    other_client = OtherClient(live)
    await time_machine.advance(120)
    issue = issues(hass)["stream_contended"]
    assert issue.translation_placeholders == {
        "name": "Meter",
        "host": live.host,
        "url": f"http://{live.host}",
    }
    assert issue.learn_more_url is not None
    assert issue.learn_more_url.endswith("docs/troubleshooting.md#stream-contended")
    assert entry.runtime_data.coordinator.connection_state == ConnectionState.CONTENDED
    # The other client gets most of the data: we take the stream once in five minutes.
    connects, reports = other_client.connects, live.requests.count("GET /api/v1/report")
    await time_machine.advance(1800)
    assert 5 <= other_client.connects - connects <= 7
    reports = live.requests.count("GET /api/v1/report") - reports
    assert state_of(hass, "sensor", "ECC9FF5C7F14_meter_status").state == "ok"
    if license_type:
        # The values are polled at the interval of the meter, except during attempts.
        assert 300 <= reports <= 360
        assert state_of(hass, "sensor", "ECC9FF5C7F14_active_power_net").state != "unavailable"
    else:
        # Each attempt asks once whether polling is allowed.
        assert reports <= 7
    await other_client.stop()
    await time_machine.advance(400)
    assert issues(hass) == {}
    assert entry.runtime_data.coordinator.connection_state == ConnectionState.STREAMING
    assert state_of(hass, "sensor", "ECC9FF5C7F14_active_power_net").state != "unavailable"


async def test_loss_to_another_client_is_logged(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "custom_components.energy_sse")
    entry = await set_up(hass, live)
    hass.config_entries.async_update_entry(entry, title="Cellar")
    await hass.config_entries.async_reload(entry.entry_id)
    await time_machine.advance(120)
    other_client = OtherClient(live)
    await time_machine.advance(300)
    assert logged_messages(caplog) == ["Cellar sends no readings: stream contended"]
    await other_client.stop()


async def test_contention_ends_while_the_meter_sends_no_data(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    other_client = OtherClient(live)
    await time_machine.advance(120)
    assert "stream_contended" in issues(hass)
    live.meter_status = "NO DATA"
    await other_client.stop()
    await time_machine.advance(400)
    assert issues(hass) == {}


async def test_polled_values_expire_when_the_meter_sends_no_data(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.license_type = "PLUS"
    await set_up(hass, live)
    await time_machine.advance(60)
    other_client = OtherClient(live)
    await time_machine.advance(120)
    power = "ECC9FF5C7F14_active_power_net"
    assert state_of(hass, "sensor", power).state != "unavailable"
    live.meter_status = "NO DATA"
    await time_machine.advance(90)
    assert state_of(hass, "sensor", power).state == "unavailable"
    live.meter_status = "OK"
    await time_machine.advance(60)
    assert state_of(hass, "sensor", power).state != "unavailable"
    await other_client.stop()


async def test_polled_values_are_those_of_the_stream(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.license_type = "PLUS"
    entry = await set_up(hass, live)
    await time_machine.advance(60)
    before = dict(entry.runtime_data.coordinator.data.values)
    reading, interval = await entry.runtime_data.coordinator.reader.poll()
    assert interval == 5
    common = {key: value for key, value in reading.values.items() if key in before}
    assert len(common) >= 20
    live_now = live.live()
    assert reading.values["active_energy_import_t2"] == live_now["E_In_T2"]
    assert reading.values["active_power_import_l3"] == live_now["P_P3_In"]
    assert reading.values["voltage_l2"] == live_now["V_P2"]
    assert reading.values["reactive_power_export"] == live_now["rP_Out"]


async def test_new_password_during_contention_starts_reauth(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.license_type = "PLUS"
    await set_up(hass, live)
    other_client = OtherClient(live)
    await time_machine.advance(120)
    live.auth = WhatwattSimulator(live.house, password="new").auth
    await time_machine.advance(30)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == "reauth"
    await other_client.stop()


async def test_contention_ends_when_the_reader_is_offline(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.license_type = "PLUS"
    await set_up(hass, live)
    other_client = OtherClient(live)
    await time_machine.advance(120)
    assert "stream_contended" in issues(hass)
    await other_client.stop()
    await live.stop()
    await time_machine.advance(400)
    assert issues(hass) == {}


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("status", ["KEY REQUIRED", "ENCRYPTION KEY"])
async def test_missing_meter_key_is_an_issue_until_it_is_entered(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine, status: str
) -> None:
    live.meter_status = status
    await set_up(hass, live)
    await wait_until(lambda: issues(hass))
    assert set(issues(hass)) == {"meter_key_required"}
    live.meter_status = "OK"
    await time_machine.advance(400)
    assert issues(hass) == {}


# ---------------------------------------------------------------------------------------- wrong clocks


@pytest.mark.slow("wall_clock.py", "readings.py", "issues.py", "coordinator.py", "tests/time_lapse.py")
async def test_wrong_clock_is_an_issue_until_it_is_right(make_time_lapse: MakeTimeLapse) -> None:
    async with make_time_lapse(None) as time_lapse:
        reader = time_lapse.reader
        reader.clock_error = timedelta(hours=-1)
        await time_lapse.start()
        await time_lapse.run_for(minutes=9)
        assert issues(time_lapse.hass) == {}
        await time_lapse.run_for(minutes=5)
        issue = issues(time_lapse.hass)["reader_clock_wrong"]
        assert issue.translation_placeholders is not None
        assert issue.translation_placeholders["difference"] == "1:00:00"
        assert not issue.is_fixable
        reader.clock_error = timedelta()
        await time_lapse.run_for(minutes=4)
        assert issues(time_lapse.hass) == {}
        # A clock can be wrong for some minutes after a start.
        reader.clock_error = timedelta(hours=1)
        await time_lapse.run_for(minutes=8)
        reader.clock_error = timedelta()
        await time_lapse.run_for(minutes=30)
        assert issues(time_lapse.hass) == {}


@pytest.mark.slow("wall_clock.py", "readings.py", "issues.py", "coordinator.py", "tests/time_lapse.py")
async def test_error_of_years_is_shown_in_hours(make_time_lapse: MakeTimeLapse) -> None:
    """A number of days would need a translated word."""
    async with make_time_lapse(None) as time_lapse:
        time_lapse.reader.clock_error = timedelta(days=-400, minutes=-5)
        await time_lapse.start()
        await time_lapse.run_for(minutes=14)
        placeholders = issues(time_lapse.hass)["reader_clock_wrong"].translation_placeholders
        assert placeholders is not None
        assert placeholders["difference"] == "9600:05:00"


async def test_wrong_clock_of_a_whatwatt_is_not_an_issue(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    live.house.clock -= timedelta(hours=5)
    await set_up(hass, live)
    await time_machine.advance(900)
    assert issues(hass) == {}


# ---------------------------------------------------------------------------------------- wrong devices


async def test_other_device_is_an_issue_until_the_reader_is_back(
    hass: HomeAssistant, live: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    mine = live.device_id
    await set_up(hass, live)
    await time_machine.advance(30)
    live.device_id, live.name = "ECC9FF8A2B30", "Cellar"
    live.end_streams()
    await time_machine.advance(60)
    issue = issues(hass)["wrong_device"]
    expected = {
        "name": "Meter",
        "reader": r"Meter \(whatwatt Go\)",
        "host": live.host,
        "url": f"http://{live.host}",
        "found": r"Cellar \(whatwatt Go\)",
    }
    assert issue.translation_placeholders == expected
    live.device_id = mine
    await time_machine.advance(400)
    assert issues(hass) == {}


async def test_repair_of_another_device_opens_reconfigure(
    hass: HomeAssistant, live: WhatwattSimulator, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    assert await async_setup_component(hass, "repairs", {})
    entry = await set_up(hass, live)
    live.device_id, live.name = "ECC9FF8A2B30", "Cellar"
    live.end_streams()
    await time_machine.advance(60)
    issue = issues(hass)["wrong_device"]
    flows = hass.data[REPAIRS]["flow_manager"]
    form = await flows.async_init(DOMAIN, data={"issue_id": issue.issue_id})
    assert (form["type"], form["step_id"]) == (FlowResultType.FORM, "confirm")
    assert form["description_placeholders"] == issue.translation_placeholders
    done = await flows.async_configure(form["flow_id"], {})
    assert done["type"] is FlowResultType.ABORT
    assert "wrong_device" in issues(hass), "the address is still the old one"
    kind, flow_id = done["next_flow"]
    assert kind == "config_flow"
    flow = hass.config_entries.flow.async_get(flow_id)
    assert (flow["step_id"], flow["context"]["entry_id"]) == ("reconfigure", entry.entry_id)
    result = await hass.config_entries.flow.async_configure(flow_id, {"host": whatwatt.host})
    assert result["reason"] == "reconfigure_successful"
    await wait_until(lambda: whatwatt.streams)
    assert issues(hass) == {}


async def test_other_device_is_an_issue_during_a_setup(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt)
    protected_whatwatt.device_id = "ECC9FF8A2B30"
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.reason == "Another device responds at the address of the reader"
    assert protected_whatwatt.stream_count == 0
    assert set(issues(hass)) == {"wrong_device"}
    await hass.config_entries.async_remove(entry.entry_id)
    assert issues(hass) == {}


# --------------------------------------------------------------------------------------------- registers


async def test_wrong_zero_after_a_restart_is_rejected(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their first zero is rejected, too.
    whatwatt.missing_keys = {"rEii", "rEei"}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    energy = "ECC9FF5C7F14_active_energy_import"
    before = state_of(hass, "sensor", energy).state
    await hass.config_entries.async_unload(entry.entry_id)
    right = whatwatt.live
    monkeypatch.setattr(whatwatt, "live", lambda: {**right(), "E_In": 0})
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", energy).state == "unavailable"
    assert entry.runtime_data.coordinator.readings.validator.rejected == {"zero": 1}
    monkeypatch.setattr(whatwatt, "live", right)
    await tick(hass, whatwatt)
    assert float(state_of(hass, "sensor", energy).state) >= float(before)
