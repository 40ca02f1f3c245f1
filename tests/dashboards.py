"""Dashboards of the documentation in each language. `python -m tests.dashboards` writes them.

The English files are the originals. The others have the entity ids of a home in their language.
"""

import json
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.util import slugify

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs/dashboards"
TRANSLATIONS: Final = {
    path.stem: json.loads(path.read_text())
    for path in sorted((ROOT / "custom_components/energy_sse/translations").glob("*.json"))
}

# Texts by language and English text. The names of entities and appliances are in the translations of the
# integration.
TEXTS: Final = json.loads(Path(__file__).with_suffix(".json").read_text())

LANGUAGES: Final = sorted(set(TRANSLATIONS) - {"en"})

_ENTITY: Final = re.compile(r"\b((?:binary_)?sensor)\.(\w+)")
_TEXT: Final = re.compile(r"((?:heading|name|title): |sensor |\| |\*\*|custom\(')([A-Z%][\w ,%:-]*\w)")
_TARIFF: Final = "power_tariff"


def names_of(texts: dict[str, Any], platform: str) -> dict[str, str]:
    """Return the names of the entities of a platform by key.

    A name with a part is returned for each phase and two tariffs.
    """
    return {
        f"{key} {part}": entity["name"].replace("{part}", part)
        for key, entity in texts["entity"][platform].items()
        for part in (("L1", "L2", "L3", "1", "2") if "{part}" in entity["name"] else ("",))
    }


def translated(dashboard: str, language: str) -> str:
    """Return a dashboard in a language."""
    texts: dict[str, str] = {
        "Power tariff": TRANSLATIONS[language]["config_subentries"]["power_tariff"]["entry_type"]
    }
    texts |= {phase: phase for phase in ("L1", "L2", "L3")}
    for key, each in TRANSLATIONS["en"]["device"].items():
        texts[each["name"]] = TRANSLATIONS[language]["device"][key]["name"]
    texts |= TEXTS[language]
    slugs: dict[tuple[str, str], str] = {}
    for platform in ("binary_sensor", "sensor"):
        names = names_of(TRANSLATIONS[language], platform)
        for key, english in names_of(TRANSLATIONS["en"], platform).items():
            texts.setdefault(english, names[key])
            slugs[platform, slugify(english)] = slugify(names[key])

    def entity_id(match: re.Match[str]) -> str:
        platform, object_id = match.groups()
        ends = [slug for kind, slug in slugs if kind == platform and object_id.endswith(f"_{slug}")]
        end = max(ends, key=len)
        device = object_id.removesuffix(f"_{end}").replace(_TARIFF, slugify(texts["Power tariff"]))
        return f"{platform}.{device}_{slugs[platform, end]}"

    dashboard = _ENTITY.sub(entity_id, dashboard)
    dashboard = _TEXT.sub(lambda match: match[1] + texts[match[2]], dashboard)
    return dashboard.replace(f"#   {_TARIFF:<20}", f"#   {slugify(texts['Power tariff']):<20}")


def path_of(kind: str, language: str) -> Path:
    """Return the file of a dashboard."""
    return FOLDER / (f"{kind}.yaml" if language == "en" else f"{kind}.{language}.yaml")


if __name__ == "__main__":
    for language in LANGUAGES:
        for kind in ("currentlyone", "whatwatt"):
            path_of(kind, language).write_text(translated(path_of(kind, "en").read_text(), language))
