"""Translations."""

from collections import Counter
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
TRANSLATIONS = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "en")

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

# Names of products, companies and contracts.
NAMES = {
    "CurrentlyOne",
    "whatwatt",
    "myStrom",
    "Solar Manager",
    "Stromkonto",
    "Effekttariff",
    "Kapasitetsledd",
    "Leistungstarif",
    "Capaciteitstarief",
}
# Line breaks, and Markdown for bold texts, links and tables.
MARKS = ("\n", "**", "](", "|")
# Names of fields, entities and buttons in a text. Each language has its own quotation marks.
LABEL = re.compile(r"\*\*(.+?)\*\*|[“„«”\"]\s?(.+?)\s?[“”»\"]")


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
    path = FOLDER / f"{language}.json"
    try:
        return flatten(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        error.add_note(path.name)
        raise


ENGLISH = texts_of("en")


def placeholders_of(text: str) -> list[str]:
    try:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)
    except ValueError as error:
        error.add_note(text)
        raise


def labels_of(text: str) -> set[str]:
    return {bold or quoted for bold, quoted in LABEL.findall(text)}


def translations_of(label: str, texts: dict[str, str]) -> set[str]:
    """Return the translations of a label, whose {part} can be filled in."""
    found = set()
    for key, text in ENGLISH.items():
        if match := re.fullmatch(re.escape(text).replace(r"\{part\}", "(.+)"), label):
            found.add(texts[key].replace("{part}", match[match.lastindex or 0]))
    return found


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_has_the_same_texts_and_placeholders(language: str) -> None:
    texts = texts_of(language)
    assert set(texts) == set(ENGLISH)
    assert list(texts) == list(ENGLISH), "The order is not the order of en.json."
    for key, text in ENGLISH.items():
        assert placeholders_of(texts[key]) == placeholders_of(text), key


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_contains_no_english(language: str) -> None:
    same = {text for key, text in texts_of(language).items() if text == ENGLISH.get(key)} - SAME_EVERYWHERE
    expected = SAME_IN.get(language, set())
    assert same <= expected, f"Translate these texts, or add them to SAME_IN: {sorted(same - expected)}"
    assert expected <= same, f"Remove these texts from SAME_IN: {sorted(expected - same)}"


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_keeps_markdown_and_names(language: str) -> None:
    for key, text in texts_of(language).items():
        english = ENGLISH[key]
        for mark in MARKS:
            assert text.count(mark) == english.count(mark), (
                f"The number of {mark!r} in {key} differs from en.json."
            )
        assert [name for name in NAMES if name in english and name not in text] == [], key


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translation_quotes_its_own_labels(language: str) -> None:
    texts = texts_of(language)
    for key, text in ENGLISH.items():
        for label in labels_of(text):
            expected = translations_of(label, texts)
            message = (
                f"{key} must contain one of {expected} in ** or in quotation marks: “ ”, „ “, ” ” or « »."
            )
            assert not expected or expected & labels_of(texts[key]), message


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_texts_follow_the_rules_of_home_assistant(language: str) -> None:
    for key, text in texts_of(language).items():
        assert text, key
        assert text == text.strip(), key
        assert not re.search(r"<[a-z]|https?://|\[%key|'\{", text), key


def test_french_punctuation_has_nonbreaking_spaces() -> None:
    # A hyphen is before the colon of a Markdown table.
    pattern = r"[^\xa0-][:;?!»](?=\s|$)|«[^\xa0]"
    assert [key for key, text in texts_of("fr").items() if re.search(pattern, text)] == []


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_entities_of_a_reader_have_different_names(language: str) -> None:
    texts = texts_of(language)
    names = Counter(
        text
        for key, text in texts.items()
        if re.fullmatch(r"entity\.\w+\.\w+\.name", key) and ".appliance_" not in key
    )
    assert [name for name, count in names.items() if count > 1] == []


async def test_names_are_in_the_language_of_the_home(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    hass.config.language = "sv"
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    energy = state_of(hass, "sensor", f"{whatwatt.device_id}_active_energy_import_t1")
    assert energy.name == "Meter Importerad energi tariff 1"
