"""docs/results/performance.md, where each benchmark has a section between two marks."""

from pathlib import Path

PATH = Path(__file__).parents[1] / "docs/results/performance.md"

BEGIN, END = "<!-- measured by scripts/bench {} -->\n", "<!-- end of {} -->\n"


def with_section(document: str, name: str, section: str) -> str:
    """Return the document with a new section. Raises ValueError if the document has no marks for it."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = document.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the document has no place for {name}")
    return before + begin + section + end + after


def write(name: str, section: str) -> None:
    """Write a section into the document."""
    PATH.write_text(with_section(PATH.read_text(), name, section))
