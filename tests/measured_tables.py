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
        "| received rows changed | rows written by a second run | without it: hours at 0 "
        "| without it: the hour of the return |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
    ),
    "tariff": (
        "| month | reader stores hours | counted by | outages | missed | *Peak demand*, kW "
        "| by the meter, kW | difference, W |\n"
        "|---|---|---|---:|---:|---:|---:|---:|\n"
    ),
}


# How many of its cells say what a row is about, where a table gets its rows one by one.
_LABELS: Final = {"tariff": 3}


def write(name: str, rows: list[tuple[str, ...]], path: Path) -> None:
    """Put rows into a document, in place of those that it has."""
    table = HEADS[name] + "".join(_line(row) for row in rows)
    path.write_text(_place_of(name).sub(lambda found: f"{found[1]}{table}{found[3]}", path.read_text()))


def renew(name: str, row: tuple[str, ...], path: Path) -> None:
    """Put one row into a document, in place of the one about the same, or below all others."""
    found = _place_of(name).search(path.read_text())
    assert found is not None
    lines = found[2].removeprefix(HEADS[name]).splitlines()
    rows = {cells[: _LABELS[name]]: cells for cells in map(_cells, lines)}
    write(name, list({**rows, row[: _LABELS[name]]: row}.values()), path)


def _place_of(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- made by scripts/{name} -->\n)(.*)(<!-- end of it -->)", re.DOTALL)


def _line(row: tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |\n"


def _cells(line: str) -> tuple[str, ...]:
    return tuple(line.removeprefix("| ").removesuffix(" |").split(" | "))
