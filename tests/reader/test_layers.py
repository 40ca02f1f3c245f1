"""The direction of the layers."""

import ast
from pathlib import Path
import subprocess
import sys

READER = Path(__file__).parents[2] / "custom_components/energy_sse/reader"


def test_reader_layer_imports_nothing_of_home_assistant() -> None:
    imported = {
        name
        for path in READER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else ["." * node.level + (node.module or "")]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not {name for name in imported if name.startswith(("homeassistant", "..", "custom_components"))}


def test_reader_layer_works_where_home_assistant_is_not_imported() -> None:
    # In a folder of its own the package has no integration above it that would import Home Assistant.
    program = "import sys, reader; sys.exit('homeassistant' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=READER.parent, check=False)
    assert result.returncode == 0
