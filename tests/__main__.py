"""Run the project's checks in stages, and print a table of their results: python -m tests (scripts/test)."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
import os
from pathlib import Path
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from typing import Final, NoReturn

_ROOT: Final = Path(__file__).parents[1]
_SETUP: Final = str(_ROOT / "scripts/setup")

# One process more than there are cores, because a test often waits for a socket, a file or a database.
_PARALLEL: Final = ("-n", str(len(os.sched_getaffinity(0)) + 1), "--dist", "worksteal")

# The counts in pytest's summary line, and in the last line of the end-to-end tests.
_COUNT: Final = re.compile(r"(\d+) (passed|failed|error|skipped)")

_FAILED_TEST: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_COLOR: Final = re.compile(r"\x1b\[[\d;]*m")


@dataclass
class Result:
    """The result of a stage."""

    stage: str
    is_ok: bool = True
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    """Number of tests that passed, failed, or were skipped. Empty if the stage has no tests."""

    failed_tests: set[str] = field(default_factory=set)


def run_stage(stage: str, *commands: Sequence[str]) -> Result:
    """Run all commands of a stage, whether one fails or not, and show their output."""
    print(f"==> {stage}", flush=True)
    result, began = Result(stage), time.monotonic()
    for command in commands:
        status, output = _run(command)
        result.is_ok = result.is_ok and status == 0
        result.counts.update(_counts_in(output))
        result.failed_tests.update(_FAILED_TEST.findall(output))
    result.seconds = time.monotonic() - began
    return result


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command. Returns its exit status, and its output without colors."""
    output = bytearray()
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                output += chunk
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        except BaseException:
            process.terminate()
            raise
    return process.returncode, _COLOR.sub("", output.decode(errors="replace"))


def _counts_in(output: str) -> Counter[str]:
    """Return the counts in the last line that has any."""
    for line in reversed(output.splitlines()):
        counts: Counter[str] = Counter()
        for number, outcome in _COUNT.findall(line):
            counts["failed" if outcome == "error" else outcome] += int(number)
        if counts:
            return counts
    return Counter()


def print_table(results: Sequence[Result]) -> None:
    """Print the results of all stages, and the sum of their tests."""
    outcomes = ("passed", "failed", "skipped")
    rows: list[tuple[str, ...]] = [("stage", *outcomes, "seconds", "result")]
    for result in results:
        counts = [str(result.counts[outcome]) if result.counts else "-" for outcome in outcomes]
        rows.append((result.stage, *counts, f"{result.seconds:.0f}", "ok" if result.is_ok else "FAILED"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for stage, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join((stage.ljust(widths[0]), *aligned)))
    total = sum((result.counts for result in results), Counter[str]())
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)


# ---------------------------------------------------------------------------------------- the stages


def pytest(environment: str, *arguments: str) -> list[str]:
    """Return the command that runs pytest in one of the environments that scripts/setup makes."""
    color = ["--color=yes"] if sys.stdout.isatty() else []
    return [f"{environment}/bin/python", "-m", "pytest", *color, *arguments]


def _random_numbers(seed: int) -> tuple[str, ...]:
    """Return the arguments for other random numbers than those of every run. Pytest shows the seed."""
    return ("--hypothesis-profile=random", f"--hypothesis-seed={seed}")


def _home_assistant(environment: str) -> str:
    """Return the name of a stage: the version of Home Assistant in an environment."""
    command = "from homeassistant.const import __version__; print(__version__)"
    python = f"{environment}/bin/python"
    version = subprocess.run([python, "-c", command], cwd=_ROOT, capture_output=True, text=True, check=False)
    return f"Home Assistant {version.stdout.strip() or 'unknown'}"


@contextmanager
def _set_up_meanwhile(*names: str) -> Iterator[subprocess.Popen[bytes]]:
    """Make environments in the background, because installing mostly waits for the network."""
    with tempfile.TemporaryFile() as log:
        command = ["nice", _SETUP, *names]
        with subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait()
                log.seek(0)
                sys.stdout.buffer.write(log.read())
                sys.stdout.buffer.flush()


def _static_checks() -> list[Result]:
    return [
        run_stage("ruff", [".venv/bin/ruff", "check", "."], [".venv/bin/ruff", "format", "--check", "."]),
        run_stage("mypy", [".venv/bin/mypy"]),
    ]


def run_default() -> list[Result]:
    """Run what a developer needs after each change."""
    return [
        *_static_checks(),
        run_stage(_home_assistant(".venv"), pytest(".venv", *_PARALLEL, "--select", "changed")),
    ]


def run_all(*, is_weekly: bool) -> list[Result]:
    """Run what has to pass before a change is merged, or everything there is."""
    random = _random_numbers(secrets.randbelow(2**32)) if is_weekly else ()
    pinned = ("--select", "everything" if is_weekly else "all", *random)
    others = ("--select", "all" if is_weekly else "smoke", *random, "-m", "not server")
    floor, newest = ".venv-floor", ".venv-newest"
    with _set_up_meanwhile("floor", "newest", "e2e") as set_up:
        results = [
            *_static_checks(),
            # Without it, the tests that need a server are skipped, and say so.
            run_stage("database servers", [_SETUP, "databases"]),
            run_stage(
                _home_assistant(".venv"),
                pytest(".venv", *_PARALLEL, "--cov", *pinned),
                [".venv/bin/coverage", "report", "--include=*/config_flow.py", "--fail-under=100"],
            ),
        ]
        print("==> waiting for the other environments", flush=True)
        began = time.monotonic()
        results.append(Result("other environments", set_up.wait() == 0, time.monotonic() - began))
    results += [
        run_stage(_home_assistant(floor), pytest(floor, *_PARALLEL, *others)),
        run_stage(
            _home_assistant(newest), pytest(newest, *_PARALLEL, *others, "-p", "tests.newest_home_assistant")
        ),
    ]
    if is_weekly:
        results.append(run_stage("random payloads", ["scripts/fuzz"]))
    results += [
        run_stage(f"browser, {language}", ["scripts/e2e", "--language", language])
        for language in (("en", "de") if is_weekly else ("en",))
    ]
    return results


# -------------------------------------------------------------------------------- failures by chance


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep the cores busy with other work."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_repeatedly(number: int, load: int, arguments: Sequence[str]) -> list[Result]:
    """Run tests again and again while other processes are busy, and print how often each test failed.

    Each run has other random numbers.
    """
    with busy_processes(load):
        results = [
            run_stage(
                f"run {run} of {number}", pytest(".venv", *_PARALLEL, *_random_numbers(run), *arguments)
            )
            for run in range(1, number + 1)
        ]
    failures = Counter(test for result in results for test in result.failed_tests)
    unfinished = sum(not result.is_ok and not result.failed_tests for result in results)
    print(f"\nFailures in {number} runs beside {load} busy processes:")
    for test, times in failures.most_common():
        print(f"{times:4}  {test}")
    if unfinished:
        print(f"{unfinished:4}  runs ended without a result")
    if not failures and not unfinished:
        print("   none")
    return results


# ------------------------------------------------------------------------------------ command line


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those that are for pytest."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Without arguments: ruff, mypy, quick tests, and slow tests about changed files.",
        epilog="All other arguments are pytest's, and run only the tests that they name.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--all", action="store_true", help="all tests, on three versions of Home Assistant and in a browser"
    )
    parser.add_argument("--weekly", action="store_true", help="everything there is; takes hours")
    parser.add_argument("--repeat", type=int, metavar="N", help="run the tests N times, and count failures")
    parser.add_argument("--load", type=int, default=0, metavar="M", help="busy processes beside --repeat (0)")
    arguments, for_pytest = parser.parse_known_args()
    if for_pytest and (arguments.all or arguments.weekly):
        parser.error("--all and --weekly do not take arguments of pytest")
    return arguments, for_pytest


def main() -> int:
    """Run what the command line asks for. Returns 1 if any stage failed."""
    signal.signal(signal.SIGTERM, _end)
    arguments, for_pytest = parse_arguments()
    if arguments.repeat:
        results = run_repeatedly(arguments.repeat, arguments.load, for_pytest or ["--select", "quick"])
    elif for_pytest:
        return subprocess.run(pytest(".venv", *for_pytest), cwd=_ROOT, check=False).returncode
    elif arguments.all or arguments.weekly:
        results = run_all(is_weekly=arguments.weekly)
    else:
        results = run_default()
    print_table(results)
    return int(not all(result.is_ok for result in results))


def _end(*_: object) -> NoReturn:
    """End with an exception, so that everything started here is ended, too."""
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
