"""Putting changed code in place: where a module is imported, or in the functions of an imported module."""

import gc
from collections import defaultdict
from collections.abc import Mapping, Set
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple, TypeAlias

from tests.mutants.mutation import Mutation, parse, path_of


class _Loader(SourceFileLoader):
    def __init__(self, module: str, code: CodeType) -> None:
        super().__init__(module, str(path_of(module)))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class MutatedFinder(MetaPathFinder):
    """Finds one module, with other code than its file has; to be put first in `sys.meta_path`."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module = module
        self._loader = _Loader(module, code)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        return spec_from_file_location(fullname, path_of(fullname), loader=self._loader)


class FunctionKey(NamedTuple):
    """Where a function is written."""

    path: Path
    qualname: str
    line: int


Functions: TypeAlias = Mapping[FunctionKey, CodeType]


def changed_functions(mutation: Mutation) -> Functions:
    """The functions that the mutation changes, with their new code.

    None of them if new code cannot be put in place: it uses other variables of the function around it,
    two functions begin in one line, or a function begins in another line than before.
    """
    path = path_of(mutation.module)
    before = _functions_in(path, compile(parse(mutation.module), path, "exec"))
    changed = dict[FunctionKey, CodeType]()
    for key, codes in _functions_in(path, mutation.code()).items():
        if codes != (known := before[key]):
            if len(codes) > 1 or not known or codes[0].co_freevars != known[0].co_freevars:
                return {}
            changed[key] = codes[0]
    return changed


def live_functions(paths: Set[Path]) -> Mapping[FunctionKey, list[FunctionType]]:
    """The functions in memory that are written in these files."""
    names = {str(path): path for path in paths}
    found = defaultdict(list)
    gc.unfreeze()  # what was set aside, as `tests/conftest.py` does, is not among the objects
    for function in gc.get_objects():
        if type(function) is FunctionType:
            code = function.__code__
            if (path := names.get(code.co_filename)) is not None:
                key = FunctionKey(path, code.co_qualname, code.co_firstlineno)
                found[key].append(function)
    return found


def _functions_in(path: Path, code: CodeType) -> defaultdict[FunctionKey, list[CodeType]]:
    found = defaultdict(list)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & CO_OPTIMIZED:
                found[FunctionKey(path, inner.co_qualname, inner.co_firstlineno)].append(inner)
            for key, codes in _functions_in(path, inner).items():
                found[key] += codes
    return found
