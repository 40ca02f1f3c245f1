"""Structure of the code, compared with two Home Assistant integrations of the highest quality level."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
import json
from pathlib import Path
from statistics import mean, median
import subprocess
import sys
import tarfile
from tempfile import TemporaryDirectory
from typing import Final

from .package import Package, import_cycles, longest_chain

ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = ROOT / "docs/results/structure.md"

_INTEGRATION: Final = "custom_components/energy_sse"

# The commit before the restructuring.
_BEFORE: Final = "c82058b"

_ANCHORS: Final = ("homewizard", "peblar")

# A subfolder that Home Assistant does not use: the command line of a library.
_EXCLUDED: Final = "cli"

# Number of classes whose attributes the table contains, and of places in each list below the table.
_MAX_CLASSES: Final = 8
_MAX_PLACES: Final = 5


def percentile_90(values: Iterable[int]) -> int:
    """Return the smallest value that at least 90 % of the values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 9 // 10) - 1]


def _imports_in_folders(package: Package) -> str:
    return str(max(len(longest_chain(graph)) for graph in package.folders.values()))


def _import_cycles(package: Package) -> str:
    return str(len(import_cycles(package.imports)))


def _functions(package: Package) -> str:
    lines = package.functions.values()
    return f"{median(lines):.0f} / {percentile_90(lines)} / {max(lines)}"


def _complexity(package: Package) -> str:
    values = package.complexity.values()
    return f"{mean(values):.1f} / {percentile_90(values)} / {max(values)}"


# Title → aim, and how it is measured.
_ROWS: Final[Mapping[str, tuple[str, Callable[[Package], str]]]] = {
    "files": ("42", lambda package: str(len(package.modules))),
    "lines": ("6,500", lambda package: f"{package.lines:,}"),
    "lines of code": ("", lambda package: f"{sum(len(each.code_lines) for each in package.modules):,}"),
    "lines of docstrings and comments": (
        "",
        lambda package: f"{sum(each.prose_lines for each in package.modules):,}",
    ),
    "AST nodes": ("", lambda package: f"{package.nodes:,}"),
    "AST nodes per line": ("", lambda package: f"{package.nodes / package.lines:.1f}"),
    "classes": ("", lambda package: str(len(package.classes))),
    "attributes of the eight largest classes": (
        "12",
        lambda package: ", ".join(map(str, list(package.classes.values())[:_MAX_CLASSES])),
    ),
    "functions": ("", lambda package: str(len(package.functions))),
    "lines of a function: median / 90 % / longest": ("", _functions),
    "complexity of a function: mean / 90 % / highest": ("10", _complexity),
    "longest chain of imports within a folder": ("6", _imports_in_folders),
    "longest chain of imports": ("", lambda package: str(len(longest_chain(package.imports)))),
    "import cycles": ("0", _import_cycles),
    "public classes and functions with a docstring": ("", lambda package: f"{package.documented:.0%}"),
}


def table(packages: Mapping[str, Package]) -> str:
    """Return the table in Markdown, with a column for each package."""
    rows = [["", "aim", *packages]]
    rows.append(["---", *["---:"] * (len(packages) + 1)])
    for title, (aim, measured) in _ROWS.items():
        rows.append([title, aim, *map(measured, packages.values())])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def largest(package: Package) -> Iterator[str]:
    """Yield the places that are furthest from the aims, as a list in Markdown."""
    yield from _top("Attributes", package.classes)
    yield from _top("Lines of a function", package.functions)
    yield from _top("Complexity", package.complexity)
    for folder, graph in package.folders.items():
        chain = " → ".join(f"`{name}`" for name in longest_chain(graph))
        yield f"- Longest chain of imports in `{folder or 'energy_sse'}`: {chain}\n"
    for group in import_cycles(package.imports):
        yield f"- Import cycle: {', '.join(f'`{name}`' for name in sorted(group))}\n"


def _top(title: str, values: Mapping[str, int]) -> Iterator[str]:
    highest = sorted(values.items(), key=lambda item: -item[1])[:_MAX_PLACES]
    yield f"- {title}: {', '.join(f'`{place}` {value}' for place, value in highest)}\n"


# ------------------------------------------------------------------------------------- the document


def _extract(commit: str, folder: Path) -> None:
    """Extract the integration and its tests from a commit."""
    archive = folder / "archive.tar"
    command = ["git", "archive", f"--output={archive}", commit, _INTEGRATION, "tests"]
    subprocess.run(command, cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _anchors(site_packages: Path, libraries: Path) -> Iterator[tuple[str, Package]]:
    """Yield the integrations of Home Assistant to compare with, and their client libraries if installed."""
    for name in _ANCHORS:
        folder = site_packages / "homeassistant/components" / name
        yield name, Package(folder)
        (requirement,) = json.loads((folder / "manifest.json").read_text())["requirements"]
        library = requirement.partition("==")[0]
        found = next(iter(distributions(name=library, path=[str(libraries)])), None)
        if found is None:
            print(
                f"{library} is not installed, so its column is left out. To install it:\n"
                f"uv pip install --no-deps --target {libraries} {requirement}",
                file=sys.stderr,
            )
            continue
        (package,) = {
            libraries / file.parts[0] for file in found.files or () if file.parts[1:] == ("__init__.py",)
        }
        yield f"library of {name}, {found.version}", Package(package, excluded=_EXCLUDED)


def _ratio(folder: Path) -> str:
    """Return the number of lines of the tests, and its ratio to the lines of the integration."""
    lines = Package(folder / "tests").lines
    return f"{lines:,} ({lines / Package(folder / _INTEGRATION).lines:.1f} times the integration)"


def write(environment: Path, libraries: Path) -> None:
    """Compare the packages, and write docs/results/structure.md. `environment` has Home Assistant."""
    (site_packages,) = environment.glob("lib/python3.*/site-packages")
    now = Package(ROOT / _INTEGRATION)
    with TemporaryDirectory() as name:
        folder = Path(name)
        _extract(_BEFORE, folder)
        packages = {
            f"before ({_BEFORE})": Package(folder / _INTEGRATION),
            "now": now,
            "now, `reader/`": Package(ROOT / _INTEGRATION / "reader"),
            **dict(_anchors(site_packages, libraries)),
        }
        text = (
            f"{_TEXT.format(date=datetime.now(UTC).date(), before=_BEFORE)}\n{table(packages)}\n"
            f"Lines of tests: {_ratio(folder)} before, {_ratio(ROOT)} now; aim: 2 times.\n\n"
            f"## Largest places now\n\n{''.join(largest(now))}"
        )
    DOCUMENT.write_text(text, encoding="utf-8")


_TEXT: Final = """\
# Structure of the code

`scripts/measure structure` has written this page, {date}. It compares the integration with two integrations
of Home Assistant and with their client libraries, which do the work of the folder `reader/`. *Before* is
commit {before}, from before the restructuring.

- **Docstrings** include those of attributes, and their empty lines.
- **Attributes** of a class are those assigned to `self`, and the fields declared in its body.
- **Complexity** is the cyclomatic complexity that `ruff` calculates (C901, as *mccabe*).
- A **chain of imports** is a list of modules in which each imports the next. Within a folder, a subfolder
  counts as one module. Imports inside of functions count.
- **Public** classes, functions and methods are those without an underscore, and without `@override`.
"""
