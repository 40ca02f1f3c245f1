"""Errors that nobody expects, anywhere in a piece of code, as often as it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from linecache import getline
from random import Random
import sys
from types import CodeType, FunctionType
from typing import Any

# sys.monitoring knows six tools; the others are taken by debuggers, coverage and profilers.
_TOOL = 3

# What code throws that meets what its author did not think of.
ERRORS = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


class ErrorThrower:
    """Throws at the beginning of lines of some functions and of what is defined in them."""

    def __init__(
        self, *functions: Callable[..., Any], chance: float = 0.02, seed: int = 0, text: str = "thrown"
    ) -> None:
        self.places: set[tuple[str, int]] = set()
        """Where it has thrown."""

        self._chance = chance
        self._text = text
        self._random = Random(seed)
        self._codes = {code for function in functions for code in _codes_of(function.__code__)}

    @contextmanager
    def throws(self) -> Iterator[None]:
        """Throw until the end of the block."""
        sys.monitoring.use_tool_id(_TOOL, "error thrower")
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
        # The first line of a function is where it is called. That of a `with` is also where it ends: between
        # its last line and its exit nothing can go wrong. A line with `try` is outside of its block.
        text = getline(code.co_filename, line).lstrip()
        if line == code.co_firstlineno or text.startswith(("with ", "async with ", "try:")):
            return
        if self._random.random() < self._chance:
            self.places.add((code.co_qualname, line))
            raise self._random.choice(ERRORS)(f"{self._text} in {code.co_qualname}, line {line}")


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
