"""Changes the product at random, one place at a time, and tells which changes no test noticed.

The changes are Cosmic Ray's. They are made in a copy of the project. Those that are known to change nothing
that anybody could see stand in `mutation/equivalent.toml`, each with the reason.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
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

_PRODUCT: Final = Path("custom_components/energy_sse")

# Group → its files, and the tests that have to notice a change, in stages.
_GROUPS: Final = tomllib.loads((Path(__file__).parent / "tests.toml").read_text())
_EQUIVALENT: Final = Path(__file__).parent / "equivalent.toml"

# Seconds for the tests of one change, and times as long as without a change: what has not ended then hangs.
_SHORTEST_PATIENCE: Final = 60
_IDLE_TIMEOUT: Final = 3

# Seconds for tests that shall pass.
_LONGEST_CHECK: Final = 900


class MutantStatus(Enum):
    """What can become of a change, and how that is shown."""

    KILLED = "."
    TOOK_TOO_LONG = "t"
    """Noticed, too: the tests do not end."""

    CHANGES_NOTHING = "="
    NOT_NOTICED = "NOT KILLED"


class Outcome(NamedTuple):
    """What became of a change."""

    fate: MutantStatus
    what_changed: str


class Sandbox:
    """A copy of the project, and a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        """Copy what git knows, and start."""
        self._folder = folder
        self._socket = folder / "tests.socket"
        self._patience = _SHORTEST_PATIENCE
        files = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
        for name in files.split("\0"):
            if name and Path(name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, folder / name)
        self._fork_server = subprocess.Popen(
            [sys.executable, "-m", "mutation.fork_server", "serve", str(self._socket)],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        assert self._fork_server.stdout is not None
        self._fork_server.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._fork_server.terminate()
        self._fork_server.wait()

    def try_change(self, change: MutationSpec, tests: Sequence[str]) -> Outcome:
        """Make a change, run tests, and take it back."""
        result = mutate_and_test(
            [change], shlex.join(self._command(tests, self._patience)), self._patience + 10
        )
        if result.test_outcome is None or self._fork_server.poll() is not None:
            raise RuntimeError(f"{change} could not be tried: {result.output}")
        fate = MutantStatus.KILLED
        if result.test_outcome is TestOutcome.SURVIVED:
            fate = MutantStatus.NOT_NOTICED
        elif TOOK_TOO_LONG in (result.output or ""):
            fate = MutantStatus.TOOK_TOO_LONG
        return Outcome(fate, _what_changed(result.diff or ""))

    def check(self, tests: Sequence[str]) -> None:
        """Run tests without any change, and learn how long they take. Raises SystemExit when one fails."""
        began_at = time.monotonic()
        if subprocess.run(self._command(tests, _LONGEST_CHECK), check=False).returncode:
            sys.exit(f"Without any change, a test fails in {' '.join(tests)}")
        self._patience = max(self._patience, round((time.monotonic() - began_at) * _IDLE_TIMEOUT))

    def _command(self, tests: Sequence[str], patience: int) -> list[str]:
        return [
            *(sys.executable, "-S", "-E", str(self._folder / "mutation/fork_server.py")),
            *("ask", str(self._socket), str(patience)),
            *("-x", "-q", "-p", "no:cacheprovider", "-m", "not server and not weekly", *tests),
        ]


def _try(
    workplace: Sandbox,
    change: MutationSpec,
    stages: Iterable[Sequence[str]],
    equivalent: Container[str],
) -> Outcome:
    """Return what became of a change. `equivalent` are those of its file that are known to change nothing."""
    outcome = Outcome(MutantStatus.NOT_NOTICED, "")
    for stage in stages:
        outcome = workplace.try_change(change, stage)
        if outcome.fate is not MutantStatus.NOT_NOTICED:
            break
        if outcome.what_changed in equivalent:
            return Outcome(MutantStatus.CHANGES_NOTHING, outcome.what_changed)
    return outcome


def _stages(group: str, name: str) -> Iterator[list[str]]:
    """Yield the stages of a module's tests, without files that there are not."""
    for stage in _GROUPS[group]["stages"]:
        tests = [path for test in stage if Path(path := test.format(name=name)).exists()]
        if tests:
            yield tests


def _what_changed(diff: str) -> str:
    """Return the lines that a diff takes away and adds, which name a change also when code moves."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines if line[1:].strip())


def _known_to_change_nothing() -> dict[str, set[str]]:
    """Return the changes that no test can notice, by file."""
    known: dict[str, set[str]] = defaultdict(set)
    for each in tomllib.loads(_EQUIVALENT.read_text())["known"]:
        known[each["file"]].add(each["change"].strip())
    return known


def _try_changes(group: str, number: int, seed: int, minutes: float) -> Counter[MutantStatus]:
    equivalent = _known_to_change_nothing()
    end = time.monotonic() + minutes * 60
    fates: Counter[MutantStatus] = Counter()
    with tempfile.TemporaryDirectory() as name:
        workplace = Sandbox(Path(name))
        product = Path(name) / _PRODUCT
        stages_of = {
            module: list(_stages(group, module.stem))
            for pattern in _GROUPS[group]["files"]
            for module in sorted(product.glob(pattern))
        }
        try:
            for stage in {tuple(stage) for stages in stages_of.values() for stage in stages[-2:]}:
                workplace.check(stage)
            changes = sample(list(stages_of), number, seed, Path(name))
            print(f"{group}: {len(changes)} changes of {len(stages_of)} files")
            for change in changes:
                if time.monotonic() > end:
                    print("\nThe time is over.")
                    break
                module = Path(change.module_path)
                name_of_module = str(module.relative_to(product))
                outcome = _try(workplace, change, stages_of[module], equivalent.get(name_of_module, ()))
                fates[outcome.fate] += 1
                if outcome.fate is MutantStatus.NOT_NOTICED:
                    print(f"\n{outcome.fate.value}: {name_of_module}, in {change.definition_name}")
                    print(outcome.what_changed, flush=True)
                else:
                    print(outcome.fate.value, end="", flush=True)
        finally:
            workplace.close()
    return fates


def _row(group: str, fates: Counter[MutantStatus]) -> str:
    noticed = fates[MutantStatus.KILLED] + fates[MutantStatus.TOOK_TOO_LONG]
    changing = fates.total() - fates[MutantStatus.CHANGES_NOTHING]
    return (
        f"| {group} | {fates.total()} | {noticed} | {fates[MutantStatus.CHANGES_NOTHING]} "
        f"| {fates[MutantStatus.NOT_NOTICED]} | {noticed / max(changing, 1):.0%} |"
    )


def main() -> int:
    """Try changes, and print a table. Returns 1 when some were not noticed."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"what to change: {', '.join(_GROUPS)} (default: all)")
    parser.add_argument("--number", type=int, default=60, help="of changes to try in each (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (1)")
    parser.add_argument("--minutes", type=float, default=15, help="for each, after which it ends (15)")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(_GROUPS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    fates = {
        group: _try_changes(group, arguments.number, arguments.seed, arguments.minutes)
        for group in arguments.groups or _GROUPS
    }
    print(
        "\n\n| group | tried | noticed | change nothing | not noticed | noticed of what changes something |"
        "\n|---|---:|---:|---:|---:|---:|"
    )
    for group, each in fates.items():
        print(_row(group, each))
    all_fates = sum(fates.values(), Counter[MutantStatus]())
    print(_row("all", all_fates))
    return int(all_fates[MutantStatus.NOT_NOTICED] > 0)


if __name__ == "__main__":
    sys.exit(main())
