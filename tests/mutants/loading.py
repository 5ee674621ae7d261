"""Importing a module whose code was changed in memory."""

from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType

from tests.mutants.mutation import path_of


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
