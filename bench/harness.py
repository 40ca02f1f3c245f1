"""Measurement of CPU time by pyperf, which runs a module many times in worker processes.

The module creates a pyperf runner in its `main`, because pyperf starts it again in each worker.
"""

from collections import defaultdict
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory

import pyperf

from .measure import Effort, Result


def runner(module: str) -> pyperf.Runner:
    """Return the runner of a module that pyperf has started."""
    return pyperf.Runner(program_args=("-m", module))


def measure(module: str, effort: Effort, *, loops: int, rounds: int = 5) -> dict[str, Result]:
    """Run a module with pyperf. Return the results in seconds, by the names of the module's benchmarks.

    Each round runs all benchmarks once, so that other work of the machine affects all of them equally.
    """
    values: dict[str, list[float]] = defaultdict(list)
    options = ("--processes=1", "--values=5", "--warmups=1", f"--loops={loops}", "--quiet", "--copy-env")
    with TemporaryDirectory() as folder:
        for number in range(effort.choose(rounds, 1)):
            output = Path(folder) / f"{number}.json"
            command = (sys.executable, "-m", module, *options, f"--output={output}")
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for each in pyperf.BenchmarkSuite.load(str(output)):
                values[each.get_name()] += each.get_values()
    return {name: Result(found) for name, found in values.items()}
