"""Terms of the glossary, compared with the code."""

from pathlib import Path
import re

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")][1:]
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in LINES]


def test_terms_are_in_alphabetical_order() -> None:
    terms = [term for term, *_ in ROWS]
    assert terms == sorted(set(terms), key=str.casefold)


def test_areas_are_those_of_the_introduction() -> None:
    assert {area for _, area, *_ in ROWS} == {"metering", "HTTP", "Home Assistant", "project"}


def test_names_in_the_glossary_exist_in_the_code() -> None:
    folders = ("bench", "custom_components")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    for _, _, meaning, _ in ROWS:
        for name in re.findall(r"`([^`]+)`", meaning):
            is_path = any(
                (folder / name).exists() for folder in (ROOT, ROOT / "custom_components/energy_sse")
            )
            assert is_path or re.search(rf"\b{name}\b", code), name


def test_rejected_words_are_not_terms() -> None:
    terms = {term for term, *_ in ROWS}
    rejected = {word.strip() for *_, words in ROWS for word in words.split(",") if word.strip()}
    assert not terms & rejected
