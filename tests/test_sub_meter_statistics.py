"""Statistics of sub-meters, with a real recorder: in the unit that their owner has chosen."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from freezegun import api as freezegun_api, freeze_time
from homeassistant.components.recorder.statistics import list_statistic_ids, statistics_during_period
from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.components.sensor import SensorStateClass
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import async_wait_recording_done
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager, WebSocketGenerator

from custom_components.energy_sse.const import CONF_SUB_METERS, CONF_WRITE_INTERVAL, DOMAIN

from .home_assistant import entity_id, entry_for, state_of, tick
from .readers import WhatwattSimulator
from .waiting import until

pytestmark = pytest.mark.smoke

METER = "20000741"
UNIQUE_ID = f"ECC9FF5C7F14:counter:{METER}"
SENSOR = "sensor.counter_20000741"
FIVE_MINUTES = timedelta(minutes=5)


@pytest.fixture
async def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder come before Home Assistant, which the shared fixtures already want."""


@pytest.fixture
async def clock() -> AsyncGenerator[Any]:
    """Return a clock that goes on and can be put forward; the event loop's is left alone."""
    loop = asyncio.get_running_loop()
    with (
        freeze_time(datetime(2026, 11, 20, 10, 1, tzinfo=UTC), tick=True) as clock,
        patch.object(loop, "time", freezegun_api.real_monotonic),
    ):
        yield clock


class Home:
    """A Home Assistant with a recorder, and a whatwatt whose meter passes on a sub-meter."""

    def __init__(self, hass: HomeAssistant, reader: WhatwattSimulator, clock: Any) -> None:
        self.hass = hass
        self.entry: MockConfigEntry = entry_for(reader)
        self._reader = reader
        self._clock = clock

    async def start(self, kind: str | None = None) -> None:
        """Set the reader up, with what was chosen for its sub-meter."""
        self.entry.add_to_hass(self.hass)
        options = {} if kind is None else {CONF_SUB_METERS: {METER: kind}}
        self.hass.config_entries.async_update_entry(self.entry, options=options)
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        await until(lambda: self._reader.streams)

    async def choose(self, kind: str) -> None:
        """Choose in the options what the sub-meter counts."""
        flow = await self.hass.config_entries.options.async_init(self.entry.entry_id)
        await self.hass.config_entries.options.async_configure(
            flow["flow_id"], {CONF_WRITE_INTERVAL: "0", CONF_SUB_METERS: {METER: kind}}
        )
        await self.hass.async_block_till_done()
        await self.listen()

    async def listen(self) -> None:
        """Wait until the reader has been connected to again."""
        await until(lambda: self._reader.streams)

    async def count(self, *values: float) -> None:
        """Let the sub-meter count through the values, and the recorder close five minutes after each."""
        for value in values:
            self._reader.sub_meters = {METER: value}
            await tick(self.hass, self._reader)
            await async_wait_recording_done(self.hass)
            now = datetime.now(UTC)
            start = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
            self._clock.tick(FIVE_MINUTES)
            get_instance(self.hass).queue_task(StatisticsTask(start, fire_events=True))
            await async_wait_recording_done(self.hass)
            await async_wait_recording_done(self.hass)

    async def unit(self) -> str | None:
        """Return the unit of the statistics; fail if there are none."""
        (metadata,) = await get_instance(self.hass).async_add_executor_job(
            list_statistic_ids, self.hass, {self.sensor}
        )
        unit: str | None = metadata["statistics_unit_of_measurement"]
        return unit

    async def sums(self) -> list[float]:
        """Return the sums of all five minutes, as they are stored."""
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            datetime.now(UTC) - timedelta(days=1),
            None,
            {self.sensor},
            "5minute",
            {"volume": "m³"},
            {"sum"},
        )
        return [round(row["sum"] or 0.0, 6) for row in rows.get(self.sensor, [])]

    @property
    def sensor(self) -> str:
        """The id of the sub-meter's sensor."""
        found = entity_id(self.hass, "sensor", UNIQUE_ID)
        assert found is not None
        return found


@pytest.fixture
async def home(recorder_mock: None, hass: HomeAssistant, whatwatt: WhatwattSimulator, clock: Any) -> Home:
    assert await async_setup_component(hass, "energy", {})
    return Home(hass, whatwatt, clock)


async def problems(hass_ws_client: WebSocketGenerator, home: Home) -> Any:
    """Return what the page of statistics and the Energy dashboard's gas complain about."""
    client = await hass_ws_client()
    await client.send_json_auto_id({"type": "recorder/validate_statistics"})
    statistics = (await client.receive_json())["result"]
    gas = {
        "type": "gas",
        "stat_energy_from": home.sensor,
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
    }
    await client.send_json_auto_id({"type": "energy/save_prefs", "energy_sources": [gas]})
    assert (await client.receive_json())["success"]
    await client.send_json_auto_id({"type": "energy/validate"})
    return {**statistics, "energy": (await client.receive_json())["result"]["energy_sources"]}


NO_PROBLEMS: dict[str, list[list[str]]] = {"energy": [[]]}


def register_sensor(home: Home, **capabilities: Any) -> None:
    """Leave the sensor in the registry, as an earlier run of Home Assistant did."""
    er.async_get(home.hass).async_get_or_create(
        "sensor", DOMAIN, UNIQUE_ID, suggested_object_id="counter_20000741", capabilities=capabilities
    )


# Plain numbers had statistics at first.
AS_IT_WAS = {"state_class": SensorStateClass.TOTAL_INCREASING}


async def test_sub_meter_has_no_statistics_until_somebody_says_what_it_counts(home: Home) -> None:
    await home.start()
    await home.count(100, 100.5)
    assert "state_class" not in state_of(home.hass, "sensor", UNIQUE_ID).attributes
    assert await home.sums() == []


async def test_gas_can_be_chosen_in_the_energy_dashboard_as_soon_as_it_is_gas(
    home: Home, hass_ws_client: WebSocketGenerator
) -> None:
    await home.start()
    await home.count(100)
    await home.choose("gas")
    await home.count(101, 102, 103.5)
    assert await home.unit() == "m³"
    # In the five minutes in which it became gas, only what it was before counts.
    assert await home.sums() == [0, 2, 3.5]
    assert await problems(hass_ws_client, home) == NO_PROBLEMS


async def test_statistics_of_a_plain_number_become_those_of_the_gas_that_it_was(
    home: Home, hass_ws_client: WebSocketGenerator
) -> None:
    register_sensor(home, **AS_IT_WAS)
    await home.start()
    await home.count(100, 101)
    assert (await home.unit(), await home.sums()) == (None, [0, 1])
    assert await problems(hass_ws_client, home) != NO_PROBLEMS, "a plain number is no gas"
    await home.choose("gas")
    await home.count(102, 103.5)
    assert (await home.unit(), await home.sums()) == ("m³", [0, 1, 2, 3.5])
    assert await problems(hass_ws_client, home) == NO_PROBLEMS


async def test_choice_made_with_an_earlier_version_is_made_good_by_the_update(
    home: Home, hass_ws_client: WebSocketGenerator
) -> None:
    register_sensor(home, **AS_IT_WAS)
    await home.start()
    await home.count(100, 101)
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.hass.config_entries.async_update_entry(home.entry, options={CONF_SUB_METERS: {METER: "gas"}})
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.listen()
    await home.count(102, 103)
    assert (await home.unit(), await home.sums()) == ("m³", [0, 1, 2, 3])
    assert await problems(hass_ws_client, home) == NO_PROBLEMS


@pytest.mark.parametrize(("second", "unit"), [("heat", "kWh"), ("water", "m³"), ("none", None)])
async def test_wrong_choice_is_corrected_with_all_that_was_counted(
    home: Home, hass_ws_client: WebSocketGenerator, second: str, unit: str | None
) -> None:
    await home.start("gas")
    await home.count(100, 101)
    await home.choose(second)
    await home.count(102, 103)
    assert (await home.unit(), await home.sums()) == (unit, [0, 1, 2, 3])
    client = await hass_ws_client()
    await client.send_json_auto_id({"type": "recorder/validate_statistics"})
    assert (await client.receive_json())["result"] == {}


async def test_statistics_in_a_unit_of_the_users_own_are_left_alone(home: Home) -> None:
    register_sensor(home)
    er.async_get(home.hass).async_update_entity_options(home.sensor, "sensor", {"unit_of_measurement": "ft³"})
    await home.start("gas")
    await home.count(100)
    await home.choose("water")
    await home.count(101)
    assert (await home.unit(), await home.sums()) == ("ft³", [0, 1])
