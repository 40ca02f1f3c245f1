"""Which tests run: the markers `slow`, `weekly` and `smoke`, and pytest's option `--select`."""

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
import subprocess
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# What a branch is compared with to find the files that have changed.
_BASES: Final = ("origin/HEAD", "origin/main")

# Markers of tests name files below it without this prefix.
_INTEGRATION: Final = "custom_components/energy_sse/"


class Selection(StrEnum):
    """Values of `--select`."""

    QUICK = "quick"
    """All tests that are neither slow nor weekly."""

    CHANGED = "changed"
    """The quick tests, and the slow ones about files that have changed."""

    SLOW = "slow"
    """Only the slow tests."""

    SMOKE = "smoke"
    """Only the tests that every supported version of Home Assistant has to pass."""

    ALL = "all"
    """All tests that are not weekly."""

    EVERYTHING = "everything"
    """All tests."""


def add_option(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--select",
        choices=list(Selection),
        help="which tests run (default: all; everything if files or tests are named on the command line)",
    )


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that the option leaves out."""
    selection = _selection(config)
    changed = changed_files() if selection is Selection.CHANGED else frozenset()
    selected = [item for item in items if _is_selected(item, selection, changed)]
    config.hook.pytest_deselected(items=list(set(items).difference(selected)))
    items[:] = selected


def _selection(config: pytest.Config) -> Selection:
    chosen = config.getoption("--select")
    if chosen is not None:
        return Selection(chosen)
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS
    return Selection.EVERYTHING if is_named else Selection.ALL


def _is_selected(item: pytest.Item, selection: Selection, changed: Iterable[str]) -> bool:
    slow = item.get_closest_marker("slow")
    if item.get_closest_marker("weekly") is not None:
        return selection is Selection.EVERYTHING
    match selection:
        case Selection.QUICK:
            return slow is None
        case Selection.CHANGED:
            return slow is None or _is_about(item, slow, changed)
        case Selection.SLOW:
            return slow is not None
        case Selection.SMOKE:
            return item.get_closest_marker("smoke") is not None
        case _:
            return True


def _is_about(item: pytest.Item, slow: pytest.Mark, changed: Iterable[str]) -> bool:
    """Return whether a slow test, or a file that its marker names, has changed."""
    patterns = (str(item.path.relative_to(ROOT)), *slow.args)
    return any(is_match(path, pattern) for path in changed for pattern in patterns)


def is_match(path: str, pattern: str) -> bool:
    """Return whether a pattern of a marker means a file of the repository."""
    return fnmatch(path, pattern) or fnmatch(path.removeprefix(_INTEGRATION), pattern)


def changed_files() -> frozenset[str]:
    """Return the files that differ from the main branch, committed or not. Empty without git."""
    base = next(
        (_git("merge-base", "HEAD", base)[0] for base in _BASES if _git("merge-base", "HEAD", base)), "HEAD"
    )
    return frozenset(
        (*_git("diff", "--name-only", base), *_git("ls-files", "--others", "--exclude-standard"))
    )


def _git(*arguments: str) -> list[str]:
    """Return the lines that git prints; none if it fails."""
    try:
        result = subprocess.run(
            ["git", *arguments],  # noqa: S607 (wherever it is installed)
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return []
    return result.stdout.splitlines() if result.returncode == 0 else []
