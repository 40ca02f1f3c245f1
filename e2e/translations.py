"""Translations of Home Assistant and of the integration, by their English texts."""

from collections import defaultdict
from collections.abc import Iterator
import json
from pathlib import Path
import re

import hass_frontend
import homeassistant

from demo.home_assistant import ROOT

_FRONTEND = Path(hass_frontend.__file__).parent / "static/translations"
_COMPONENTS = Path(homeassistant.__file__).parent / "components"
_INTEGRATION = ROOT / "custom_components/energy_sse"

# Links and bold texts of Markdown, which a page shows without their marks.
_MARKUP = re.compile(r"\[([^\]]+)\]\([^)]*\)|\*\*(.+?)\*\*")

# Components whose texts the tests need.
_OTHERS = ("event", "homeassistant", "persistent_notification")


class Words:
    """Texts of a language."""

    def __init__(self, language: str) -> None:
        """Read all texts."""
        manifest = json.loads((_INTEGRATION / "manifest.json").read_text())
        texts = json.loads((_INTEGRATION / f"translations/{language}.json").read_text())
        self.integration: str = texts.get("title", manifest["name"])
        """Name of the integration."""

        self._by_english: dict[str, set[str]] = defaultdict(set)
        folders = [_INTEGRATION / "translations", *(_COMPONENTS / name / "translations" for name in _OTHERS)]
        for folder in folders:
            self._add(folder / "en.json", folder / f"{language}.json")
        for english in _FRONTEND.rglob("en-*.json"):
            if re.fullmatch(r"en-[0-9a-f]{32}\.json", english.name):
                self._add(english, next(english.parent.glob(f"{language}-*.json")))

    def _add(self, english: Path, translated: Path) -> None:
        texts = dict(_flatten(json.loads(translated.read_text())))
        for key, text in _flatten(json.loads(english.read_text())):
            if key in texts:
                self._by_english[text].add(texts[key])
                # A page shows each paragraph separately.
                for paragraph, other in zip(text.split("\n\n"), texts[key].split("\n\n"), strict=False):
                    self._by_english[paragraph].add(other)

    def whole(self, beginning: str) -> str:
        """Return the shortest English text with this begin."""
        return min((text for text in self._by_english if text.startswith(beginning)), key=len)

    def typed(self, english: str) -> str:
        """Return a translation of a text, to be typed."""
        return min(self._by_english[english])

    def pattern(self, english: str, **placeholders: str) -> str:
        """Return a regular expression of a text. One English text may have several translations."""
        if english not in self._by_english:
            raise KeyError(f"Neither Home Assistant nor the integration has the text '{english}'.")
        texts = {text.format(**placeholders) if placeholders else text for text in self._by_english[english]}
        return f"(?:{'|'.join(_pattern_of(text) for text in sorted(texts))})"

    def text(self, english: str, **placeholders: str) -> re.Pattern[str]:
        """Return an expression for the whole text, with the asterisk of a required field."""
        return re.compile(rf"^\s*{self.pattern(english, **placeholders)}\s*\*?\s*$")


def _pattern_of(text: str) -> str:
    text = _MARKUP.sub(lambda match: match[1] or match[2], text)
    # A line break is a space on the screen, and a slash ends a regular expression of the browser.
    return re.sub(r"(\\?\s)+", r"\\s+", re.escape(text)).replace("/", r"\/")


def _flatten(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}")
    else:
        yield path, str(value)
