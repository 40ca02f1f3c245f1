"""Tables of docs/entities.md and docs/entity-names.md. `python -m tests.entities_table` writes them."""

from collections.abc import Iterable
import json
from pathlib import Path

from homeassistant.components.sensor import SensorEntityDescription

from custom_components.energy_sse.binary_sensor import CLOUDS
from custom_components.energy_sse.const import PowerTariffKey
from custom_components.energy_sse.descriptions import MEASUREMENTS, POWER_TARIFF, PROPERTIES
from custom_components.energy_sse.reader import (
    READERS,
    Measurement as M,
    Property as P,
    whatwatt,
)

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/entities.md"
NAMES = ROOT / "docs/entity-names.md"
TRANSLATIONS = (ROOT / "custom_components/energy_sse/translations").glob("*.json")
LANGUAGES = {path.stem: json.loads(path.read_text())["entity"] for path in sorted(TRANSLATIONS)}
TEXTS = LANGUAGES["en"]

BEGIN, END = "<!-- made by tests/entities_table.py: {} -->\n", "<!-- end of {} -->\n"

# Kind of reader → keys of its protocol that are not fields, and not numbers or texts of its status.
OTHER_KEYS: dict[str, dict[str, str]] = {
    "whatwatt": {
        M.ACTIVE_POWER_NET: "`P_In` - `P_Out`",
        **{f"active_power_net_l{phase}": f"`P_P{phase}_In` - `P_P{phase}_Out`" for phase in (1, 2, 3)},
        **{f"headroom_l{phase}": f"main fuse - `I_P{phase}`" for phase in (1, 2, 3)},
        M.READER_CLOCK_OFFSET: "`Date`, `Time`",
        **{cloud: f"`clouds.{name}`" for name, cloud in whatwatt.CLOUDS.items()},
        P.LAST_RESTART: "`device.time_since_boot`",
    },
    "currentlyone": {
        M.ACTIVE_POWER_NET: "`W` - `P`",
        **{f"active_power_net_l{phase}": f"`L{phase}` - `P{phase}`" for phase in (1, 2, 3)},
        **{f"headroom_l{phase}": f"main fuse - `I{phase}`" for phase in (1, 2, 3)},
        M.READER_CLOCK_OFFSET: "`sec`",
        M.METER_CLOCK_OFFSET: "`t`",
        **{
            each: f"`{'.'.join(path)}` of `config`"
            for path, each in {**READERS["currentlyone"].texts, **READERS["currentlyone"].numbers}.items()
        },
    },
}


def protocol_keys(kind: str) -> dict[str, str]:
    """Return the keys of the protocol by measurement and property."""
    reader = READERS[kind]
    return {
        **{measurement: f"`{key}`" for key, (measurement, _) in reader.fields.items()},
        **{each: f"`{'.'.join(path)}`" for path, each in {**reader.numbers, **reader.texts}.items()},
        **OTHER_KEYS.get(kind, {}),
    }


def line(cells: Iterable[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |\n"


def row(description: SensorEntityDescription, keys: list[dict[str, str]]) -> str:
    """Return the line of one sensor."""
    name = TEXTS["sensor"][description.translation_key]["name"]
    classes = (description.device_class, description.state_class)
    return line(
        (
            name.replace("{part}", getattr(description, "part", None) or ""),
            str(
                description.suggested_unit_of_measurement
                or description.native_unit_of_measurement
                or unit(description)
            ),
            ", ".join(each.replace("_", " ") for each in classes if each) or "text",
            "yes" if description.entity_registry_enabled_default else "",
            *(each.get(description.key, "") for each in keys),
        )
    )


def unit(description: SensorEntityDescription) -> str:
    """Return the unit of the protocol, which Home Assistant does not convert."""
    if description.key in PROPERTIES:
        return ""
    units = [
        unit
        for reader in READERS.values()
        for measurement, unit in reader.units.items()
        if measurement == description.key
    ]
    return units[0] if units else ""


MODELS = [reader.model for reader in READERS.values()]
HEAD = line(("name", "unit", "class", "enabled", *MODELS)) + line(["---"] * (4 + len(MODELS)))


TARIFF_HEAD = line(("name", "unit", "class")) + line(["---"] * 3)


def tariff_table() -> str:
    """Return the table of the power tariff, which no protocol contains."""
    # The first cells of a row are the name, the unit and the class.
    rows = [row(each, []).split(" | ")[:3] for each in POWER_TARIFF.values()]
    expected = line((TEXTS["binary_sensor"][PowerTariffKey.PEAK_EXPECTED]["name"], "", "Yes or No"))
    return TARIFF_HEAD + "".join(line((cells[0].removeprefix("| "), *cells[1:])) for cells in rows) + expected


def tables() -> dict[str, str]:
    """Return the tables by name."""
    keys = [protocol_keys(kind) for kind in READERS]
    clouds = "".join(
        line(
            (
                TEXTS["binary_sensor"][cloud]["name"],
                "",
                "connectivity",
                "",
                *(each.get(cloud, "") for each in keys),
            )
        )
        for cloud in CLOUDS
    )
    return {
        "measurements": HEAD + "".join(row(each, keys) for each in MEASUREMENTS.values()),
        "power tariff": tariff_table(),
        "properties": HEAD + "".join(row(each, keys) for each in PROPERTIES.values()) + clouds,
    }


def names_table() -> str:
    """Return the table of the names of all entities in each language."""
    languages = {"en": TEXTS} | LANGUAGES
    rows = [
        line(texts[platform][key]["name"].replace("{part}", "…") for texts in languages.values())
        for platform, entities in TEXTS.items()
        for key in entities
    ]
    return line(languages) + line(["---"] * len(languages)) + "".join(rows)


def with_tables(document: str) -> str:
    """Return the document with the current tables that it contains."""
    for name, table in {**tables(), "names": names_table()}.items():
        if BEGIN.format(name) not in document:
            continue
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = document.partition(begin)
        after = rest.partition(end)[2]
        document = before + begin + table + end + after
    return document


if __name__ == "__main__":
    for page in (DOCUMENT, NAMES):
        page.write_text(with_tables(page.read_text()))
