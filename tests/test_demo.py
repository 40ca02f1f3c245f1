"""Houses, ports and readers of the demo."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
import socket

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from demo import __main__ as demo, power_tariff
from demo.home_assistant import HomeAssistantApi, free_port
from demo.houses import MAX_STATE, load, make_readers, save
from demo.replayed import ReplayedScenario

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator
from .simulators.recordings import read_all
from .wait import wait_until

pytestmark = pytest.mark.slow("demo/*", "tests/simulators/*")

RECORDINGS = Path(__file__).parent / "recordings"


async def test_registers_continue_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "houses.json"
    readers = make_readers()
    for reader in readers:
        await reader.tick(500)
        # The demo was off for three hours.
        reader.house.clock -= timedelta(hours=3)
    save(path, readers)
    later = make_readers()
    await load(path, later)
    for before, after in zip(readers, later, strict=True):
        for register in ("active_import", "active_export"):
            old, new = (sum(getattr(reader.house, register).values()) for reader in (before, after))
            assert new > old
        assert after.house.reactive_export > before.house.reactive_export
        assert after.house.solar_energy > before.house.solar_energy
        assert [a.energy for a in after.house.appliances] > [a.energy for a in before.house.appliances]


async def test_each_appliance_changes_within_a_minute() -> None:
    for reader in make_readers():
        changed = {change.appliance.id for change in reader.house.advance(MAX_STATE)}
        assert changed == {appliance.id for appliance in reader.house.appliances}


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
    hass.config_entries.async_update_entry(entry, title="Casa Mia")
    await tick(hass, currentlyone)
    async with HomeAssistantApi(f"http://127.0.0.1:{client.port}") as api:
        api.use_tokens({"access_token": hass_access_token})
        await power_tariff.set_up(api)
    (subentry,) = entry.subentries.values()
    assert subentry.data.items() >= {"interval": "60", "peaks": 3, "one_per_day": True}.items()
