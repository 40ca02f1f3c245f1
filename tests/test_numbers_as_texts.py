"""Numbers that a reader writes as texts."""

import re

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.reader import READERS

from .home_assistant import set_up, tick
from .simulators import Simulator
from .wait import wait_until


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
