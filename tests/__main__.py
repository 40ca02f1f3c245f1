"""Run the project's checks in stages, and print a table of their results: python -m tests (scripts/test)."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from xml.etree import ElementTree as ET

_ROOT: Final = Path(__file__).parents[1]
_SETUP: Final = str(_ROOT / "scripts/setup")

# One process more than there are cores, because a test often waits for a socket, a file or a database.
_PARALLEL: Final = ("-n", str((os.process_cpu_count() or 1) + 1), "--dist", "worksteal")

# The counts in the last line of the end-to-end tests.
_COUNT: Final = re.compile(r"(\d+) (passed|failed|skipped)")

# Keeps a core busy until its parent ends.
_BUSY: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"

# Seconds that a child has to stop what it has started.
_IDLE_TIMEOUT: Final = 30

# Exit statuses of a shell: a command that does not exist, and a process that SIGINT or SIGTERM has ended.
_NOT_FOUND: Final = 127
_INTERRUPTED: Final = 130
_TERMINATED: Final = 143


@dataclass
class Result:
    """Result of a stage."""

    stage: str
    is_ok: bool = True
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    """Number of tests that passed, failed, or were skipped. Empty if the stage has no tests."""

    failed_tests: set[str] = field(default_factory=set)


def run_stage(stage: str, *commands: Sequence[str]) -> Result:
    """Run all commands of a stage, even if one fails."""
    print(f"==> {stage}", flush=True)
    began = time.monotonic()
    statuses = [_run(command)[0] for command in commands]
    return Result(stage, not any(statuses), time.monotonic() - began)


def run_pytest(environment: str, *arguments: str, stage: str | None = None) -> Result:
    """Run tests in one of the environments that scripts/setup makes."""
    stage = stage or f"Home Assistant {_version(environment)}"
    print(f"==> {stage}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = pytest(environment, *_PARALLEL, f"--junit-xml={report}", *arguments)
        status, _ = _run(command)
        result = Result(stage, status == 0, time.monotonic() - began)
        if report.exists():
            _read_report(report, result)
    return result


def _read_report(report: Path, result: Result) -> None:
    """Read counts and failed tests from a JUnit report of pytest."""
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 (pytest has written it)
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            result.counts["failed"] += 1
            result.failed_tests.add(f"{case.get('classname')}::{case.get('name')}")
        else:
            result.counts["skipped" if "skipped" in outcomes else "passed"] += 1


def run_end_to_end(language: str) -> Result:
    """Run the end-to-end tests in a language."""
    stage, began = f"browser, {language}", time.monotonic()
    print(f"==> {stage}", flush=True)
    status, output = _run(["scripts/e2e", "--language", language])
    result = Result(stage, status == 0, time.monotonic() - began)
    for line in reversed(output.splitlines()):
        if counts := _COUNT.findall(line):
            result.counts.update({outcome: int(number) for number, outcome in counts})
            break
    return result


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command and show its output. Return its exit status and its output."""
    try:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        print(error, flush=True)
        return _NOT_FOUND, ""
    output = bytearray()
    with process:
        assert process.stdout is not None
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                output += chunk
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        except KeyboardInterrupt:
            # The terminal has sent SIGINT to the child as well, which ends what it has started.
            process.wait()
            raise
        except SystemExit:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_IDLE_TIMEOUT)
            process.kill()
            raise
    return process.returncode, output.decode(errors="replace")


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
    """Return a command that runs pytest."""
    color = ["--color=yes"] if sys.stdout.isatty() else []
    return [f"{environment}/bin/python", "-m", "pytest", *color, *arguments]


def _random_numbers(seed: int) -> tuple[str, ...]:
    """Return the arguments that replace the default random numbers. Pytest shows the seed."""
    return ("--hypothesis-profile=random", f"--hypothesis-seed={seed}")


def _version(environment: str) -> str:
    """Return the version of Home Assistant in an environment."""
    command = "from homeassistant.const import __version__; print(__version__)"
    try:
        result = subprocess.run(
            [f"{environment}/bin/python", "-c", command],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return f"in {environment}"
    return result.stdout.strip() or f"in {environment}"


@contextmanager
def _set_up_in_background(*names: str) -> Iterator[subprocess.Popen[bytes]]:
    """Make environments in the background, because installing mostly waits for the network."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["nice", _SETUP, *names],  # noqa: S607 (from the PATH)
            cwd=_ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            log.seek(0)
            sys.stdout.buffer.write(log.read())
            sys.stdout.buffer.flush()


def _static_checks() -> Iterator[Result]:
    yield run_stage("ruff", [".venv/bin/ruff", "check", "."], [".venv/bin/ruff", "format", "--check", "."])
    yield run_stage("mypy", [".venv/bin/mypy"])
    yield run_stage("codespell", [".venv/bin/codespell"])


def run_default() -> Iterator[Result]:
    """Run the checks for local development."""
    yield from _static_checks()
    yield run_pytest(".venv", "--changed")


def run_all() -> Iterator[Result]:
    """Run the checks that are required before a merge."""
    # If it fails, the tests that need a server are skipped, and the summary lists them.
    _run([_SETUP, "databases"])
    with _set_up_in_background("oldest", "newest", "e2e") as set_up:
        yield from _static_checks()
        yield from _run_pinned()
        yield _wait_for(set_up)
    smoke = ("-m", "smoke and not server")
    yield run_pytest(".venv-oldest", *smoke)
    yield run_pytest(".venv-newest", *smoke, "-p", "tests.newest_home_assistant")
    yield run_end_to_end("en")


def run_weekly() -> Iterator[Result]:
    """Run everything, with random numbers that differ in every run."""
    random_numbers = _random_numbers(secrets.randbelow(2**32))
    _run([_SETUP, "databases"])
    with _set_up_in_background("oldest", "newest", "e2e") as set_up:
        yield from _static_checks()
        yield from _run_pinned("-m", "", *random_numbers)
        yield _wait_for(set_up)
    without_servers = ("-m", "not server and not weekly", *random_numbers)
    yield run_pytest(".venv-oldest", *without_servers)
    yield run_pytest(".venv-newest", *without_servers, "-p", "tests.newest_home_assistant")
    yield run_stage("random payloads", ["scripts/fuzz", "50000", *random_numbers])
    yield run_end_to_end("en")
    yield run_end_to_end("de")


def _run_pinned(*arguments: str) -> Iterator[Result]:
    """Run tests with coverage on the Home Assistant that the test package pins."""
    yield run_pytest(".venv", "--cov", *arguments)
    config_flow = ("--include=*/config_flow.py", "--fail-under=100")
    yield run_stage("coverage of the config flow", [".venv/bin/coverage", "report", *config_flow])


def _wait_for(set_up: subprocess.Popen[bytes]) -> Result:
    print("==> waiting for the other environments", flush=True)
    began = time.monotonic()
    return Result("other environments", set_up.wait() == 0, time.monotonic() - began)


# -------------------------------------------------------------------------------- random failures


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep the cores busy with other work."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(number):
            processes.append(subprocess.Popen([sys.executable, "-c", _BUSY]))  # noqa: PERF401 (one may fail)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_repeatedly(number: int, load: int, arguments: Sequence[str]) -> Iterator[Result]:
    """Run tests repeatedly while other processes are busy. Each run has other random numbers."""
    with busy_processes(load):
        for run in range(1, number + 1):
            yield run_pytest(".venv", *_random_numbers(run), *arguments, stage=f"run {run} of {number}")


def print_failures(results: Sequence[Result]) -> None:
    """Print how often each test failed."""
    failures = Counter(test for result in results for test in result.failed_tests)
    unfinished = sum(not result.is_ok and not result.failed_tests for result in results)
    print(f"\nFailures in {len(results)} runs:")
    for test, times in sorted(failures.items(), key=lambda failure: (-failure[1], failure[0])):
        print(f"{times:4}  {test}")
    if unfinished:
        print(f"{unfinished:4}  runs ended without a result")
    if not failures and not unfinished:
        print("   none")


# ------------------------------------------------------------------------------------ command line


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """Return the parsed arguments, and the remaining ones, which are pytest's."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Without arguments: static checks, quick tests, and slow tests for changed files.",
        epilog="All other arguments are passed to pytest, and run only the tests that they name.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--all", action="store_true", help="all tests, on three versions of Home Assistant and in a browser"
    )
    parser.add_argument("--weekly", action="store_true", help="all weekly checks; takes hours")
    parser.add_argument("--repeat", type=int, metavar="N", help="run the tests N times, and count failures")
    parser.add_argument("--load", type=int, metavar="M", help="number of busy processes during --repeat")
    arguments, for_pytest = parser.parse_known_args()
    if arguments.load is not None and arguments.repeat is None:
        parser.error("--load needs --repeat")
    if (arguments.all or arguments.weekly) and (for_pytest or arguments.repeat is not None):
        parser.error("--all and --weekly do not take other arguments")
    return arguments, for_pytest


def stages(arguments: argparse.Namespace, for_pytest: Sequence[str]) -> Iterable[Result]:
    """Return the stages that the command line asks for."""
    if arguments.repeat is not None:
        quick = ("-m", "not slow and not weekly")
        return run_repeatedly(arguments.repeat, arguments.load or 0, for_pytest or quick)
    if arguments.weekly:
        return run_weekly()
    return run_all() if arguments.all else run_default()


def main() -> int:
    """Run the stages that the command line selects. Return 0 if each of them passed."""
    arguments, for_pytest = parse_arguments()
    if for_pytest and arguments.repeat is None:
        os.chdir(_ROOT)
        command = pytest(".venv", *for_pytest)
        os.execv(command[0], command)  # noqa: S606 (arguments are passed as they are)
    results: list[Result] = []
    status = _INTERRUPTED
    try:
        for result in stages(arguments, for_pytest):
            results.append(result)  # noqa: PERF402 (those before an interruption are shown)
        status = int(not all(result.is_ok for result in results))
    except KeyboardInterrupt:
        print("\nInterrupted.")
    finally:
        if arguments.repeat is not None:
            print_failures(results)
        print_table(results)
    return status


def _end(*_: object) -> NoReturn:
    """Raise SystemExit, so that child processes are stopped."""
    sys.exit(_TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
