"""Measure the project, and write the results into docs/: python -m measure (scripts/measure)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Final

from . import structure

_ROOT: Final = structure.ROOT

_PYTEST: Final = (sys.executable, "-m", "pytest", "-q")


def _run(*command: str) -> None:
    """Run a command. Raises CalledProcessError if it fails."""
    subprocess.run(command, cwd=_ROOT, check=True)


def measure_structure(arguments: argparse.Namespace, _for_pytest: Sequence[str]) -> None:
    """Compare the code with homewizard and peblar: docs/results/structure.md. Takes 10 seconds."""
    _run("scripts/setup", "newest")
    structure.write(_ROOT / ".venv-newest", arguments.libraries)


def measure_reliability(_arguments: argparse.Namespace, for_pytest: Sequence[str]) -> None:
    """Run the fault matrix: docs/results/reliability.md. Takes minutes."""
    _run(
        *_PYTEST, "tests/test_reliability.py", "--reliability-table=docs/results/reliability.md", *for_pytest
    )


def measure_statistics(_arguments: argparse.Namespace, for_pytest: Sequence[str]) -> None:
    """Correct the hours of simulated outages: docs/results/statistics.md. Takes minutes."""
    selected = ("tests/test_backfill.py", "-m", "", "-k", "every_hour_of_an_outage and SQLite")
    _run(*_PYTEST, *selected, "--statistics-table=docs/results/statistics.md", *for_pytest)


def measure_tariff(arguments: argparse.Namespace, for_pytest: Sequence[str]) -> None:
    """Simulate a year with a power tariff, month by month: docs/results/power-tariff.md. Takes an hour.

    With -k, only the rows of the selected tests are written again.
    """
    table = ("tests/test_power_tariff_year.py", "--tariff-table=docs/results/power-tariff.md")
    day = ("tests/test_tariff_day.py", "--tariff-picture=docs/pictures/tariff_day.svg")
    _run(*_PYTEST, "-m", "", *(day if arguments.day else table), *for_pytest)


def measure_pictures(_arguments: argparse.Namespace, for_pytest: Sequence[str]) -> None:
    """Show an outage in the Energy dashboard: the pictures of docs/missed-hours.md. Takes minutes."""
    _run("scripts/setup", "e2e")
    with TemporaryDirectory() as databases:
        _run(*_PYTEST, "tests/test_backfill.py", "-k", "eight_hours", "--keep-days", databases, *for_pytest)
        _run(".venv-e2e/bin/python", "-m", "e2e.pictures", "--browser", ".venv-e2e/chromium", databases)


_MEASUREMENTS: Final = {
    "structure": measure_structure,
    "reliability": measure_reliability,
    "statistics": measure_statistics,
    "tariff": measure_tariff,
    "pictures": measure_pictures,
}


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Return the parsed arguments, and the remaining ones, which are pytest's."""
    parser = argparse.ArgumentParser(
        prog="scripts/measure",
        description="Measure the project, and write the results into docs/.",
        epilog="All other arguments are passed to pytest. See also: scripts/bench, for CPU and database.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, function in _MEASUREMENTS.items():
        text = function.__doc__ or ""
        command = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, allow_abbrev=False
        )
        if name == "tariff":
            command.add_argument(
                "--day", action="store_true", help="only the picture of a day; half a minute"
            )
        if name == "structure":
            command.add_argument(
                "--libraries",
                type=Path,
                default=_ROOT / ".venv-newest/libraries",
                help="folder with the client libraries of homewizard and peblar (default: %(default)s)",
            )
    return parser.parse_known_args(arguments)


def main() -> int:
    """Run the measurement that the command line selects. Return the exit status."""
    arguments, for_pytest = parse_arguments()
    try:
        _MEASUREMENTS[arguments.what](arguments, for_pytest)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
