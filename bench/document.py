"""Sections of docs/results/performance.md. Each benchmark has one, between two comments."""

from pathlib import Path

PATH = Path(__file__).parents[1] / "docs/results/performance.md"

BEGIN, END = "<!-- measured by scripts/bench {} -->\n", "<!-- end of {} -->\n"


def with_section(document: str, name: str, section: str) -> str:
    """Return the document with a new section. Raises ValueError if it does not contain the two comments."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = document.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the document has no place for {name}")
    return before + begin + section + end + after


def write(name: str, section: str) -> None:
    """Replace the section of a benchmark in the document."""
    PATH.write_text(with_section(PATH.read_text(), name, section))
