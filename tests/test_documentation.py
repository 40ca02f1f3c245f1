"""Documentation, compared with the code and with recorded streams."""

import ast
from collections.abc import Iterator
import json
from pathlib import Path
import re

from homeassistant.components.sensor.const import UNIT_CONVERTERS
import pytest

from custom_components.energy_sse.const import DOCUMENTATION, SubMeterKind
from custom_components.energy_sse.descriptions import MEASUREMENTS, SUB_METERS
from custom_components.energy_sse.issues import Issue
from custom_components.energy_sse.reader import READERS, Measurement, Reading, Unit, currentlyone, whatwatt

from .entities_table import DOCUMENT, NAMES, with_tables
from .samples import FOLDER, sample_events

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components/energy_sse"
TEXTS = json.loads((INTEGRATION / "translations/en.json").read_text())
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
ENTITIES = DOCUMENT.read_text()
NOT_SHOWN = ENTITIES.partition("## Data without an entity")[2]


@pytest.mark.parametrize(("page", "tables"), [(DOCUMENT, 3), (NAMES, 1)])
def test_tables_of_entities_match_the_code(page: Path, tables: int) -> None:
    """`python -m tests.entities_table` writes the tables."""
    document = page.read_text()
    assert document.count("<!-- made by") == tables
    assert with_tables(document) == document


def recorded_keys() -> Iterator[tuple[str, str]]:
    """Yield the keys of every event of every recorded stream, with the event's type."""
    for path in FOLDER.glob("*.sse"):
        for event in sample_events(path.name):
            if event.type in ("live", "state", "config", "transition"):
                yield from ((event.type, key) for key in json.loads(event.data))


LIGHTS = ("L1", "L2", "L3", "R1", "R2", "R3")
DOCUMENTED = {
    *re.findall("`([^`]+)`", NOT_SHOWN),
    *(f"{prefix}{light}" for prefix in ("cs", "d") for light in LIGHTS),
}

CONFIG = {**READERS["currentlyone"].texts, **READERS["currentlyone"].numbers}

SHOWN = {
    "live": {*whatwatt.FIELDS, "Vol", "Date", "Time"},
    "state": {*currentlyone.FIELDS, "sec", "t", "detected"},
    "config": {key for path in CONFIG for key in path},
    "transition": {"id", "bs", "W", "Wh", "sec", "t", "dName", "sName", "from", "cat"},
}


def test_each_recorded_key_is_shown_or_documented() -> None:
    recorded = set(recorded_keys())
    assert recorded
    assert {key for event_type, key in recorded if key not in SHOWN[event_type]} <= DOCUMENTED


def test_kinds_of_sub_meters_match_the_code() -> None:
    section = ENTITIES.partition("## Sub-meters")[2].partition("## Data without an entity")[0]
    lines = re.findall(r"^\| (\w[\w ]*) \| ([\w, ]+) \| (\S+) \|$", section, re.MULTILINE)[1:]
    options = TEXTS["selector"]["sub_meter_kind"]["options"]
    names = {text.partition(" (")[0]: SubMeterKind(kind) for kind, text in options.items()}
    for name, classes, unit in lines:
        row = SUB_METERS[names[name]]
        last = (row.state_class or "plain number").replace("_", " ")
        assert classes.split(", ") == [*filter(None, [row.device_class]), last]
        assert unit == (row.native_unit_of_measurement or "–")  # noqa: RUF001 (as it is written there)
    assert len(lines) == len(SUB_METERS)


def test_goals_have_the_measured_results() -> None:
    goals = re.findall(r"^\| .+ \| (\d[\d.]*)", (ROOT / "docs/performance.md").read_text(), re.MULTILINE)
    assert len(goals) == 3
    results = (ROOT / "docs/results/performance.md").read_text()
    assert [goal for goal in goals if not re.search(rf"\*\*\+?{goal} [×%]\*\*", results)] == []  # noqa: RUF001


def test_functions_for_a_new_reader_exist() -> None:
    page = (ROOT / "docs/adding-a-reader.md").read_text()
    folders = (ROOT / "custom_components/energy_sse/reader", ROOT / "tests/simulators")
    sources = [path.read_text() for folder in folders for path in folder.glob("*.py")]
    named = set(re.findall(r"`(?:\w+\.)*(\w+)\([^`]*\)`", page))
    assert named
    assert named <= set(re.findall(r"def (\w+)\(", "\n".join(sources)))


LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_page_exist(path: Path) -> None:
    for link, anchor in LINK.findall(path.read_text()):
        target = path.parent / link if link else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_index_lists_each_page() -> None:
    index = ROOT / "docs/README.md"
    listed = {link for link, _ in LINK.findall(index.read_text())}
    assert {path.name for path in index.parent.glob("*.md")} - {index.name} <= listed


def test_links_in_the_code_and_in_issue_forms_exist() -> None:
    link = re.compile(r"(?:\{DOCUMENTATION\}|blob/main/docs)/([\w-]+\.md)(?:#([\w-]+))?")
    files = (*INTEGRATION.rglob("*.py"), *(ROOT / ".github").rglob("*.yml"))
    links = {found for path in files for found in link.findall(path.read_text())}
    assert len({page for page, _ in links}) > 2
    for page, anchor in links:
        assert not anchor or anchor in anchors(ROOT / "docs" / page), f"{page}#{anchor}"
        assert (ROOT / "docs" / page).exists(), page


@pytest.mark.parametrize("issue", Issue)
def test_issue_is_explained(issue: Issue) -> None:
    page, _, anchor = issue.learn_more_url.removeprefix(f"{DOCUMENTATION}/").partition("#")
    assert anchor in anchors(ROOT / "docs" / page)


def test_password_dialogs_and_meter_statuses_are_explained() -> None:
    page = TROUBLESHOOTING.read_text()
    for step in ("reauth_confirm", "unencrypted", "unprotected"):
        assert f"| **{TEXTS['config']['step'][step]['title']}** |" in page
    statuses = page.partition("### Meter status")[2].partition("## Repairs")[0]
    explained = ", ".join(re.findall(r"^\| ([^|]+) \|", statuses, re.MULTILINE)).split(", ")
    assert set(TEXTS["entity"]["sensor"]["meter_status"]["state"].values()) <= set(explained)


def test_contracts_and_fields_of_a_power_tariff_are_explained() -> None:
    page = (ROOT / "docs/power-tariff.md").read_text()
    contracts = page.partition("## Contracts")[2].partition("## Rules")[0]
    names = re.findall(r"^\| ([^|]+) \|", contracts, re.MULTILINE)[1:]
    assert names == list(TEXTS["selector"]["contract"]["options"].values())
    rules = page.partition("## Rules")[2].partition("### Days off")[0]
    explained = ", ".join(re.findall(r"^\| ([^|]+) \|", rules, re.MULTILINE))
    for step in TEXTS["config_subentries"]["power_tariff"]["step"].values():
        for field, label in step["data"].items():
            assert field == "contract" or label.replace("’", "'") in explained, label  # noqa: RUF001


def shown_messages() -> Iterator[str]:
    """Yield the messages that ask the user to do something, with "…" in place of their placeholders."""
    flows = (TEXTS["config"], TEXTS["config_subentries"]["power_tariff"], TEXTS["options"])
    parts = [flow.get(part, {}) for flow in flows for part in ("abort", "error")]
    messages = [text for part in parts for key, text in part.items() if not key.endswith("_successful")]
    messages += [each["message"] for each in TEXTS["exceptions"].values()]
    messages += [each["title"] for each in TEXTS["issues"].values()]
    yield from (re.sub(r"\{\w+\}", "…", text) for text in messages)


def test_messages_can_be_found_by_their_first_words() -> None:
    page = TROUBLESHOOTING.read_text()
    cells = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE) + re.findall(r"^\*(….+)\*$", page, re.MULTILINE)
    quoted = tuple(words.removesuffix(" …") for cell in cells for words in cell.split("<br>") if " " in words)
    assert [text for text in shown_messages() if not text.startswith(quoted)] == []


def logged_texts() -> Iterator[tuple[str, str]]:
    """Yield the texts that the integration logs above debug level, with their level."""
    for path in INTEGRATION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("info", "warning", "error", "exception")
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value), node.func.attr


def test_log_messages_are_explained() -> None:
    table = TROUBLESHOOTING.read_text().partition("| message | meaning |\n|---|---|\n")[2]
    explained = set(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)) - {"Unexpected error while …"}
    logged = {
        re.sub(r"%\w", "…", text) + (" *(info)*" if level == "info" else "") for text, level in logged_texts()
    }
    assert {text for text in logged if not text.startswith("Unexpected error while ")} == explained


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").iterdir()), ids=lambda path: path.name)
def test_script_is_listed(script: Path) -> None:
    assert f"`scripts/{script.name}" in (ROOT / "docs/development.md").read_text()


def recorded_values() -> Iterator[tuple[Measurement, float, Unit]]:
    """Yield the values of each recorded reading, in the units of the protocol."""
    parser = currentlyone.EventParser()
    for path in FOLDER.glob("*.sse"):
        for event in sample_events(path.name):
            reader = whatwatt.WhatwattReader if event.type == "live" else currentlyone.CurrentlyOneReader
            messages = [*parser.parse(event)]
            if event.type == "live":
                messages = [*whatwatt.parse_live(event.data)]
            for reading in messages:
                if isinstance(reading, Reading):
                    yield from ((key, value, reader.units[key]) for key, value in reading.values.items())


async def test_sensors_show_each_recorded_digit() -> None:
    shown_digits = set()
    for measurement, recorded, unit in recorded_values():
        row = MEASUREMENTS[measurement]
        value, digits = recorded, row.suggested_display_precision
        if digits is None:
            continue
        if row.device_class is not None and (shown_in := row.suggested_unit_of_measurement) is not None:
            value = UNIT_CONVERTERS[row.device_class].convert(recorded, unit, shown_in)
        assert round(value, digits) == pytest.approx(value, abs=1e-9), measurement
        shown_digits.add(digits)
    assert shown_digits == {0, 1, 2, 3}
