"""Mutation testing: change the code at random, and list the mutants that survive all tests.

Cosmic Ray creates the mutants in a copy of the project. `mutation/equivalent.toml` lists the equivalent
mutants, each with the reason.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from enum import Enum
from pathlib import Path
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from typing import Final, NamedTuple

from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome

from .changes import sample
from .fork_server import TOOK_TOO_LONG
from .stages import stages

_PRODUCT: Final = Path("custom_components/energy_sse")

_EQUIVALENT: Final = Path(__file__).parent / "equivalent.toml"

# Files of the integration that are changed by default.
_FILES: Final = ("reader/*.py", "power_tariff/*.py", "*.py")

# Seconds for a stage of tests. A stage that takes three times as long as without a mutant hangs.
_MIN_TIMEOUT: Final = 60
_TIMEOUT_FACTOR: Final = 3
_CHECK_TIMEOUT: Final = 900

# Exit status of pytest if no tests were selected.
_NO_TESTS: Final = 5


class MutantStatus(Enum):
    """Result of a mutant, and its text in the output."""

    KILLED = "."
    TIMED_OUT = "t"
    """Counts as killed, because the tests do not end."""

    EQUIVALENT = "="
    SURVIVED = "SURVIVED"


class Outcome(NamedTuple):
    """Result of a mutant, and its changed lines."""

    status: MutantStatus
    diff: str


class Sandbox:
    """Copy of the project, with a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        """Copy the files that git tracks, and start the process."""
        self.folder = folder
        self._socket = folder / "tests.socket"
        self._timeouts: dict[tuple[str, ...], int] = {}
        """Timeout in seconds by the arguments of pytest; 0 if they select no tests."""

        files = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
        for name in files.split("\0"):
            if name and Path(name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, folder / name)
        # Some tests ask git which files exist.
        for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
            subprocess.run(command, cwd=folder, check=True)
        self._fork_server = subprocess.Popen(
            [sys.executable, "-m", "mutation.fork_server", "serve", str(self._socket)],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        assert self._fork_server.stdout is not None
        self._fork_server.stdout.readline()

    def close(self) -> None:
        """Stop the process."""
        self._fork_server.terminate()
        self._fork_server.wait()

    def has_tests(self, arguments: tuple[str, ...]) -> bool:
        """Run tests without a mutant, once, and measure their time. Raises SystemExit if one fails."""
        if arguments not in self._timeouts:
            began_at = time.monotonic()
            status = subprocess.run(self._command(arguments, _CHECK_TIMEOUT), check=False).returncode
            if status not in (0, _NO_TESTS):
                sys.exit(f"A test fails without a mutant: pytest {shlex.join(arguments)}")
            seconds = round((time.monotonic() - began_at) * _TIMEOUT_FACTOR)
            self._timeouts[arguments] = 0 if status == _NO_TESTS else max(_MIN_TIMEOUT, seconds)
        return self._timeouts[arguments] > 0

    def test_mutant(self, mutant: MutationSpec, arguments: tuple[str, ...]) -> Outcome:
        """Apply a mutant, run tests, and restore the code."""
        timeout = self._timeouts[arguments]
        result = mutate_and_test([mutant], shlex.join(self._command(arguments, timeout)), timeout + 10)
        if result.test_outcome is None or self._fork_server.poll() is not None:
            raise RuntimeError(f"{mutant} could not be tested: {result.output}")
        status = MutantStatus.KILLED
        if result.test_outcome is TestOutcome.SURVIVED:
            status = MutantStatus.SURVIVED
        elif TOOK_TOO_LONG in (result.output or ""):
            status = MutantStatus.TIMED_OUT
        return Outcome(status, _changed_lines(result.diff or ""))

    def _command(self, arguments: tuple[str, ...], timeout: int) -> list[str]:
        return [
            *(sys.executable, "-S", "-E", str(self.folder / "mutation/fork_server.py")),
            *("ask", str(self._socket), str(timeout)),
            *("-x", "-q", "-p", "no:cacheprovider", *arguments),
        ]


def _test_mutant(
    sandbox: Sandbox,
    mutant: MutationSpec,
    stages: Iterable[tuple[str, ...]],
    equivalent: Container[str],
) -> Outcome:
    """Return the result of a mutant. `equivalent` contains the equivalent mutants of its file."""
    outcome = Outcome(MutantStatus.SURVIVED, "")
    for stage in stages:
        if not sandbox.has_tests(stage):
            continue
        outcome = sandbox.test_mutant(mutant, stage)
        if outcome.status is not MutantStatus.SURVIVED:
            break
        if outcome.diff in equivalent:
            return Outcome(MutantStatus.EQUIVALENT, outcome.diff)
    return outcome


def _changed_lines(diff: str) -> str:
    """Return the removed and added lines of a diff. They identify a mutant even if its code moves."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines if line[1:].strip())


def _equivalent_mutants() -> dict[str, set[str]]:
    """Return the mutants that change no behavior, by file."""
    known: dict[str, set[str]] = defaultdict(set)
    for each in tomllib.loads(_EQUIVALENT.read_text())["known"]:
        known[each["file"]].add(each["change"].strip())
    return known


def _test_mutants(pattern: str, number: int, seed: int, minutes: float) -> Counter[MutantStatus]:
    equivalent = _equivalent_mutants()
    end = time.monotonic() + minutes * 60
    results: Counter[MutantStatus] = Counter()
    with tempfile.TemporaryDirectory() as name:
        sandbox = Sandbox(Path(name))
        product = Path(name) / _PRODUCT
        modules = sorted(product.glob(pattern))
        try:
            mutants = sample(modules, number, seed, Path(name))
            print(f"{pattern}: {len(mutants)} mutants of {len(modules)} files")
            for mutant in mutants:
                if time.monotonic() > end:
                    print("\nThe time limit is reached.")
                    break
                module = Path(mutant.module_path).relative_to(product).as_posix()
                tests = stages(module, sandbox.folder)
                outcome = _test_mutant(sandbox, mutant, tests, equivalent.get(module, ()))
                results[outcome.status] += 1
                if outcome.status is MutantStatus.SURVIVED:
                    print(f"\n{outcome.status.value}: {module}, in {mutant.definition_name}")
                    print(outcome.diff, flush=True)
                else:
                    print(outcome.status.value, end="", flush=True)
        finally:
            sandbox.close()
    return results


def _row(pattern: str, results: Counter[MutantStatus]) -> str:
    killed = results[MutantStatus.KILLED] + results[MutantStatus.TIMED_OUT]
    changing = results.total() - results[MutantStatus.EQUIVALENT]
    return (
        f"| {pattern} | {results.total()} | {killed} | {results[MutantStatus.EQUIVALENT]} "
        f"| {results[MutantStatus.SURVIVED]} | {killed / max(changing, 1):.0%} |"
    )


def main() -> int:
    """Test mutants, and print a table. Return 1 if some have survived."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument(
        "files", nargs="*", default=_FILES, help=f"patterns of files to change (default: {' '.join(_FILES)})"
    )
    parser.add_argument("--number", type=int, default=60, help="mutants to test for each pattern (60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choice (1)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=15,
        help="time limit for each pattern; the test of the current mutant is finished (15)",
    )
    arguments = parser.parse_args()
    for pattern in arguments.files:
        if not any(_PRODUCT.glob(pattern)):
            parser.error(f"no file of the integration matches {pattern}")
    results = {
        pattern: _test_mutants(pattern, arguments.number, arguments.seed, arguments.minutes)
        for pattern in arguments.files
    }
    print("\n\n| files | tested | killed | equivalent | survived | killed, without equivalent |")
    print("|---|---:|---:|---:|---:|---:|")
    for pattern, each in results.items():
        print(_row(pattern, each))
    total = sum(results.values(), Counter[MutantStatus]())
    print(_row("all", total))
    return int(total[MutantStatus.SURVIVED] > 0)


if __name__ == "__main__":
    sys.exit(main())
