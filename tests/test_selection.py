"""Selection of the tests that run, and results of all stages."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
import os
import subprocess
import sys
import tomllib

import pytest

from . import __main__ as checks, selection
from .selection import ROOT

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_quick(): pass

@pytest.mark.smoke
def test_smoke(): pass

@pytest.mark.slow("power_tariff/*", "docs/*.md")
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


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with one test of each kind, and the options of this one."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_of_each_kind=TESTS)
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    markers = "\n  ".join(options["markers"])
    pytester.makeini(
        f"[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        f"addopts = {options['addopts']}\nmarkers = {markers}\n"
    )
    monkeypatch.setattr(selection, "ROOT", pytester.path)
    return pytester


def selected(project: pytest.Pytester, *arguments: str) -> set[str]:
    """Return the tests that run."""
    recorded = project.inline_run("--collect-only", "-p", "no:homeassistant", *arguments)
    (collected,) = recorded.getcalls("pytest_collection_finish")
    return {item.name for item in collected.session.items}


def test_weekly_tests_run_only_on_request(project: pytest.Pytester) -> None:
    assert selected(project) == {*QUICK, "test_slow"}
    assert selected(project, "-m", "") == {*QUICK, "test_slow", "test_weekly"}


@pytest.mark.parametrize(
    ("changed", "is_selected"),
    [
        (["custom_components/energy_sse/power_tariff/demand.py"], True),
        (["docs/missed-hours.md"], True),
        (["test_of_each_kind.py"], True),
        (["pyproject.toml"], True),
        (None, True),
        (["custom_components/energy_sse/sensor.py", "README.md"], False),
    ],
)
def test_slow_test_runs_when_its_files_have_changed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, changed: list[str] | None, *, is_selected: bool
) -> None:
    monkeypatch.setattr(selection, "changed_files", lambda: changed)
    assert selected(project, "--changed") == QUICK | ({"test_slow"} if is_selected else set())


def git(project: pytest.Pytester, *arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *author, *arguments], cwd=project.path, check=True, capture_output=True)  # noqa: S607


def test_changed_files_include_branch_and_work_tree(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        # Set in a hook of git, they name the repository of the hook.
        monkeypatch.delenv(name)
    monkeypatch.setattr(selection, "ROOT", pytester.path)
    assert selection.changed_files() is None
    git(pytester, "init", "--initial-branch", "feature")
    for name in ("old.py", "of_branch.py", "modified.py"):
        (pytester.path / name).touch()
        git(pytester, "add", name)
        git(pytester, "commit", "--message", name)
        if name == "old.py":
            git(pytester, "update-ref", "refs/remotes/origin/main", "HEAD")
    (pytester.path / "modified.py").write_text("modified")
    (pytester.path / "new.py").touch()
    assert selection.changed_files() == frozenset({"of_branch.py", "modified.py", "new.py"})


def slow_patterns() -> Iterator[str]:
    """Yield the patterns in all markers."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.slow":
                yield from (ast.literal_eval(argument) for argument in node.args)


def test_patterns_of_slow_tests_match_files() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    names = files.stdout.splitlines()
    patterns = set(slow_patterns())
    assert "power_tariff/*" in patterns
    assert {each for each in patterns if not any(selection.is_match(name, each) for name in names)} == set()


# ------------------------------------------------------------------------------------- the results

PASSES = [sys.executable, "-c", "print('2 passed')"]
FAILS = [sys.executable, "-c", "raise SystemExit('Found 3 errors.')"]


@pytest.mark.parametrize("fails", [False, True])
def test_status_is_1_if_a_stage_failed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, fails: bool
) -> None:
    def run_default() -> Iterator[checks.Result]:
        yield checks.run_stage("ruff", *([FAILS, ["/no/such/command"]] if fails else []), PASSES)
        yield checks.Result("tests", counts=Counter(passed=5, skipped=1))

    monkeypatch.setattr(sys, "argv", ["scripts/test"])
    monkeypatch.setattr(checks, "run_default", run_default)
    assert checks.main() == int(fails)
    output = capfd.readouterr().out
    assert "2 passed" in output, "the commands after a failed one run"
    ruff, tests, _, total = output.splitlines()[-4:]
    assert ruff.split() == ["ruff", "-", "-", "-", "0", "FAILED" if fails else "ok"]
    assert tests.split() == ["tests", "5", "0", "1", "0", "ok"]
    assert total == "5 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize("run", [checks.run_all, checks.run_weekly])
def test_each_supported_home_assistant_is_tested(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], Iterator[checks.Result]]
) -> None:
    tested: dict[str, tuple[str, ...]] = {}

    def run_pytest(environment: str, *arguments: str) -> checks.Result:
        tested[environment] = arguments
        return checks.Result(environment, is_ok=False)

    monkeypatch.setattr(checks, "run_pytest", run_pytest)
    monkeypatch.setattr(checks, "_run", lambda _command: (1, "3 passed, 1 failed"))
    monkeypatch.setattr(checks, "_SETUP", "true")
    *_, browser = run()
    assert set(tested) == {".venv", ".venv-oldest", ".venv-newest"}
    assert "--cov" in tested[".venv"]
    assert ("smoke and not server" in tested[".venv-oldest"]) == (run is checks.run_all)
    assert "tests.newest_home_assistant" in tested[".venv-newest"]
    assert browser.counts == {"passed": 3, "failed": 1}
