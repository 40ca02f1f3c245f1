"""What the demo does besides running Home Assistant."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
import socket

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from demo import __main__ as demo
from demo.home_assistant import HomeAssistantApi, free_port
from demo.houses import LONGEST_STATE, load, make_readers, save
from demo.replayed import ReplayedShow

from .simulators.recordings import read_all
from .wait import wait_until

pytestmark = pytest.mark.slow("demo/*", "tests/simulators/*")

RECORDINGS = Path(__file__).parent / "recordings"


async def test_meters_go_on_where_they_stopped_and_never_back(tmp_path: Path) -> None:
    path = tmp_path / "houses.json"
    readers = make_readers()
    for reader in readers:
        await reader.tick(500)
        # As if that had been a while ago.
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


async def test_first_start_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    readers = make_readers()
    await load(tmp_path / "houses.json", readers)
    assert sum(readers[0].house.active_import.values()) == 10_526_027


async def test_every_appliance_of_the_demo_changes_while_somebody_watches() -> None:
    for reader in make_readers():
        changed = {change.appliance.id for change in reader.house.advance(LONGEST_STATE)}
        assert changed == {appliance.id for appliance in reader.house.appliances}


def test_what_the_roof_gives_and_the_meter_counts_is_what_the_appliances_draw_and_a_little_more() -> None:
    for reader in make_readers():
        house = reader.house
        for _ in range(LONGEST_STATE):
            list(house.advance(10))
            drawn = sum(appliance.state.power for appliance in house.appliances)
            # From the meter's own range of what is always on: 60 to 110 W on the first phase, and so on.
            assert 6 * 60 <= house.net_power + house.solar_power - drawn <= 6 * 110


def test_port_in_use_is_said_and_another_one_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = free_port(port, "127.0.0.1", "Home Assistant")
    assert other not in (0, port)
    assert f"Port {port} is in use here; Home Assistant takes {other}." in capsys.readouterr().out


async def test_readers_of_recordings_are_added_and_play(
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
        show = ReplayedShow(recordings, speed=1000, loop=False)
        hosts = await demo.start(stack, show.readers)
        api = await stack.enter_async_context(HomeAssistantApi(f"http://127.0.0.1:{client.port}"))
        api.use_tokens({"access_token": hass_access_token})
        await demo.add_readers(api, show, hosts, is_announced=False)
        entries = hass.config_entries.async_entries("energy_sse")
        assert {entry.unique_id for entry in entries} == set(show.added)
        await wait_until(lambda: all(entry.runtime_data.coordinator.data.values for entry in entries))
        for entry in entries:
            assert await hass.config_entries.async_unload(entry.entry_id)
