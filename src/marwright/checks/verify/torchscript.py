"""What serialized TorchScript calls, judged from its syntax tree.

``torch.jit.save`` writes code that Python can parse (torch/csrc/jit/serialization/python_print.cpp), and PyTorch's
parser takes nothing for code that Python takes for a string or a comment (torch/csrc/jit/frontend/lexer.h). Operators
are ``torch.NAME`` and ``ops.NAMESPACE.NAME``; everything else is written out in the archive, and thus judged too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from marwright.checks.budget import Budget
from marwright.checks.verify.operators import FORBIDDEN, KNOWN_CLASSES, Operators, known, known_methods

# Of one file: each takes up to a kilobyte of the syntax tree.
MOST_WORDS = 150_000
# In bytes; so many words are never longer.
LONGEST_CODE = 4 << 20
_WORD = re.compile(rb"\w+|[^\w\s]")
_ROOTS = frozenset({"torch", "ops", "__torch__", "CONSTANTS"})
# Statements of the language, and what they are made of; a lambda or an import is none.
_TREE = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AnnAssign,
    ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.withitem, ast.Raise, ast.Assert, ast.Expr, ast.Pass,
    ast.Break, ast.Continue, ast.Delete, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Set,
    ast.List, ast.Tuple, ast.Compare, ast.Call, ast.keyword, ast.Constant, ast.Attribute, ast.Subscript,
    ast.Slice, ast.Starred, ast.Name, ast.ListComp, ast.DictComp, ast.comprehension, ast.expr_context, ast.boolop,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
_STATES = ("/constants.pkl", "/bytecode.pkl")
# What PyTorch's own reader of TorchScript makes: objects of classes in the code, and lists of plain values.
_MADE = frozenset(
    f"torch.jit._pickle.{name}"
    for name in (
        *(f"build_{kind}list" for kind in ("bool", "double", "int", "tensor")),
        "build_tensor_from_id",
        "restore_type_tag",
    )
)
_TYPE_COMMENT = re.compile(r"#\s*type:")


def is_part(name: str) -> bool:
    """Whether a file of this name, in a zip file, makes that TorchScript to some reader."""
    lower = name.lower()
    return ("/code/" in f"/{lower}" and lower.endswith(".py")) or lower.endswith(_STATES)


def is_own(name: str) -> bool:
    """Whether PyTorch's reader of TorchScript makes this of a pickle without importing anything."""
    return name in _MADE or name.startswith("__torch__.")


def foreign_classes(names: Iterable[str]) -> set[str]:
    """Those of the names that are classes written in C++, but not of PyTorch's own packed weights; in words."""
    found = set()
    for name in names:
        prefix, _, rest = name.partition("__torch__.torch.classes.")
        if not prefix and rest.partition(".")[0] not in KNOWN_CLASSES:
            found.add(f"the class {name}")
    return found


def operators_in(code: Iterable[tuple[str, bytes]], budget: Budget) -> Operators:
    """Judge the code of one TorchScript file.

    ``code`` has names and texts of all its files, since any may be imported by any; a name may stand there twice.

    Raises:
        OverBudget: there is more code than that.
    """
    judge = _Judge(budget)
    for name, text in code:
        budget.spend(size=len(text))
        if sum(1 for _ in _WORD.finditer(text)) > MOST_WORDS:
            judge.found.unknown.add(f"{name}, too long to be judged")
            continue
        try:
            source = text.decode("utf-8")
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            judge.found.unknown.add(f"{name}, which cannot be parsed")
            continue
        if _TYPE_COMMENT.search(source):
            # PyTorch reads these comments, and never writes them.
            judge.found.unknown.add(f"a type in a comment of {name}")
        judge.look_at(tree)
    return judge.verdict()


class _Judge:
    """Gathers what trees name: what is declared in one may be used in another."""

    def __init__(self, budget: Budget) -> None:
        self.found = Operators()
        self._budget = budget
        self._declared: set[str] = set()
        self._fields: set[str] = set()
        self._functions: set[str] = set()

    def verdict(self) -> Operators:
        """What was found, once all trees have been looked at."""
        # What is declared here was judged where it was made, and only its name is that of something else.
        fields, functions = self._fields - self._declared, self._functions - self._declared
        self.found.forbidden |= FORBIDDEN & (fields | functions)
        self.found.unknown |= {f".{name}" for name in fields - known_methods() - FORBIDDEN}
        self.found.unknown |= functions - known("(builtin)") - FORBIDDEN
        return self.found

    def look_at(self, tree: ast.Module) -> None:
        """Look at every node of a tree."""
        waiting: list[ast.AST] = [tree]
        while waiting:
            node = waiting.pop()
            self._budget.spend(items=1)
            match node:
                case ast.Attribute():
                    waiting += self._path(node)
                    continue
                case ast.Name():
                    self._name(node)
                case ast.ClassDef() | ast.FunctionDef():
                    self._declared.add(node.name)
                case ast.arg():
                    self._declared.add(node.arg)
                case ast.Subscript(slice=ast.Constant(value=str(name))):
                    # Fields whose names are none of Python's: __annotations__["0"] = …
                    self._declared.add(name)
                case ast.Call(func=ast.Name(id=function)):
                    self._functions.add(function)
                    if function in ("getattr", "hasattr"):
                        self._named_field(node)
                case _ if not isinstance(node, _TREE):
                    self.found.unknown.add(f"a {type(node).__name__} in line {getattr(node, 'lineno', 0)}")
            waiting += ast.iter_child_nodes(node)

    def _path(self, node: ast.Attribute) -> list[ast.AST]:
        """Judge ``a.b.c`` as a whole; what is left to look at is what it begins with, unless that is a namespace."""
        path: list[str] = []
        base: ast.AST = node
        while isinstance(base, ast.Attribute):
            path.insert(0, base.attr)
            base = base.value
        match base.id if isinstance(base, ast.Name) and isinstance(base.ctx, ast.Load) else "":
            case "torch":
                if path[0] == "autograd":
                    del path[0]
                self.found.add([f"aten::{''.join(path[:1])}"])
                self._fields.update(path[1:])
            case "ops":
                self.found.add(["::".join(path[:2])])
                self._fields.update(path[2:])
            case "__torch__":
                if path[:2] == ["torch", "classes"] and (len(path) < 4 or path[2] not in KNOWN_CLASSES):
                    self.found.unknown.add(f"the class {'.'.join(path)}")
            case "CONSTANTS":
                self._fields.update(path[1:])
            case _:
                self._fields.update(path)
                return [base]
        return []

    def _name(self, node: ast.Name) -> None:
        if node.id in _ROOTS:
            # Passed on or replaced, a namespace could be called by another name.
            self.found.unknown.add(f"{node.id} taken as a value")
        elif isinstance(node.ctx, ast.Store):
            self._declared.add(node.id)
        elif node.id in FORBIDDEN:
            self._functions.add(node.id)

    def _named_field(self, node: ast.Call) -> None:
        match node.args:
            case [_, ast.Constant(value=str(name)), *_]:
                self._fields.add(name)
            case _:
                self.found.unknown.add("a field whose name is put together")
