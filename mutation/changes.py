"""Random sample of the mutants of Cosmic Ray, except mutants of code that has no effect."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
import random
from typing import Final

from cosmic_ray.commands import init
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec

# Decorators that change no behavior at run time.
_MARKING_DECORATORS: Final = ("abstractmethod", "callback", "dataclass(", "final", "override")


def sample(modules: Sequence[Path], number: int, seed: int, folder: Path) -> list[MutationSpec]:
    """Return mutants of modules at different places, in random order. The same seed returns the same ones."""
    database = WorkDB(folder / "changes.sqlite", WorkDB.Mode.create)
    try:
        init(modules, database, {})
        changes = [mutation for item in database.work_items for mutation in item.mutations]
    finally:
        database.close()
    without_effect = {module: set(_lines_without_effect(module)) for module in modules}
    changes = [change for change in changes if _has_effect(change, without_effect)]
    # The database sorts by random ids.
    changes.sort(key=lambda change: (str(change.module_path), change.start_pos, change.operator_name))
    random.Random(seed).shuffle(changes)
    # Most places have a dozen mutants. One of them is enough.
    places = {(change.module_path, change.start_pos): change for change in reversed(changes)}
    return list(reversed(places.values()))[:number]


type _Place = tuple[int, int]


def _has_effect(change: MutationSpec, without_effect: Mapping[Path, set[tuple[_Place, _Place]]]) -> bool:
    return not any(start <= change.start_pos < end for start, end in without_effect[Path(change.module_path)])


def _marking(decorators: Sequence[ast.expr]) -> list[ast.expr]:
    return [each for each in decorators if ast.unparse(each).startswith(_MARKING_DECORATORS)]


def _lines_without_effect(module: Path) -> Iterator[tuple[_Place, _Place]]:
    """Yield start and end of annotations, type aliases and marking decorators, which have no effect."""
    for node in ast.walk(ast.parse(module.read_text())):
        annotations: list[ast.expr | None] = []
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                annotations = [node.returns]
                annotations += _marking(node.decorator_list)
            case ast.ClassDef():
                annotations += _marking(node.decorator_list)
            case ast.arg() | ast.AnnAssign():
                annotations = [node.annotation]
            case ast.TypeAlias():
                annotations = [node.value]
        for each in annotations:
            if each is not None and each.end_lineno is not None and each.end_col_offset is not None:
                # The mutant of a decorator begins at its @.
                start = (each.lineno, max(each.col_offset - 1, 0))
                yield start, (each.end_lineno, each.end_col_offset)
