"""The table of docs/reliability.md, as a run of the fault matrix has measured it."""

from pathlib import Path
import re

HEAD = (
    "| fault | reader | attempts | at most in a minute | back after | telegrams lost | log lines | values |\n"
    "|---|---|---:|---:|---:|---:|---:|---|\n"
)
TABLE = re.compile(r"(<!-- made by scripts/reliability -->\n).*(<!-- end of it -->)", re.DOTALL)


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    """Put the rows into a document, in place of those that it has."""
    table = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    path.write_text(TABLE.sub(lambda found: f"{found[1]}{table}{found[2]}", path.read_text()))
