"""Dashboards of the documentation, compared with the entities of an installation with default names."""

from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util.yaml import load_yaml_dict
import pytest

from .conftest import Start
from .dashboards import FOLDER, LANGUAGES, path_of, translated
from .dialogs import change_options, enter_host, outcome, submit
from .home_assistant import tick
from .simulators import SIMULATORS, Simulator
from .simulators.household import Household
from .tariffs import add_tariff
from .wait import wait_until

ENTITY = re.compile(r"\b(?:binary_)?sensor\.\w+")


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
@pytest.mark.parametrize("kind", SIMULATORS)
async def test_entities_of_dashboard_exist(
    hass: HomeAssistant, start: Start, kind: str, language: str
) -> None:
    hass.config.language = language
    reader = await start(SIMULATORS[kind](Household(clock=datetime(2026, 11, 20, 9, tzinfo=UTC))))
    flow = await enter_host(hass, reader.host)
    if outcome(flow) != "create_entry":
        await submit(hass, flow)
    (entry,) = hass.config_entries.async_entries("energy_sse")
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)
    await make_change(hass, reader, change_options(hass, entry, "supply", main_fuse=25, phases="3"))
    await make_change(hass, reader, add_tariff(hass, entry))
    named = set(ENTITY.findall(path_of(kind, language).read_text()))
    assert len(named) > 20
    assert named <= set(hass.states.async_entity_ids())


@pytest.mark.parametrize("kind", SIMULATORS)
def test_dashboard_has_only_cards_of_home_assistant(kind: str) -> None:
    types = set(types_in(load_yaml_dict(str(path_of(kind, "en")))))
    assert "statistics-graph" in types
    assert not [each for each in types if each.startswith("custom:")]


@pytest.mark.parametrize("kind", SIMULATORS)
def test_placeholders_of_dashboard_are_explained(kind: str) -> None:
    text = path_of(kind, "en").read_text()
    comment, _, content = text.partition("\nviews:\n")
    explained = re.findall(r"^#   (\w+(?:: \d+)?)  ", comment, re.MULTILINE)
    assert len(explained) == 4
    assert [each for each in explained if each not in content] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", SIMULATORS)
def test_translated_dashboard_is_up_to_date(kind: str, language: str) -> None:
    """`python -m tests.dashboards` writes them."""
    assert f"({path_of(kind, language).name})" in (FOLDER / "README.md").read_text()
    assert path_of(kind, language).read_text() == translated(path_of(kind, "en").read_text(), language)


async def make_change(hass: HomeAssistant, reader: Simulator, change: Awaitable[Any]) -> None:
    """Wait for a change that reloads the entry, and send a reading."""
    count = reader.stream_count
    await change
    await wait_until(lambda: reader.stream_count > count and reader.streams)
    await tick(hass, reader)


def types_in(config: Any) -> Iterator[str]:
    """Yield the types of all cards and features."""
    if isinstance(config, dict):
        if "type" in config:
            yield config["type"]
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            yield from types_in(each)
