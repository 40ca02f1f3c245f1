"""Imports between the layers."""

import ast
from pathlib import Path

READER = Path(__file__).parents[2] / "custom_components/energy_sse/reader"


def test_reader_layer_does_not_import_home_assistant() -> None:
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
