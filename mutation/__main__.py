"""Changes the product at random, one place at a time, and tells which changes no test noticed.

The changes are Cosmic Ray's. They are made in a copy of the project. Those that are known to change nothing
that anybody could see stand in `mutation/equivalent.toml`, each with the reason.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set as AbstractSet
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

_PRODUCT: Final = Path("custom_components/energy_sse")

# Group → its files, and the tests that have to notice a change, in stages.
_GROUPS: Final = tomllib.loads((Path(__file__).parent / "tests.toml").read_text())
_EQUIVALENT: Final = Path(__file__).parent / "equivalent.toml"

# Seconds for the tests of one change. They take a few; one that has not ended then hangs.
_PATIENCE: Final = 240


class Outcome(NamedTuple):
    """What became of a change."""

    module: str
    what_changed: str
    is_noticed: bool


class Workplace:
    """A copy of the project, and a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        """Copy what git knows, and start."""
        self._folder = folder
        self._socket = folder / "tests.socket"
        files = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
        for name in files.split("\0"):
            if name and Path(name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, folder / name)
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "mutation.nursery", "serve", str(self._socket)],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        assert self._nursery.stdout is not None
        self._nursery.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._nursery.terminate()
        self._nursery.wait()

    def notices(self, change: MutationSpec, tests: Sequence[str]) -> tuple[bool, str]:
        """Make a change, run tests, take it back. Returns whether one failed, and the change as a diff."""
        result = mutate_and_test([change], shlex.join(self._command(tests)), _PATIENCE + 10)
        if result.test_outcome is None or self._nursery.poll() is not None:
            raise RuntimeError(f"{change} could not be tried: {result.output}")
        return result.test_outcome is not TestOutcome.SURVIVED, result.diff or ""

    def check(self, tests: Sequence[str]) -> None:
        """Run tests without any change. Raises SystemExit when one fails."""
        if subprocess.run(self._command(tests), check=False).returncode:
            sys.exit(f"Without any change, a test fails in {' '.join(tests)}")

    def _command(self, tests: Sequence[str]) -> list[str]:
        return [
            *(sys.executable, "-S", "-E", str(self._folder / "mutation/nursery.py")),
            *("ask", str(self._socket), str(_PATIENCE)),
            *("-x", "-q", "-p", "no:cacheprovider", "-m", "not server and not long", *tests),
        ]


def _try(
    workplace: Workplace,
    change: MutationSpec,
    module: str,
    stages: Iterable[Sequence[str]],
    equivalent: AbstractSet[tuple[str, str]],
) -> Outcome | None:
    """Return what became of a change; None when it is known to change nothing."""
    what_changed = ""
    for stage in stages:
        is_noticed, diff = workplace.notices(change, stage)
        what_changed = _what_changed(diff)
        if is_noticed:
            return Outcome(module, what_changed, is_noticed=True)
        if (module, what_changed) in equivalent:
            return None
    return Outcome(module, what_changed, is_noticed=False)


def _stages(group: str, name: str) -> Iterator[list[str]]:
    """Yield the stages of a module's tests, without files that there are not."""
    for stage in _GROUPS[group]["stages"]:
        tests = [path for test in stage if Path(path := test.format(name=name)).exists()]
        if tests:
            yield tests


def _what_changed(diff: str) -> str:
    """Return the lines that a diff takes away and adds, which name a change also when code moves."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def _try_changes(groups: Sequence[str], number: int, seed: int, minutes: float) -> list[Outcome]:
    equivalent = {
        (each["file"], each["change"].strip()) for each in tomllib.loads(_EQUIVALENT.read_text())["known"]
    }
    end = time.monotonic() + minutes * 60
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        workplace = Workplace(Path(name))
        product = Path(name) / _PRODUCT
        stages_of = {
            module: list(_stages(group, module.stem))
            for group in groups
            for pattern in _GROUPS[group]["files"]
            for module in sorted(product.glob(pattern))
        }
        try:
            for stage in {tuple(stage) for stages in stages_of.values() for stage in stages[-2:]}:
                workplace.check(stage)
            changes = sample(list(stages_of), number, seed, Path(name))
            print(f"{len(changes)} changes of {len(stages_of)} files, for at most {minutes:.0f} minutes")
            for change in changes:
                if time.monotonic() > end:
                    print("The time is over.")
                    break
                module = Path(change.module_path)
                name_of_module = str(module.relative_to(product))
                outcome = _try(workplace, change, name_of_module, stages_of[module], equivalent)
                if outcome is None:
                    continue
                outcomes.append(outcome)
                if outcome.is_noticed:
                    print(".", end="", flush=True)
                else:
                    print(f"\nNOT NOTICED: {outcome.module}, in {change.definition_name}")
                    print(outcome.what_changed)
        finally:
            workplace.close()
    return outcomes


def main() -> int:
    """Try changes, and print a table. Returns 1 when some were not noticed."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"what to change: {', '.join(_GROUPS)} (default: all)")
    parser.add_argument("--number", type=int, default=200, help="of changes to try (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (1)")
    parser.add_argument("--minutes", type=float, default=30, help="after which it ends (30)")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(_GROUPS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    outcomes = _try_changes(
        arguments.groups or list(_GROUPS), arguments.number, arguments.seed, arguments.minutes
    )
    tried = Counter(outcome.module for outcome in outcomes)
    noticed = Counter(outcome.module for outcome in outcomes if outcome.is_noticed)
    print("\n\n| file | changes | noticed |\n|---|---:|---:|")
    for module in sorted(tried):
        print(f"| {module} | {tried[module]} | {noticed[module]} |")
    print(f"| all | {tried.total()} | {noticed.total()} ({noticed.total() / max(tried.total(), 1):.1%}) |")
    return int(noticed.total() < tried.total())


if __name__ == "__main__":
    sys.exit(main())
