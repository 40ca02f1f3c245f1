"""Tests that can kill a mutant, in stages. A stage runs only if the mutant survives the previous one."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
from typing import Final

from tests.selection import is_match

_QUICK: Final = ("-m", "not slow and not server and not weekly")
_SLOW: Final = ("-m", "slow and not server and not weekly")


def stages(module: str, root: Path) -> Iterator[tuple[str, ...]]:
    """Yield arguments of pytest for a file of the integration, named without the integration's folder.

    The first stage has the tests that are named after the file or import it. The tests of its layer and all
    quick tests follow. The last stages are slow tests whose marker names the file, first those of few files.
    """
    texts = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted((root / "tests").rglob("test_*.py"))
    }
    imports = _import_of(module)
    name = f"test_{Path(module).stem}.py"
    about = [path for path, text in texts.items() if Path(path).name == name or imports.search(text)]
    if about:
        yield (*_QUICK, *about)
    if module.startswith("reader/"):
        yield (*_QUICK, "tests/reader")
    yield (*_QUICK, "-n", "auto", "tests")
    slow = {path: min(map(len, markers)) for path, text in texts.items() if (markers := _slow(text, module))}
    for path in sorted(slow, key=slow.__getitem__):
        yield (*_SLOW, path)


def _import_of(module: str) -> re.Pattern[str]:
    *folders, name = module.removesuffix(".py").split("/")
    package = r"\.".join(("custom_components", "energy_sse", *folders))
    return re.compile(rf"\b{package}(\.{name}\b| import .*\b{name}\b)")


def _slow(text: str, module: str) -> list[list[str]]:
    """Return the patterns of each marker `slow` that names the file."""
    markers = [
        [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.slow"
    ]
    return [patterns for patterns in markers if any(is_match(module, each) for each in patterns)]
