"""The texts in the languages of the readers' owners."""

import json
from pathlib import Path
import re
from string import Formatter
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.energy_sse.const import DOMAIN

from .home_assistant import set_up
from .simulators import WhatwattSimulator
from .wait import wait_until

FOLDER = Path(__file__).parents[1] / "custom_components" / DOMAIN / "translations"
TRANSLATIONS = ("de", "fr", "it", "sv")

# Names, and words that are the same there.
SAME_EVERYWHERE = {
    "{name}",
    "Gas (m³)",
    "M-Bus",
    "MEP",
    "MQTT broker",
    "OK",
    "P1",
    "Plus",
    "Pro",
    "Solar Manager",
    "Stromkonto",
    "TTL",
    "myStrom",
    "whatwatt & CurrentlyOne (Energy SSE)",
}
SAME_IN = {
    "de": {"April", "August", "Host", "November", "September"},
    "fr": {"Mode", "Options"},
    "it": {"Host", "Password"},
    "sv": {"Tariff 1", "Tariff 2", "Tariff 3", "Tariff 4"},
}


def flatten(value: object, path: str = "") -> dict[str, str]:
    """Return the texts of nested objects by their dotted paths, in order."""
    if not isinstance(value, dict):
        return {path: str(value)}
    return {
        key: text
        for name, inner in value.items()
        for key, text in flatten(inner, f"{path}.{name}".lstrip(".")).items()
    }


def texts_of(language: str) -> dict[str, str]:
    return flatten(json.loads((FOLDER / f"{language}.json").read_text()))


ENGLISH = texts_of("en")


def placeholders_of(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def test_there_are_no_other_languages_than_those_that_are_tested() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {"en", *TRANSLATIONS}


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_has_every_text_and_no_other(language: str) -> None:
    assert list(texts_of(language)) == list(ENGLISH)


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_fills_in_the_same_things(language: str) -> None:
    texts = texts_of(language)
    different = [key for key in ENGLISH if placeholders_of(texts[key]) != placeholders_of(ENGLISH[key])]
    assert different == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_leaves_no_english(language: str) -> None:
    same = {text for key, text in texts_of(language).items() if text == ENGLISH[key]}
    assert same - SAME_EVERYWHERE == SAME_IN[language]


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_texts_follow_home_assistants_rules(language: str) -> None:
    for key, text in texts_of(language).items():
        assert text, key
        assert text == text.strip(), key
        assert not re.search(r"<[a-z]|https?://|\[%key|'\{", text), key


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_no_two_entities_of_a_reader_have_the_same_name(language: str) -> None:
    texts = texts_of(language)
    names = [
        text
        for key, text in texts.items()
        if re.fullmatch(r"entity\.\w+\.\w+\.name", key) and ".appliance_" not in key
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("de", "Energiebezug Tarif 1"),
        ("fr", "Énergie importée tarif 1"),
        ("it", "Energia importata tariffa 1"),
        ("sv", "Importerad energi tariff 1"),
    ],
)
async def test_home_in_another_language_gets_its_words(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, language: str, name: str
) -> None:
    hass.config.language = language
    entry = await set_up(hass, whatwatt)
    await whatwatt.send_reading()

    def names() -> list[str | None]:
        entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        return [entity.original_name for entity in entities]

    await wait_until(lambda: name in names())


def test_flattening_keeps_every_text() -> None:
    nested: dict[str, Any] = {"a": {"b": "1", "c": {"d": "2"}}, "e": "3"}
    assert flatten(nested) == {"a.b": "1", "a.c.d": "2", "e": "3"}
