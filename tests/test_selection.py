"""Which tests run, and how the results of all stages are shown."""

import ast
from collections.abc import Iterator
import subprocess
import sys

import pytest

from . import __main__ as checks, selection
from .selection import ROOT

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_quick(): pass

@pytest.mark.smoke
def test_smoke(): pass

@pytest.mark.slow("backfill/*", "docs/*.md")
def test_slow(): pass

@pytest.mark.weekly
def test_weekly(): pass
"""

CONFTEST = """
from tests import selection
pytest_addoption = selection.add_option
pytest_collection_modifyitems = selection.select
"""

QUICK = {"test_quick", "test_smoke"}
EVERYTHING = {*QUICK, "test_slow", "test_weekly"}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with one test of each kind, and nothing that has changed."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_of_each_kind=TESTS)
    markers = "slow(*files)\n  smoke\n  weekly"
    pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\nmarkers = {markers}\n")
    monkeypatch.setattr(selection, "ROOT", pytester.path)
    monkeypatch.setattr(selection, "changed_files", frozenset)
    return pytester


def selected(project: pytest.Pytester, *arguments: str) -> set[str]:
    """Return the tests that run."""
    recorded = project.inline_run("--collect-only", "-p", "no:homeassistant", *arguments)
    (collected,) = recorded.getcalls("pytest_collection_finish")
    return {item.name for item in collected.session.items}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), EVERYTHING - {"test_weekly"}),
        (("--select", "all"), EVERYTHING - {"test_weekly"}),
        (("--select", "quick"), QUICK),
        (("--select", "changed"), QUICK),
        (("--select", "slow"), {"test_slow"}),
        (("--select", "smoke"), {"test_smoke"}),
        (("--select", "everything"), EVERYTHING),
        (("test_of_each_kind.py",), EVERYTHING),
        (("test_of_each_kind.py", "--select", "quick"), QUICK),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_option_selects_tests(
    project: pytest.Pytester, arguments: tuple[str, ...], expected: set[str]
) -> None:
    assert selected(project, *arguments) == expected


@pytest.mark.parametrize(
    ("changed", "is_selected"),
    [
        ("custom_components/energy_sse/backfill/plan.py", True),
        ("docs/statistics.md", True),
        ("test_of_each_kind.py", True),
        ("custom_components/energy_sse/sensor.py", False),
        ("README.md", False),
    ],
)
def test_slow_test_runs_when_its_files_have_changed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, changed: str, *, is_selected: bool
) -> None:
    monkeypatch.setattr(selection, "changed_files", lambda: frozenset([changed]))
    assert selected(project, "--select", "changed") == QUICK | ({"test_slow"} if is_selected else set())


def git(project: pytest.Pytester, *arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *author, *arguments], cwd=project.path, check=True, capture_output=True)  # noqa: S607


def test_changed_files_are_those_of_the_branch_and_of_the_work_tree(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "ROOT", pytester.path)
    assert selection.changed_files() == set(), "no repository"
    git(pytester, "init")
    for name in ("old.py", "of_branch.py", "modified.py"):
        (pytester.path / name).touch()
        git(pytester, "add", name)
        git(pytester, "commit", "--message", name)
        if name == "old.py":
            git(pytester, "update-ref", "refs/remotes/origin/main", "HEAD")
    (pytester.path / "modified.py").write_text("modified")
    (pytester.path / "new.py").touch()
    assert selection.changed_files() == {"of_branch.py", "modified.py", "new.py"}


def slow_patterns() -> Iterator[str]:
    """Yield the patterns in all markers."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.slow":
                yield from (ast.literal_eval(argument) for argument in node.args)


def test_every_pattern_of_a_slow_test_means_a_file() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    names = files.stdout.splitlines()
    patterns = set(slow_patterns())
    assert "power_tariff/*" in patterns
    assert {each for each in patterns if not any(selection.is_match(name, each) for name in names)} == set()


# ------------------------------------------------------------------------------------- the results


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


PASSES = python("print('==== 3 passed, 1 skipped in 1.00s ====')")
FAILS = python(
    "print('FAILED tests/test_a.py::test_b[c d] - assert 1 == 2');"
    "print('==== 1 failed, 2 passed, 2 errors in 1.00s ===='); raise SystemExit(1)"
)


def test_stage_runs_all_its_commands_and_adds_their_counts() -> None:
    result = checks.run_stage("stage", FAILS, PASSES)
    assert not result.is_ok
    assert result.counts == {"failed": 3, "passed": 5, "skipped": 1}
    assert result.failed_tests == {"tests/test_a.py::test_b[c d]"}


def test_stage_without_a_summary_has_no_counts() -> None:
    assert checks.run_stage("stage", python("print('All checks passed!')")).counts == {}


def test_table_shows_every_stage_and_the_sum_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    stages = {"ruff": python("pass"), "tests": FAILS, "smoke": PASSES}
    checks.print_table([checks.run_stage(name, command) for name, command in stages.items()])
    head, *rows, empty, total = capsys.readouterr().out.splitlines()[-6:]
    assert head.split() == ["stage", "passed", "failed", "skipped", "seconds", "result"]
    assert [(cells[:4], cells[5:]) for cells in (row.split() for row in rows)] == [
        (["ruff", "-", "-", "-"], ["ok"]),
        (["tests", "2", "3", "0"], ["FAILED"]),
        (["smoke", "3", "0", "1"], ["ok"]),
    ]
    assert (empty, total) == ("", "5 passed, 3 failed, 1 skipped")


@pytest.mark.parametrize(("first", "status"), [(PASSES, 0), (FAILS, 1)], ids=["passed", "failed"])
def test_exit_status_is_that_of_the_worst_stage(
    monkeypatch: pytest.MonkeyPatch, first: list[str], status: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/test"])
    monkeypatch.setattr(
        checks, "run_default", lambda: [checks.run_stage("a", first), checks.run_stage("b", PASSES)]
    )
    assert checks.main() == status


def test_repeated_runs_show_how_often_each_test_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "pytest", lambda *_: FAILS)
    results = checks.run_repeatedly(2, 1, ())
    assert [result.is_ok for result in results] == [False, False]
    assert "   2  tests/test_a.py::test_b[c d]" in capsys.readouterr().out.splitlines()
