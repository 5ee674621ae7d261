"""Mutations: small changes of a module's syntax tree, each with an address that survives renames elsewhere.

The address says module, qualified name of the function or class, kind of change, and the number of the
place in that function or class, among those where such a change is possible:
`shim.compare.comparator:Comparator.decided:< to <=:1`. An edit elsewhere changes no address.

Not changed are docstrings, texts, annotations, decorators, and what only type checkers or broken
invariants reach (`TYPE_CHECKING`, `raise AssertionError`, protocols, `strict=True` of `zip`).
"""

import ast
import builtins
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import CodeType

from tests.mutants.variants import variants, with_fields

ROOT = Path(__file__).parents[2]

_TOP = "(module)"


@dataclass(frozen=True)
class Mutation:
    """One change. `lines` are those of the statement that is changed, `node` counts the tree's nodes."""

    module: str
    qualname: str
    change: str
    number: int
    node: int
    variant: int
    lines: range
    before: str
    after: str
    edit: Callable[[ast.AST], ast.AST] | None = None
    """What somebody asked for (`replaced`, `swapped`), instead of a variant."""

    @property
    def address(self) -> str:
        return f"{self.module}:{self.qualname or _TOP}:{self.change}:{self.number}"

    def code(self) -> CodeType:
        """The whole module with this change, compiled."""
        tree = parse(self.module)
        node = next(node for index, node in enumerate(ast.walk(tree)) if index == self.node)
        edited = (
            list(variants(node, _enums()))[self.variant][1]
            if self.edit is None
            else self.edit(node)
        )
        _Replace(node, edited).visit(tree)
        code: CodeType = compile(ast.fix_missing_locations(tree), path_of(self.module), "exec")
        return code


class _Replace(ast.NodeTransformer):
    def __init__(self, node: ast.AST, replacement: ast.AST) -> None:
        self._node = node
        self._replacement = replacement

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._node:
            return ast.copy_location(self._replacement, node)
        visited: ast.AST = self.generic_visit(node)
        return visited


@cache
def path_of(module: str) -> Path:
    """The file of a module, which is not imported."""
    package, _, _ = module.partition(".")
    folder = ROOT if package == "shim" else ROOT / "plugins"
    path = folder.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def parse(module: str) -> ast.Module:
    """A new syntax tree of the module as it is."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def modules_of(*packages: str) -> list[str]:
    """The modules of these packages, by name."""
    names = []
    for package in packages:
        folder = path_of(package).parent
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            names.append(".".join((package, *(part for part in parts if part != "__init__"))))
    return names


@cache
def mutations_of(module: str) -> dict[str, Mutation]:
    """All mutations of a module, by address."""
    tree = parse(module)
    index = {id(node): number for number, node in enumerate(ast.walk(tree))}
    enums, seen = _enums(), Counter[tuple[str, str]]()
    found = {}
    for node, qualname, statement in _places(tree, "", tree):
        for variant, (change, replacement) in enumerate(variants(node, enums)):
            seen[qualname, change] += 1
            mutation = Mutation(
                module=module,
                qualname=qualname,
                change=change,
                number=seen[qualname, change],
                node=index[id(node)],
                variant=variant,
                lines=_lines(statement),
                before=_shown(node),
                after=_shown(replacement),
            )
            found[mutation.address] = mutation
    return found


def replaced(module: str, qualname: str, before: str, after: str, number: int = 1) -> Mutation:
    """The mutation that puts one expression in the place of another, the `number`-th in this function.

    For changes that no kind of change makes. Raises LookupError if there is no such expression.
    """
    before = ast.unparse(ast.parse(before, mode="eval"))
    tree = parse(module)
    index = {id(node): position for position, node in enumerate(ast.walk(tree))}
    left = number
    for node, scope, statement in _places(tree, "", tree):
        if scope == qualname and isinstance(node, ast.expr) and ast.unparse(node) == before:
            left -= 1
            if not left:
                return Mutation(
                    module=module,
                    qualname=qualname,
                    change=f"{before} => {after}",
                    number=number,
                    node=index[id(node)],
                    variant=0,
                    lines=_lines(statement),
                    before=before,
                    after=after,
                    edit=lambda _: ast.parse(after, mode="eval").body,
                )
    raise LookupError(f"{module}:{qualname} has no {before} number {number}")


def swapped(module: str, qualname: str, number: int = 1) -> Mutation:
    """The mutation that swaps two neighbours, the `number`-th such pair in the `if` blocks of this function."""
    tree = parse(module)
    index = {id(node): position for position, node in enumerate(ast.walk(tree))}
    left = number
    for node, scope, statement in _places(tree, "", tree):
        if scope != qualname or not isinstance(node, ast.If):
            continue
        for first, (one, other) in enumerate(pairwise(node.body)):
            left -= 1
            if not left:
                return Mutation(
                    module=module,
                    qualname=qualname,
                    change="swap",
                    number=number,
                    node=index[id(node)],
                    variant=0,
                    lines=_lines(statement),
                    before=f"{_shown(one)}; {_shown(other)}",
                    after=f"{_shown(other)}; {_shown(one)}",
                    edit=partial(_swap, first),
                )
    raise LookupError(f"{module}:{qualname} has no pair of statements number {number}")


def _swap(first: int, node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.If)
    body = [*node.body]
    body[first : first + 2] = reversed(body[first : first + 2])
    return with_fields(node, body=body)


def _shown(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return " ".join(text.split())


def _lines(statement: ast.AST) -> range:
    """The lines of a statement, without the block that it begins."""
    first: int = getattr(statement, "lineno", 1)
    body = getattr(statement, "body", None)
    if isinstance(body, list) and body:
        return range(first, max(first + 1, body[0].lineno))
    return range(first, (getattr(statement, "end_lineno", None) or first) + 1)


def _places(
    node: ast.AST, qualname: str, statement: ast.AST
) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Each node that may be changed, in the order of the source, with its scope and statement."""
    yield node, qualname, statement
    for field, value in ast.iter_fields(node):
        if field in (
            "annotation",
            "returns",
            "decorator_list",
            "type_comment",
            "bases",
            "keywords",
        ) and (field != "keywords" or isinstance(node, ast.ClassDef)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _left_out(child):
                continue
            inner = qualname
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{qualname}.{child.name}".lstrip(".")
            yield from _places(child, inner, child if isinstance(child, ast.stmt) else statement)


def _left_out(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.keyword(arg="strict"):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.ClassDef():
            return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
        case ast.Assign(targets=[ast.Name(id=name)]):
            # `X = Any`, `X = dict[str, int] | None`: a name for a type.
            return name in ("__all__", "__slots__") or _is_type(node.value)
    return False


def _is_type(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name):
            return name == "Any" or isinstance(getattr(builtins, name, None), type)
        case ast.Subscript(value=ast.Name(id=name)):
            return name[0].isupper() or isinstance(getattr(builtins, name, None), type)
        case ast.BinOp(op=ast.BitOr(), right=ast.Name(id=name)):
            # Of an enumeration's members both are attributes.
            return name[0].isupper() or _is_type(node.left)
        case ast.BinOp(op=ast.BitOr()):
            return _is_type(node.left)
    return False


@cache
def _enums() -> dict[str, tuple[str, ...]]:
    """The members of each enumeration of the project, by its name, which is unique."""
    found = {}
    for module in modules_of("shim"):
        for node in ast.walk(parse(module)):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and base.id.endswith(("Enum", "Flag"))
                for base in node.bases
            ):
                found[node.name] = tuple(
                    target.id
                    for statement in node.body
                    if isinstance(statement, ast.Assign)
                    for target in statement.targets
                    if isinstance(target, ast.Name)
                )
    return found
