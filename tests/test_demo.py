"""Houses, ports and readers of the demo."""

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
import re
import socket

from homeassistant.components.frontend.storage import async_setup_frontend_storage
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import async_wait_recording_done
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.const import DOMAIN
from demo import __main__ as demo, power_tariff
from demo.home_assistant import HomeAssistantApi, free_port
from demo.houses import CASA_MIA, FAST_DAY, PAST, beginning_of_the_past, make_readers
from demo.past import TARIFF, Past
from demo.replayed import ReplayedScenario
from demo.simulated import SimulatedScenario, delete_incomplete, is_incomplete

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator
from .simulators.household import Household
from .simulators.recordings import read_all
from .wait import wait_until

pytestmark = pytest.mark.slow("demo/*", "tests/simulators/*")

RECORDINGS = Path(__file__).parent / "recordings"


BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


async def test_registers_continue_after_a_restart() -> None:
    readers = make_readers(BEGIN)
    later = make_readers(BEGIN)
    for before, after in zip(readers, later, strict=True):
        # The demo sends readings until it stops. It starts again an hour later.
        await Past(before).run_until(before.house.clock + timedelta(hours=30))
        for _ in range(100):
            await before.tick(2)
        await Past(after).run_until(before.house.clock + timedelta(hours=1))
        for register in ("active_import", "active_export"):
            for tariff, old in getattr(before.house, register).items():
                assert getattr(after.house, register)[tariff] >= old
        assert sum(after.house.active_import.values()) > sum(before.house.active_import.values())
        for register in ("reactive_export", "solar_energy", "gas"):
            assert getattr(after.house, register) >= getattr(before.house, register)
        for tariff, old in before.house.maximum_demand.items():
            assert after.house.maximum_demand[tariff] >= old
        appliances = zip(before.house.appliances, after.house.appliances, strict=True)
        assert all(later.energy >= earlier.energy for earlier, later in appliances)


def test_beginning_of_the_past_is_stored(tmp_path: Path) -> None:
    begin = beginning_of_the_past(tmp_path / "begin.json")
    # The day on which summer time began has 23 hours.
    assert PAST - timedelta(hours=1) <= datetime.now(UTC) - begin <= PAST + timedelta(hours=25)
    (tmp_path / "begin.json").write_text('"2026-11-01T00:00:00+01:00"')
    assert beginning_of_the_past(tmp_path / "begin.json") == datetime(2026, 10, 31, 23, tzinfo=UTC)


def test_houses_have_different_numbers() -> None:
    registers = [sum(reader.house.active_import.values()) for reader in make_readers(BEGIN)]
    assert len({round(register / 1000) for register in registers}) == 3


async def test_fast_houses_have_a_past_in_real_time() -> None:
    casa_mia, *_ = make_readers(datetime.now(UTC) - timedelta(hours=5), is_fast=True)
    house = casa_mia.house
    assert isinstance(house, Household)
    await Past(casa_mia).run_until(datetime.now(UTC))
    began = house.local_time(house.clock).astimezone(UTC)
    await casa_mia.advance(FAST_DAY)
    passed = house.local_time(house.clock).astimezone(UTC) - began
    assert passed == pytest.approx(timedelta(days=1), abs=timedelta(minutes=1))


def test_start_that_has_ended_early_is_incomplete(tmp_path: Path) -> None:
    assert not is_incomplete(tmp_path)
    beginning_of_the_past(tmp_path / "begin.json")
    (tmp_path / "config").mkdir()
    assert is_incomplete(tmp_path)
    (tmp_path / "complete").touch()
    assert not is_incomplete(tmp_path)


def test_data_of_an_incomplete_start_is_deleted(tmp_path: Path) -> None:
    beginning_of_the_past(tmp_path / "begin.json")
    (tmp_path / "config").mkdir()
    (tmp_path / "other").touch()
    delete_incomplete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert not is_incomplete(tmp_path)


async def test_guide_shows_the_next_runs(tmp_path: Path) -> None:
    (tmp_path / "begin.json").write_text(f'"{datetime.now(UTC) - timedelta(hours=2)}"')
    scenario = await SimulatedScenario.with_past(tmp_path, is_fast=False)
    hosts = {reader.device_id: "192.0.2.7:8183" for reader in scenario.readers}
    guide = scenario.guide("http://ha", hosts, is_announced=True)
    assert "http://ha/energy: " in guide
    assert "192.0.2.7:8183" in guide
    assert re.search(
        r"\nNext: (Mocca Master|Stove|Dishwasher|Washing machine|Car)( tomorrow)? at \d\d:\d\d", guide
    )


def test_another_port_is_used_when_one_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = free_port(port, "127.0.0.1", "Home Assistant")
    assert other not in (0, port)
    assert f"Port {port} is in use here; Home Assistant takes {other}." in capsys.readouterr().out


async def test_recordings_are_added_as_readers(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    hass_access_token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "own_address", lambda: None)
    for component in ("config", "websocket_api"):
        assert await async_setup_component(hass, component, {})
    client = await hass_client()
    recordings = read_all(RECORDINGS / f"{kind}_simulated.log" for kind in ("whatwatt", "currentlyone"))
    async with AsyncExitStack() as stack:
        scenario = ReplayedScenario(recordings, speed=1000, loop=False)
        hosts = await demo.start(stack, scenario.readers)
        api = await stack.enter_async_context(HomeAssistantApi(f"http://127.0.0.1:{client.port}"))
        api.use_tokens({"access_token": hass_access_token})
        await demo.add_readers(api, scenario, hosts, is_announced=False)
        entries = hass.config_entries.async_entries("energy_sse")
        assert {entry.unique_id for entry in entries} == set(scenario.added)
        await wait_until(lambda: all(entry.runtime_data.coordinator.data.measurements for entry in entries))
        for entry in entries:
            assert await hass.config_entries.async_unload(entry.entry_id)


async def test_power_tariff_of_the_demo_is_added(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    hass_access_token: str,
    currentlyone: CurrentlyOneSimulator,
) -> None:
    for component in ("config", "websocket_api"):
        assert await async_setup_component(hass, component, {})
    client = await hass_client()
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    async with HomeAssistantApi(f"http://127.0.0.1:{client.port}") as api:
        api.use_tokens({"access_token": hass_access_token})
        await power_tariff.set_up(api, entry.entry_id)
    (subentry,) = entry.subentries.values()
    assert subentry.data.items() >= {"interval": "60", "peaks": 3, "one_per_day": True, "price": 12}.items()


@pytest.mark.parametrize("is_fast", [False, True], ids=["real time", "fast"])
@pytest.mark.stored_files
@pytest.mark.parametrize("persistent_database", [True])
@pytest.mark.usefixtures("recorder_mock")
async def test_past_of_the_demo_joins_the_present(
    recorder_db_url: str,
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    hass_access_token: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    tmp_path: Path,
    is_fast: bool,
) -> None:
    monkeypatch.setattr(demo, "own_address", lambda: None)
    config = Path(hass.config.config_dir)
    (tmp_path / "config").symlink_to(config)
    (config / "home-assistant_v2.db").symlink_to(recorder_db_url.removeprefix("sqlite:///"))
    (config / "configuration.yaml").write_text("automation: !include automations.yaml")
    (config / "automations.yaml").write_text("[]")
    for component in ("api", "config", "websocket_api", "history", "energy", "automation", "lovelace"):
        assert await async_setup_component(hass, component, {})
    await async_setup_frontend_storage(hass)
    client = await hass_client()
    now = datetime.now(UTC)
    begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    pasts = [Past(reader) for reader in make_readers(begin, is_fast=is_fast)]
    for past in pasts:
        await past.run_until(now)
    scenario = SimulatedScenario(pasts, tmp_path, is_fast=is_fast)
    async with AsyncExitStack() as stack:
        hosts = await demo.start(stack, scenario.readers)
        api = await stack.enter_async_context(HomeAssistantApi(f"http://127.0.0.1:{client.port}"))
        api.use_tokens({"access_token": hass_access_token})
        await demo.add_readers(api, scenario, hosts, is_announced=False)
        await scenario.run(stack, api)
        await wait_until(lambda: not is_incomplete(tmp_path))
        await async_wait_recording_done(hass)
        casa_mia = hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, CASA_MIA)
        assert casa_mia is not None
        (tracker,) = casa_mia.runtime_data.tariffs.values()
        await wait_until(lambda: tracker.monthly_peaks)
        assert len(casa_mia.runtime_data.coordinator.histories.for_power_tariffs.boundaries) >= 30
        assert [state.state for state in hass.states.async_all("automation")] == ["on"] * 3
        automation = await api.get("/api/config/automation/config/demo_dishwasher")
        # The runs of a fast house are shorter than the blueprint's default.
        assert ("minimum_minutes" in automation["use_blueprint"]["input"]) is is_fast
        assert replace(tracker.tariff, price=0.0) == TARIFF
        if not is_fast:
            # Soon after the start, the states of a fast house are no longer the first ones.
            await check_sums(hass, api, begin)
        await check_means(api, pasts[0])
        await check_states(api, pasts[0], now)
        shown = await api.command("lovelace/config", url_path="casa-mia")
        assert "sensor.casa_mia_net_power" in str(shown)
        for entry in hass.config_entries.async_entries(DOMAIN):
            assert await hass.config_entries.async_unload(entry.entry_id)


async def check_sums(hass: HomeAssistant, api: HomeAssistantApi, begin: datetime) -> None:
    """Compare the imported registers with the states."""
    statistics = await api.command(
        "recorder/statistics_during_period",
        start_time=begin.isoformat(),
        statistic_ids=[
            "sensor.casa_mia_energy_import",
            "sensor.heat_pump_energy",
            "sensor.solar_energy",
            "sensor.sub_meter_71203344",
        ],
        period="hour",
        types=["state", "sum"],
    )
    for entity_id, hours in statistics.items():
        assert len(hours) == 30, entity_id
        # The recorder's sum begins at zero with the first state, and the imported sums end there.
        state = hass.states.get(entity_id)
        assert state is not None
        first = float(state.state)
        assert hours[-1]["sum"] == pytest.approx(hours[-1]["state"] - first, abs=0.05)
        assert hours[0]["sum"] < hours[-1]["sum"]
    assert len(statistics) == 4


async def check_means(api: HomeAssistantApi, past: Past) -> None:
    """Compare the imported means with the past."""
    means = await api.command(
        "recorder/statistics_during_period",
        start_time=past.begin.isoformat(),
        end_time=(past.begin + timedelta(hours=30)).isoformat(),
        statistic_ids=["sensor.casa_mia_voltage_l1", "sensor.power_tariff_demand"],
        period="hour",
        types=["mean"],
    )
    registers = past.totals[f"{CASA_MIA}_active_energy_import"]
    assert [hour["mean"] for hour in means["sensor.power_tariff_demand"]] == pytest.approx(
        [after - before for before, after in pairwise(registers)], abs=1e-6
    )
    assert all(220 < hour["mean"] < 260 for hour in means["sensor.casa_mia_voltage_l1"])
    assert len(means["sensor.casa_mia_voltage_l1"]) == 30


async def check_states(api: HomeAssistantApi, past: Past, now: datetime) -> None:
    """Compare the states that were inserted into the database with another house."""
    begin = past.begin
    begin_and_end = f"{begin:%Y-%m-%dT%H:%M:%SZ}?end_time={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    running = f"{begin_and_end}&filter_entity_id=binary_sensor.heat_pump_running"
    (states,) = await api.get(f"/api/history/period/{running}")
    shown_hours = {state["last_changed"][:13] for state in states if state["state"] == "on"}
    house, hours_with_heat_pump, net_power = Household(clock=begin, seed=1), set[str](), {}
    while house.clock < now - timedelta(minutes=1):
        list(house.advance(60))
        if house.clock.minute % 5 == 0:
            net_power[house.clock] = str(round(house.net_power))
        heat_pump = next(each for each in house.appliances if each.id == "heat_pump")
        # The states have local times, which cannot name an hour that the end of summer time repeats.
        if heat_pump.index and not house.local_time(house.clock).fold:
            hours_with_heat_pump.add(house.clock.isoformat()[:13])
    assert hours_with_heat_pump
    # At its ends, the period can contain a part of a run without its beginning.
    assert hours_with_heat_pump - shown_hours <= {time.isoformat()[:13] for time in (begin, now)}
    powers = f"{begin_and_end}&filter_entity_id=sensor.casa_mia_net_power"
    (states,) = await api.get(f"/api/history/period/{powers}")
    shown = {datetime.fromisoformat(each["last_changed"]): each["state"] for each in states}
    last_day = {time: power for time, power in net_power.items() if time > now - timedelta(hours=24)}
    assert len(last_day) > 280
    assert last_day.items() <= shown.items()
