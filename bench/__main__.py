"""Measure CPU time and database rows of the integration, and write them into docs/results/performance.md."""

import argparse
from datetime import UTC, datetime
import importlib
import os
from pathlib import Path
import platform
import sys

from homeassistant.const import __version__
import psutil

from . import document
from .measure import Effort

BENCHMARKS = {
    "reading": "CPU time of a reading, compared with a DataUpdateCoordinator",
    "database": "rows and bytes that the recorder writes, compared with a DataUpdateCoordinator",
    "tariff": "CPU time and rows that the power tariff adds",
}


def parse_arguments() -> argparse.Namespace:
    """Return the parsed arguments. Exits if a benchmark does not exist."""
    names = "\n".join(f"  {name:9} {title}" for name, title in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=f"{__doc__}\n\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmark to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="print a rough result, and do not write it")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}")
    return arguments


def describe_machine() -> str:
    """Return the processor, the memory and the software of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(models, platform.machine())
    memory = psutil.virtual_memory().total / 2**30
    software = f"Python {platform.python_version()}, Home Assistant {__version__}"
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {software}"


def main() -> None:
    """Run the benchmarks that the command line selects, by default all."""
    arguments = parse_arguments()
    for name in arguments.names or BENCHMARKS:
        print(f"==> {name}: {BENCHMARKS[name]}", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        benchmark = importlib.import_module(f".{name}", __package__)
        result = benchmark.report(Effort(quick=arguments.quick))
        heading = f"`scripts/bench {name}`, {datetime.now(UTC):%Y-%m-%d}, on {describe_machine()}"
        section = f"{heading}; load average when it began: {load:.1f}.\n\n{result}"
        if arguments.quick:
            print(section, flush=True)
        else:
            document.write(name, section)


if __name__ == "__main__":
    main()
