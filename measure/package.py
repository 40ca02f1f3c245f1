"""Numbers about the source code of a package: size, classes, functions, complexity and imports."""

import ast
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
import io
import json
from pathlib import Path
import re
from statistics import mean
import subprocess
import sys
import tokenize
from typing import Final

# Tokens that do not make a line a line of code.
_NOT_CODE: Final = frozenset(
    {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
        *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
    }
)

type Graph = Mapping[str, frozenset[str]]
"""Modules, each with the modules of the same package that it imports."""


@dataclass(frozen=True)
class Module:
    """Python module."""

    name: str
    """Dotted name within the package; empty for the package itself."""

    is_package: bool
    path: Path
    """Path within the package."""

    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """Syntax tree."""
        return ast.parse(self.source)

    @cached_property
    def docstring_lines(self) -> set[int]:
        """Numbers of the lines that belong to docstrings, including the docstrings of attributes."""
        lines: set[int] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Expr(value=ast.Constant(value=str())):
                    lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return lines

    @cached_property
    def code_lines(self) -> set[int]:
        """Numbers of the lines that have code."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            if token.type not in _NOT_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        return lines - self.docstring_lines

    @cached_property
    def prose_lines(self) -> int:
        """Number of lines that have only a docstring or a comment."""
        lines = self.source.splitlines()
        prose = {number for number, line in enumerate(lines, 1) if line.lstrip().startswith("#")}
        return len((prose | self.docstring_lines) - self.code_lines)

    def imports(self, modules: Container[str]) -> Iterator[str]:
        """Yield the modules of the same package that this module imports."""
        parts = self.name.split(".") if self.name else []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = parts[: len(parts) + self.is_package - node.level]
                base += node.module.split(".") if node.module else []
                for alias in node.names:
                    submodule = ".".join((*base, alias.name))
                    yield submodule if submodule in modules else ".".join(base)


def attributes(node: ast.ClassDef) -> set[str]:
    """Return the attributes that a class assigns to `self`, or declares as fields."""
    found = {
        target.attr
        for target in ast.walk(node)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) if "ClassVar" not in ast.unparse(
                statement.annotation
            ):
                found.add(name)
    return found


def public(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public classes, functions and methods, without methods that override another one."""
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name.startswith("_"):
            continue
        if not any(ast.unparse(each) == "override" for each in node.decorator_list):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body)


# -------------------------------------------------------------------------------------- one package


@dataclass(frozen=True)
class Package:
    """Folder with Python modules."""

    folder: Path
    excluded: str = ""
    """Name of a subfolder to ignore; empty for none."""

    @cached_property
    def modules(self) -> list[Module]:
        """All modules."""
        modules = []
        for path in sorted(self.folder.rglob("*.py")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            if parts[0] == self.excluded:
                continue
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            modules.append(
                Module(name, is_package, path.relative_to(self.folder), path.read_text(encoding="utf-8"))
            )
        return modules

    @cached_property
    def lines(self) -> int:
        """Number of lines."""
        return sum(len(module.source.splitlines()) for module in self.modules)

    @cached_property
    def nodes(self) -> int:
        """Number of nodes of the syntax trees."""
        return sum(1 for module in self.modules for _ in ast.walk(module.tree))

    @cached_property
    def functions(self) -> dict[str, int]:
        """Functions and methods with their numbers of lines."""
        return {
            f"{module.path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }

    @cached_property
    def classes(self) -> dict[str, int]:
        """Classes with their numbers of attributes, the largest first."""
        found = {
            f"{module.path}:{node.lineno} {node.name}": len(attributes(node))
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def complexity(self) -> dict[str, int]:
        """Functions with their cyclomatic complexity as ruff calculates it (C901), the largest first."""
        command = [
            *(
                sys.executable,
                "-m",
                "ruff",
                "check",
                "--isolated",
                "--ignore-noqa",
                "--no-cache",
                "--exit-zero",
            ),
            *("--no-respect-gitignore", "--config", "exclude=[]"),
            *("--select", "C901", "--config", "lint.mccabe.max-complexity=0"),
            *("--target-version", "py314", "--output-format", "json", str(self.folder)),
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: dict[str, int] = {}
        for each in json.loads(output):
            match = re.fullmatch(r"`(.+)` is too complex \((\d+) > 0\)", each["message"])
            assert match is not None, each["message"]
            path = Path(each["filename"]).relative_to(self.folder.absolute())
            if path.parts[0] != self.excluded:
                found[f"{path}:{each['location']['row']} {match[1]}"] = int(match[2])
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def imports(self) -> Graph:
        """Modules, each with the modules of the same package that it imports."""
        names = {module.name for module in self.modules}
        return {module.name: frozenset(module.imports(names)) - {module.name} for module in self.modules}

    @cached_property
    def folders(self) -> dict[str, Graph]:
        """Imports within each folder, where a subfolder counts as one module."""
        names = {
            module.name if module.is_package else module.name.rpartition(".")[0] for module in self.modules
        }
        return {name: _within(self.imports, name) for name in sorted(names)}

    @cached_property
    def documented(self) -> float:
        """Share of public classes, functions and methods that have a docstring."""
        definitions = [node for module in self.modules for node in public(module.tree.body)]
        return mean(ast.get_docstring(node) is not None for node in definitions)


def _within(graph: Graph, folder: str) -> Graph:
    depth = folder.count(".") + 2 if folder else 1
    found: dict[str, frozenset[str]] = {}
    for name, imported in graph.items():
        if name == folder or name.startswith(f"{folder}.") or not folder:
            member, *others = (".".join(each.split(".")[:depth]) for each in (name, *imported))
            inside = {
                each for each in others if each == folder or each.startswith(f"{folder}.") or not folder
            }
            found[member] = found.get(member, frozenset()) | inside - {member}
    return found


def import_cycles(graph: Graph) -> list[frozenset[str]]:
    """Return the groups of modules that import each other, directly or through others."""
    reachable = {name: _reachable(graph, name) for name in graph}
    groups = {
        frozenset(other for other in reached if name in reachable[other])
        for name, reached in reachable.items()
        if name in reached
    }
    return sorted(groups, key=sorted)


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    pending = [start]
    while pending:
        new = graph[pending.pop()] - found
        found |= new
        pending += new
    return found


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest chain of modules in which each imports the next. An import cycle counts once."""
    group_of = {name: frozenset({name}) for name in graph}
    group_of |= {name: group for group in import_cycles(graph) for name in group}
    chains: dict[frozenset[str], list[str]] = {}

    def chain(group: frozenset[str]) -> list[str]:
        if group not in chains:
            following = {group_of[name] for member in group for name in graph[member]} - {group}
            # Sorted, so that the result is the same in every run.
            longest = max((chain(each) for each in sorted(following, key=sorted)), key=len, default=[])
            chains[group] = [" and ".join(sorted(name or "__init__" for name in group)), *longest]
        return chains[group]

    return max((chain(group) for group in sorted(set(group_of.values()), key=sorted)), key=len, default=[])
