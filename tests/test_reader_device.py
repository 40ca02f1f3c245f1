"""Device of a reader: status, connection, restart, clocks."""

from datetime import timedelta

from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest

from custom_components.energy_sse.reader import (
    Measurement as M,
    Reason,
    connection,
    currentlyone as currentlyone_module,
    whatwatt as whatwatt_module,
)

from .home_assistant import entity_id, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

WHATWATT = "ECC9FF5C7F14"
CURRENTLYONE = "b8b41879cf58"


@pytest.fixture
def _status_with_every_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request the status of a whatwatt after every reading."""
    monkeypatch.setattr(whatwatt_module, "_STATUS_INTERVAL", 0)


def shown(hass: HomeAssistant, key: str, *, reader: str = WHATWATT, platform: str = "sensor") -> str:
    return state_of(hass, platform, f"{reader}_{key}").state


@pytest.mark.usefixtures("every_entity_enabled")
async def test_status_of_a_whatwatt_is_shown(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.license_type = "PLUS"
    await set_up(hass, whatwatt)
    await hass.async_block_till_done()
    assert shown(hass, "meter_status") == "ok"
    assert shown(hass, "meter_interface") == "mbus"
    assert shown(hass, "signal_strength") == "-57"
    assert shown(hass, "supply_voltage_usb") == "5.16"
    assert shown(hass, "report_interval") == "5.0"
    assert shown(hass, "licence") == "plus"
    last_restart = dt_util.parse_datetime(shown(hass, "last_restart"))
    assert last_restart is not None
    age = dt_util.utcnow() - last_restart
    assert abs(age - timedelta(seconds=whatwatt.uptime)) < timedelta(minutes=2)


@pytest.mark.usefixtures("every_entity_enabled")
async def test_status_of_a_currentlyone_is_shown(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    await set_up(hass, currentlyone)
    await wait_until(lambda: entity_id(hass, "sensor", f"{CURRENTLYONE}_mode"))
    await hass.async_block_till_done()
    assert shown(hass, "mode", reader=CURRENTLYONE) == "han"
    assert shown(hass, "signal_strength", reader=CURRENTLYONE) == "-82"
    assert shown(hass, "restart_reason", reader=CURRENTLYONE) == "SW"
    assert shown(hass, "price_area", reader=CURRENTLYONE) == "SE2"
    assert entity_id(hass, "button", f"{CURRENTLYONE}_restart") is None


@pytest.mark.usefixtures("_status_with_every_reading")
async def test_unknown_status_is_an_attribute(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    system = whatwatt.system()
    system["meter"]["status"] = "SUPERCONDUCTING"
    whatwatt.system = lambda: system  # type: ignore[method-assign] # a device that changes
    await tick(hass, whatwatt)
    await wait_until(lambda: shown(hass, "meter_status") == "unknown")
    state = state_of(hass, "sensor", f"{WHATWATT}_meter_status")
    assert state.attributes["reported"] == "SUPERCONDUCTING"
    del system["meter"]["status"]
    await tick(hass, whatwatt)
    await wait_until(lambda: shown(hass, "meter_status") == "unavailable")


@pytest.mark.usefixtures("every_entity_enabled", "_status_with_every_reading")
async def test_enabled_cloud_services_have_entities(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.clouds["whatwatt"] = True
    await set_up(hass, whatwatt)
    await hass.async_block_till_done()
    assert shown(hass, "cloud_whatwatt", platform="binary_sensor") == "on"
    assert entity_id(hass, "binary_sensor", f"{WHATWATT}_cloud_mqtt") is None
    whatwatt.clouds = {"whatwatt": False, "mqtc": True}
    await tick(hass, whatwatt)
    await wait_until(lambda: entity_id(hass, "binary_sensor", f"{WHATWATT}_cloud_mqtt"))
    await hass.async_block_till_done()
    assert shown(hass, "cloud_mqtt", platform="binary_sensor") == "on"
    assert shown(hass, "cloud_whatwatt", platform="binary_sensor") == "unavailable"
    whatwatt.has_internet = False
    await tick(hass, whatwatt)
    await wait_until(lambda: shown(hass, "cloud_mqtt", platform="binary_sensor") == "off")


async def test_technical_sensors_are_disabled_by_default(
    hass: HomeAssistant, entity_registry: er.EntityRegistry, whatwatt: WhatwattSimulator
) -> None:
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    for key in ("signal_strength", "supply_voltage_p1", "reactive_power_export", "power_factor"):
        found = entity_id(hass, "sensor", f"{WHATWATT}_{key}")
        assert found is not None
        entry = entity_registry.async_get(found)
        assert entry is not None
        assert entry.disabled_by is er.RegistryEntryDisabler.INTEGRATION


async def test_connection_shows_stream_and_freshness(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connection_state() -> tuple[str, str]:
        state = state_of(hass, "binary_sensor", f"{WHATWATT}_connection")
        return state.state, state.attributes["readings"]

    await set_up(hass, whatwatt)
    await hass.async_block_till_done()
    assert connection_state() == ("on", "stale")
    await tick(hass, whatwatt)
    assert connection_state() == ("on", "fresh")
    await time_machine.advance(120)
    assert connection_state() == ("on", "stale")
    await tick(hass, whatwatt)
    monkeypatch.setattr(connection, "_MIN_WAIT", 300)
    await whatwatt.stop()
    await wait_until(lambda: connection_state() == ("off", "fresh"))
    await time_machine.advance(400)
    assert connection_state() == ("off", "stale")
    assert shown(hass, "active_power_import") == "unavailable"
    assert shown(hass, "meter_status") == "unavailable"


async def press(hass: HomeAssistant) -> None:
    button = entity_id(hass, "button", f"{WHATWATT}_restart")
    await hass.services.async_call("button", "press", {ATTR_ENTITY_ID: button}, blocking=True)


async def test_restart_button_restarts_the_reader(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    await set_up(hass, protected_whatwatt)
    await press(hass)
    assert "POST /api/v1/reboot" in protected_whatwatt.requests
    assert protected_whatwatt.uptime == 0
    await wait_until(lambda: protected_whatwatt.stream_count == 2 and protected_whatwatt.streams)


async def test_failed_restart_has_a_reason(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    await set_up(hass, whatwatt)
    await whatwatt.stop()
    with pytest.raises(HomeAssistantError) as raised:
        await press(hass)
    assert raised.value.translation_key in (Reason.CONNECTION_REFUSED, Reason.CONNECTION_CLOSED)


@pytest.mark.parametrize("zone", ["Europe/Zurich", "UTC", "Asia/Kathmandu"])
async def test_clock_of_a_whatwatt_is_local_time(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, zone: str
) -> None:
    await hass.config.async_set_time_zone(zone)
    entry = await set_up(hass, whatwatt)
    late = dt_util.now() - timedelta(seconds=90)
    payload = f'{{"P_In":1,"Date":"{late:%Y-%m-%d}","Time":"{late:%H:%M:%S}"}}'
    await whatwatt.broadcast(f"event: live\ndata: {payload}\n\n".encode())
    await wait_until(lambda: M.READER_CLOCK_OFFSET in entry.runtime_data.coordinator.data.values)
    assert -93 <= entry.runtime_data.coordinator.data.values[M.READER_CLOCK_OFFSET] <= -89


async def test_clocks_of_a_currentlyone_and_its_meter_are_shown(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(currentlyone_module, "_REPLAY_DURATION", 0)
    entry = await set_up(hass, currentlyone)
    now = dt_util.utcnow()
    reader, meter = now + timedelta(seconds=20), now - timedelta(hours=1)
    # Swedish meters write +0100 all year.
    written = f"{meter + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+0100"
    state = f'{{"m":"HAN","W":1,"t":"{written}","sec":{int(reader.timestamp()) + 86400}}}'
    await currentlyone.broadcast(f"event: state\r\ndata: {state}\r\n\r\n".encode())
    await wait_until(lambda: M.METER_CLOCK_OFFSET in entry.runtime_data.coordinator.data.values)
    values = entry.runtime_data.coordinator.data.values
    assert values[M.READER_CLOCK_OFFSET] == pytest.approx(86400 + 20, abs=3)
    assert values[M.METER_CLOCK_OFFSET] == pytest.approx(-3600, abs=3)
