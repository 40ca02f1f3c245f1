"""The commands in scripts/."""

from importlib.util import find_spec
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[1]

# Script and module of each `python -m`, for modules of this repository.
COMMANDS = sorted(
    (script.name, module)
    for script in (ROOT / "scripts").iterdir()
    for module in re.findall(r"-m ([\w.]+)", script.read_text())
    if (ROOT / module.partition(".")[0]).is_dir()
)


@pytest.mark.parametrize(("script", "module"), COMMANDS)
def test_script_starts_a_module_that_exists(script: str, module: str) -> None:
    assert find_spec(module) is not None
