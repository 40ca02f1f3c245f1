"""Tables in `docs/results/` that tests have measured. A table is the end of its document."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

# Name of a measurement → head of its table.
HEADS: Final = {
    "e2e": "| step | in English, s | in German, s |\n|---|---:|---:|\n",
    "reliability": (
        "| fault | reader | attempts | at most in a minute | back after | telegrams lost | log lines "
        "| values |\n"
        "|---|---|---:|---:|---:|---:|---:|---|\n"
    ),
    "soak": "| | |\n|---|---|\n",
    "statistics": (
        "| Home Assistant was | from (UTC) | for | rows written | largest error | at its edges "
        "| rows written by a second run | without it: hours at 0 | without it: the hour of the return |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
    ),
    "tariff": (
        "| month | reader stores hours | counted by | outages | missed | *Peak demand this month*, kW "
        "| by the meter, kW | difference, W |\n"
        "|---|---|---|---:|---:|---:|---:|---:|\n"
    ),
}

# Number of cells that identify a row, for tables that are written row by row.
_LABELS: Final = {"tariff": 3}


def write(name: str, rows: Sequence[tuple[str, ...]], path: Path) -> None:
    """Replace the table of a document."""
    text, _, _ = path.read_text().partition("\n|")
    path.write_text(f"{text}\n{HEADS[name]}{''.join(map(_line, rows))}")


def renew(name: str, row: tuple[str, ...], path: Path) -> None:
    """Replace the row with the same labels, or append a row."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    rows = {cells[: _LABELS[name]]: cells for cells in map(_cells, lines[HEADS[name].count("\n") :])}
    write(name, list({**rows, row[: _LABELS[name]]: row}.values()), path)


def _line(row: tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |\n"


def _cells(line: str) -> tuple[str, ...]:
    return tuple(line.removeprefix("| ").removesuffix(" |").split(" | "))
