"""Translations."""

import json
from pathlib import Path
import re
from string import Formatter

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.const import DOMAIN

from .home_assistant import set_up, state_of, tick
from .simulators import WhatwattSimulator

FOLDER = Path(__file__).parents[1] / "custom_components" / DOMAIN / "translations"
TRANSLATIONS = ("de", "fr", "it", "sv")

# Names, and words that are the same in all languages.
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
}
SAME_IN = {
    "de": {"April", "August", "Host", "Name", "November", "September", "Standby"},
    "fr": {"Mode", "Options"},
    "it": {"Host", "No", "Password"},
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


def test_each_language_is_tested() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {"en", *TRANSLATIONS}


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_has_the_same_texts_and_placeholders(language: str) -> None:
    texts = texts_of(language)
    assert list(texts) == list(ENGLISH)
    different = [key for key in ENGLISH if placeholders_of(texts[key]) != placeholders_of(ENGLISH[key])]
    assert different == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_contains_no_english(language: str) -> None:
    same = {text for key, text in texts_of(language).items() if text == ENGLISH[key]}
    assert same - SAME_EVERYWHERE == SAME_IN[language]


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_texts_follow_the_rules_of_home_assistant(language: str) -> None:
    for key, text in texts_of(language).items():
        assert text, key
        assert text == text.strip(), key
        assert not re.search(r"<[a-z]|https?://|\[%key|'\{", text), key


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_entities_of_a_reader_have_different_names(language: str) -> None:
    texts = texts_of(language)
    names = [
        text
        for key, text in texts.items()
        if re.fullmatch(r"entity\.\w+\.\w+\.name", key) and ".appliance_" not in key
    ]
    assert len(set(names)) == len(names)


async def test_names_are_in_the_language_of_the_home(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    hass.config.language = "sv"
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    energy = state_of(hass, "sensor", f"{whatwatt.device_id}_active_energy_import_t1")
    assert energy.name == "Meter Importerad energi tariff 1"
