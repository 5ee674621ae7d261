"""The kinds of change: what may stand in the place of a node of a syntax tree."""

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence

_COMPARISONS: dict[type[ast.cmpop], list[tuple[str, type[ast.cmpop]]]] = {
    ast.Lt: [("< to <=", ast.LtE), ("< to >=", ast.GtE)],
    ast.LtE: [("<= to <", ast.Lt), ("<= to >", ast.Gt)],
    ast.Gt: [("> to >=", ast.GtE), ("> to <=", ast.LtE)],
    ast.GtE: [(">= to >", ast.Gt), (">= to <", ast.Lt)],
    ast.Eq: [("== to !=", ast.NotEq)],
    ast.NotEq: [("!= to ==", ast.Eq)],
    ast.Is: [("is to is not", ast.IsNot)],
    ast.IsNot: [("is not to is", ast.Is)],
    ast.In: [("in to not in", ast.NotIn)],
    ast.NotIn: [("not in to in", ast.In)],
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, type[ast.operator]]] = {
    ast.Add: ("+ to -", ast.Sub),
    ast.Sub: ("- to +", ast.Add),
    ast.Mult: ("* to /", ast.Div),
    ast.Div: ("/ to *", ast.Mult),
    ast.FloorDiv: ("// to *", ast.Mult),
    ast.Mod: ("% to *", ast.Mult),
    ast.Pow: ("** to *", ast.Mult),
    ast.LShift: ("<< to >>", ast.RShift),
    ast.RShift: (">> to <<", ast.LShift),
    ast.BitAnd: ("& to |", ast.BitOr),
    ast.BitOr: ("| to &", ast.BitAnd),
    ast.BitXor: ("^ to &", ast.BitAnd),
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_UNWRAPPED = ("abs", "sorted", "reversed", "round")


Variant = tuple[str, ast.AST]
"""The kind of change, and what stands in the node's place."""


def variants(node: ast.AST, enums: Mapping[str, Sequence[str]]) -> Iterator[Variant]:
    """Each small change of this node alone; `enums` has the members of each enumeration."""
    match node:
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BinOp() if not _joins_text(node):
            yield from _arithmetic(node)
        case ast.AugAssign():
            yield from _arithmetic(node)
            yield "remove", ast.Pass()
        case ast.BoolOp():
            yield from _connectives(node)
        case ast.UnaryOp(op=ast.Not()):
            yield "drop not", node.operand
        case ast.UnaryOp(op=ast.USub()):
            yield "drop minus", node.operand
        case ast.Constant(value=bool(value)):
            yield f"{value} to {not value}", ast.Constant(not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield "constant + 1", ast.Constant(value + 1)
            yield "constant - 1", ast.Constant(value - 1)
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield "return None", ast.Return(ast.Constant(None))
        case ast.If() | ast.While() | ast.IfExp():
            yield from _conditions(node)
        case ast.comprehension(ifs=[_, *_]):
            for number, test in enumerate(node.ifs):
                yield (
                    "drop filter",
                    with_fields(node, ifs=node.ifs[:number] + node.ifs[number + 1 :]),
                )
                yield (
                    "negate filter",
                    with_fields(
                        node, ifs=[*node.ifs[:number], _not(test), *node.ifs[number + 1 :]]
                    ),
                )
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            yield (
                f"{name} to {_CALLS[name]}",
                with_fields(node, func=ast.Name(_CALLS[name], ast.Load())),
            )
            if name in ("min", "max") and len(node.args) > 1 and not node.keywords:
                for number in range(len(node.args)):
                    kept = node.args[:number] + node.args[number + 1 :]
                    yield (
                        f"drop of {name}",
                        kept[0] if len(kept) == 1 else with_fields(node, args=kept),
                    )
        case ast.Call(func=ast.Attribute(attr="popleft")):
            yield "popleft to pop", with_fields(node, func=with_fields(node.func, attr="pop"))
        case ast.Tuple(ctx=ast.Load(), elts=[_, *_]) | ast.List(ctx=ast.Load(), elts=[_, *_]):
            for number in range(len(node.elts)):
                yield (
                    "drop element",
                    with_fields(node, elts=node.elts[:number] + node.elts[number + 1 :]),
                )
        case ast.Call(func=ast.Name(id=name), args=[only]) if name in _UNWRAPPED:
            yield f"drop {name}", only
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete() | ast.Break() | ast.Continue():
            yield "remove", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "remove", ast.Pass()
        case ast.Attribute(value=ast.Name(id=name), attr=member):
            members = enums.get(name, ())
            if member in members:
                other = members[(members.index(member) + 1) % len(members)]
                yield f"{name}.{member} to {other}", with_fields(node, attr=other)


def _comparisons(node: ast.Compare) -> Iterator[Variant]:
    for number, op in enumerate(node.ops):
        for change, other in _COMPARISONS[type(op)]:
            ops = [*node.ops[:number], other(), *node.ops[number + 1 :]]
            yield change, with_fields(node, ops=ops)


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[Variant]:
    if type(node.op) in _ARITHMETIC:
        change, other = _ARITHMETIC[type(node.op)]
        yield change, with_fields(node, op=other())
        if isinstance(node, ast.BinOp):
            sign = change.split()[0]
            yield f"drop left of {sign}", node.right
            yield f"drop right of {sign}", node.left


def _connectives(node: ast.BoolOp) -> Iterator[Variant]:
    change, other = (
        ("and to or", ast.Or) if isinstance(node.op, ast.And) else ("or to and", ast.And)
    )
    yield change, with_fields(node, op=other())
    for number in range(len(node.values)):
        kept = node.values[:number] + node.values[number + 1 :]
        yield (
            f"drop of {change.split()[0]}",
            kept[0] if len(kept) == 1 else with_fields(node, values=kept),
        )


def _conditions(node: ast.If | ast.While | ast.IfExp) -> Iterator[Variant]:
    yield "negate", with_fields(node, test=_not(node.test))
    if isinstance(node, ast.IfExp):
        yield "always", node.body
        yield "never", node.orelse
    elif isinstance(node, ast.If):
        # A walrus in the condition goes on to assign.
        yield (
            "always",
            with_fields(node, test=ast.BoolOp(ast.Or(), [node.test, ast.Constant(True)])),
        )
        yield (
            "never",
            with_fields(node, test=ast.BoolOp(ast.And(), [node.test, ast.Constant(False)])),
        )


def _not(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def _joins_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in sides
    )


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def with_fields(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of the node with these fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
