"""Forms in which a reader can write the same value, from its payload to the states of entities."""

import re

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.reader import READERS

from .home_assistant import set_up, state_of, tick
from .simulators import Simulator, WhatwattSimulator
from .wait import wait_until

READER = "ECC9FF5C7F14"


async def send(hass: HomeAssistant, reader: WhatwattSimulator, payload: str) -> None:
    """Send a reading of which only the voltage was not sent before, and wait for it."""
    (entry,) = hass.config_entries.async_entries("energy_sse")
    reader.house.voltage[0] += 0.1
    data = f'{payload[:-1]},"V_P1":{reader.house.voltage[0]}}}'
    await reader.broadcast(f"event: live\ndata: {data}\n\n".encode())
    await wait_until(
        lambda: entry.runtime_data.coordinator.data.values.get("voltage_l1") == reader.house.voltage[0]
    )
    await hass.async_block_till_done()


@pytest.mark.parametrize("tariff", ["2", "2.0", '"2"', '"2.0"'])
async def test_tariff_is_shown_in_all_forms_of_its_number(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, tariff: str
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, f'{{"P_In":1,"T":{tariff}}}')
    assert state_of(hass, "sensor", f"{READER}_active_tariff").state == "2"


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", '"-0.000"'])
async def test_zero_is_shown_without_a_sign(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, zero: str
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, '{"P_In":1,"P_Out":1,"E_Out":5}')
    await send(hass, whatwatt, f'{{"P_In":{zero},"P_Out":{zero},"E_Out":5}}')
    for key in ("active_power_import", "active_power_export", "active_power_net"):
        assert state_of(hass, "sensor", f"{READER}_{key}").state in ("0", "0.0")


@pytest.mark.parametrize("meter_id", ['"20000741"', "20000741", "20000741.0"])
async def test_sub_meter_is_shown_in_all_forms_of_its_id(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, meter_id: str
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, f'{{"P_In":1,"Vol":[{{"M_ID":{meter_id},"Cum":"5.5"}}]}}')
    assert state_of(hass, "sensor", f"{READER}:counter:20000741").state == "5.5"


@pytest.mark.parametrize("key", ["p_in", "P_IN", "P_In "])
async def test_key_in_another_case_changes_no_value(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, key: str
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, f'{{"P_In":1.5,"{key}":7}}')
    assert state_of(hass, "sensor", f"{READER}_active_power_import").state == "1500.0"


async def test_same_states_are_shown_when_numbers_are_written_as_texts(
    hass: HomeAssistant,
    any_reader: Simulator,
    every_entity_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broadcast = any_reader.broadcast

    async def broadcast_texts(data: bytes) -> None:
        texts = re.sub(rb'": ?(-?[0-9.]+)(?=[,}])', rb'":"\1"', data)
        assert texts != data
        await broadcast(texts)

    def shown() -> dict[str, str]:
        states = {state.entity_id: state.state for state in hass.states.async_all("sensor")}
        return {key: state for key, state in states.items() if "clock" not in key}

    entry = await set_up(hass, any_reader)
    with monkeypatch.context() as patch:
        patch.setattr(any_reader, "broadcast", broadcast_texts)
        await tick(hass, any_reader)
    texts = shown()
    assert len(texts) > len(READERS[any_reader.kind].fields) / 2
    # The same reading in numbers.
    monkeypatch.setattr(any_reader.house, "advance", lambda _seconds: ())
    events = entry.runtime_data.coordinator.reader.stats.events
    before = events.total()
    await any_reader.tick()
    await wait_until(lambda: events.total() > before)
    await hass.async_block_till_done()
    assert shown() == texts
