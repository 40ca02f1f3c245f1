"""Numbers of source code, the command line of scripts/measure, and tables of results."""

from pathlib import Path

import pytest

from measure.__main__ import parse_arguments
from measure.package import Package, import_cycles, longest_chain
from measure.structure import DOCUMENT, largest, table

from . import measured_tables

FILES = {
    "__init__.py": '"""A package."""\n\nfrom .entity import Entity\n',
    "entity.py": '''"""Entities.

With an empty line.
"""

from dataclasses import dataclass
from typing import ClassVar, override

from . import const
from .client import Client


@dataclass
class Entity:
    """Entity."""

    name: str
    """Name of the entity."""

    platform: ClassVar[str]

    # A comment.
    def update(self, client: Client) -> bool:
        self.client, self.count = client, 0
        for each in client:
            if each:
                self.count += 1
        return self.count > 0  # a comment beside code

    @override
    def __str__(self) -> str:
        return const.NAME

    def _private(self) -> None:
        pass
''',
    "const.py": "NAME = 'name'\n",
    "client/__init__.py": "from .http import Client\n",
    "client/http.py": "from ..const import NAME\nfrom .errors import Error\n\n\nclass Client:\n    pass\n",
    "client/errors.py": "def wrap():\n    from . import http\n\n\nclass Error:\n    pass\n",
    "cli/__init__.py": "def main():\n    pass\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Return a small package."""
    for name, text in FILES.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(tmp_path / "package", excluded="cli")


def test_lines_are_code_or_prose(package: Package) -> None:
    entity = next(module for module in package.modules if module.name == "entity")
    assert (len(entity.code_lines), entity.prose_lines) == (19, 7)


def test_attributes_are_fields_and_those_assigned_to_self(package: Package) -> None:
    assert package.classes == {
        "entity.py:14 Entity": 3,
        "client/errors.py:5 Error": 0,
        "client/http.py:5 Client": 0,
    }


def test_functions_have_lines_and_complexity(package: Package) -> None:
    assert package.functions["entity.py:23 update"] == 6
    assert package.complexity["entity.py:23 update"] == 3
    assert package.functions.keys() == package.complexity.keys()


def test_import_cycle_and_subfolder_count_as_one_module(package: Package) -> None:
    assert import_cycles(package.imports) == [frozenset({"client.errors", "client.http"})]
    cycle = "client.errors and client.http"
    assert longest_chain(package.imports) == ["__init__", "entity", "client", cycle, "const"]
    assert longest_chain(package.folders[""]) == ["__init__", "entity", "client", "const"]
    assert longest_chain(package.folders["client"]) == ["client", cycle]


def test_public_definitions_without_docstring_are_counted(package: Package) -> None:
    # Entity has a docstring. Entity.update, Client, wrap and Error have none.
    assert package.documented == 1 / 5


def test_table_has_a_column_for_each_package(package: Package) -> None:
    lines = table({"one": package, "two": package}).splitlines()
    assert "| lines of a function: median / 90 % / longest |  | 2 / 6 / 6 | 2 / 6 / 6 |" in lines
    assert {line.count("|") for line in lines} == {5}
    assert "- Attributes: `entity.py:14 Entity` 3, `client/errors.py:5 Error` 0" in "".join(largest(package))


def test_command_line_passes_other_arguments_to_pytest() -> None:
    arguments, for_pytest = parse_arguments(["tariff", "--day", "-k", "hours"])
    assert (arguments.what, arguments.day, for_pytest) == ("tariff", True, ["-k", "hours"])


@pytest.mark.parametrize("name", measured_tables.HEADS)
def test_measured_table_has_a_document(name: str) -> None:
    documents = [path.read_text() for path in DOCUMENT.parent.glob("*.md")]
    assert sum(measured_tables.HEADS[name] in document for document in documents) == 1


def test_measured_row_replaces_the_row_with_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    path.write_text("# Title\n\nText.\n\n| old | head |\n|---|---|\n| a | b |\n")
    measured_tables.write("tariff", [("a", "yes", "hours", "1")], path)
    for label, value in (("b", "2"), ("a", "3")):
        measured_tables.renew("tariff", (label, "yes", "hours", value), path)
    rows = "| a | yes | hours | 3 |\n| b | yes | hours | 2 |\n"
    assert path.read_text() == f"# Title\n\nText.\n\n{measured_tables.HEADS['tariff']}{rows}"
