"""Injection of unexpected errors into functions."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from inspect import isfunction
from math import inf
from pathlib import Path
from random import Random
import sys
from types import CodeType, FunctionType
from typing import Any

# sys.monitoring supports six tools. Debuggers, coverage and profilers use others.
_TOOL = 3

# Errors that faulty code raises.
ERRORS = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


class ErrorInjector:
    """Injector of errors at random lines of functions, and of functions that they define."""

    def __init__(
        self,
        *functions: Callable[..., Any],
        chance: float = 0.02,
        times: float = inf,
        seed: int = 0,
        text: str = "injected",
    ) -> None:
        """Set the chance of an error at each line. A line raises at most `times` errors."""
        self._chance = chance
        self._times = times
        self._counts: Counter[tuple[str, int]] = Counter()
        self._text = text
        self._random = Random(seed)
        self._codes = {code for function in functions for code in _codes_of(function.__code__)}

    @property
    def places(self) -> set[tuple[str, int]]:
        """Functions and lines that have raised an injected error."""
        return set(self._counts)

    @contextmanager
    def raises(self) -> Iterator[None]:
        """Raise errors in a block."""
        sys.monitoring.use_tool_id(_TOOL, "error injector")
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.LINE, self._line)
        for code in self._codes:
            sys.monitoring.set_local_events(_TOOL, code, sys.monitoring.events.LINE)
        try:
            yield
        finally:
            for code in self._codes:
                sys.monitoring.set_local_events(_TOOL, code, 0)
            sys.monitoring.register_callback(_TOOL, sys.monitoring.events.LINE, None)
            sys.monitoring.free_tool_id(_TOOL)

    def _line(self, code: CodeType, line: int) -> None:
        # The first line of a function is executed by its caller.
        if line == code.co_firstlineno or line in _lines_without_errors(code.co_filename):
            return
        place = code.co_qualname, line
        if self._counts[place] < self._times and self._random.random() < self._chance:
            self._counts[place] += 1
            raise self._random.choice(ERRORS)(f"{self._text} in {code.co_qualname}, line {line}")


@cache
def _lines_without_errors(path: str) -> set[int]:
    """Return the lines in which no error is injected.

    These are the headers of `with`, `try` and `except`, and calls that create a task. A block of a `with`
    also ends on its header, where an error would skip the exit. In a call that creates a task, an error
    after the evaluation of the arguments would leave a coroutine that is never awaited.
    """
    lines: set[int] = set()
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, (ast.With, ast.AsyncWith, ast.Try, ast.ExceptHandler)):
            lines.update(range(node.lineno, node.body[0].lineno))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("create_task", "create_background_task")
        ):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def functions_of(where: Any, *, but: tuple[str, ...] = ()) -> list[FunctionType]:
    """Return the functions of a module and of its classes, or of a class."""
    functions = []
    module = getattr(where, "__module__", where.__name__)
    for name, value in vars(where).items():
        if name in but or getattr(value, "__module__", None) != module:
            continue
        if isinstance(value, type):
            functions += functions_of(value, but=but)
        elif isfunction(function := getattr(value, "fget", value)):
            functions.append(function)
    return functions


def _codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_of(constant)
