"""Selection of slow tests: the marker `slow`, and the option `--changed` of pytest."""

from fnmatch import fnmatch
from pathlib import Path
import subprocess
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# Branches to compare with, in order of preference.
_MAIN_BRANCHES: Final = ("origin/HEAD", "origin/main", "main")

# Markers name files of the integration without this prefix.
_INTEGRATION: Final = "custom_components/energy_sse/"

# Files that affect all slow tests.
_SHARED: Final = ("pyproject.toml", "requirements_test.txt", "tests/conftest.py", "tests/home_assistant.py")


def add_option(parser: pytest.Parser) -> None:
    """Add the option `--changed`."""
    parser.addoption(
        "--changed",
        action="store_true",
        help="deselect slow tests unless the files in their markers have changed",
    )


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect slow tests if the option asks for it."""
    if not config.getoption("--changed"):
        return
    changed = changed_files()
    if changed is None:
        # Without git it is unknown what has changed.
        return
    deselected = [item for item in items if not _is_selected(item, changed)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if _is_selected(item, changed)]


def _is_selected(item: pytest.Item, changed: frozenset[str]) -> bool:
    slow = item.get_closest_marker("slow")
    if slow is None:
        return True
    patterns = (str(item.path.relative_to(ROOT)), *_SHARED, *slow.args)
    return any(is_match(path, pattern) for path in changed for pattern in patterns)


def is_match(path: str, pattern: str) -> bool:
    """Return whether a pattern of a marker matches a file of the repository."""
    return fnmatch(path, pattern) or fnmatch(path.removeprefix(_INTEGRATION), pattern)


def changed_files() -> frozenset[str] | None:
    """Return the files that differ from the main branch, committed or not. None if git fails."""
    bases = (_git("merge-base", "HEAD", branch) for branch in _MAIN_BRANCHES)
    base = next((lines[0] for lines in bases if lines), "HEAD")
    committed = _git("diff", "--name-only", "--no-renames", base)
    new = _git("ls-files", "--others", "--exclude-standard")
    return None if committed is None or new is None else frozenset((*committed, *new))


def _git(*arguments: str) -> list[str] | None:
    """Return the lines that git prints; None if it fails."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.splitlines() if result.returncode == 0 else None
