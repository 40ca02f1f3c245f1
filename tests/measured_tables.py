"""The tables in `docs/` that a run of the tests or of the walk has measured."""

from pathlib import Path
import re
from typing import Final

# By the name of the document, and of the script that makes its table.
HEADS: Final = {
    "e2e": "| step | in English, s | in German, s |\n|---|---:|---:|\n",
    "reliability": (
        "| fault | reader | attempts | at most in a minute | back after | telegrams lost | log lines "
        "| values |\n"
        "|---|---|---:|---:|---:|---:|---:|---|\n"
    ),
    "statistics": (
        "| Home Assistant was | from (UTC) | for | rows written | largest error | at its edges "
        "| heard rows changed | rows written by a second run | without it: hours at 0 "
        "| without it: the hour of the return |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
    ),
    "tariff": (
        "| month | database | counted by | not heard for | missed | *Peak demand*, kW "
        "| by the meter, kW | difference, W |\n"
        "|---|---|---|---:|---:|---:|---:|---:|\n"
    ),
}


def write(name: str, rows: list[tuple[str, ...]], path: Path) -> None:
    """Put rows into a document, in place of those that it has."""
    table = HEADS[name] + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    pattern = re.compile(rf"(<!-- made by scripts/{name} -->\n).*(<!-- end of it -->)", re.DOTALL)
    path.write_text(pattern.sub(lambda found: f"{found[1]}{table}{found[2]}", path.read_text()))
