"""The statements of a program that no twin executed, each with the reason if there is one.

Judged are `model.py`, `parallel.py`, and what `train.py` builds, steps, evaluates and samples with:
the functions that a twin calls there, and all that they call. The loop around them, which logs,
saves and stops, is not a twin's: tests run it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

CALLED = ("build", "learning_rate", "train_step", "evaluate", "next_logits", "sample")
"""Functions of train.py that a twin calls."""

FILES = ("model.py", "parallel.py", "train.py")

CUDA = "only on an accelerator: `--device cuda` runs it"
COMPILED = "only with torch.compile, which twins do without; tests compile three layouts"
EMPTY_STAGE = "only on a stage without such a parameter, which this twin need not have"
UNCUT = "only where an axis cuts a parameter"
REFUSED = "only to refuse what is wrong; tests provoke it"
HUNG = "only when a rank hangs; tests stop one"

ON_CPU = r"device\.type == 'cpu'|isinstance\(mask, Tensor\)"

REASONS: tuple[tuple[str, str], ...] = (
    (r": raise |\[except\]", REFUSED),
    (r"\[config\.COMPILE\]|: if config\.COMPILE", COMPILED),
    (rf"\[not [^]]*({ON_CPU})", CUDA),
    (r"Watchdog: def |: def describe_pending", HUNG),
    (r"\[for \(?axis, dim\)? in (layout\.)?cuts\.items\(\)\]", UNCUT),
    (r"reduce_gradients .*\[not partial\]: continue", EMPTY_STAGE),
)
"""A pattern of `place [condition] [condition]: first line`, and why it is not executed. A condition
is an `if` or `for` around the statement, or the opposite of one that returned before it."""


@dataclass(frozen=True)
class Unexecuted:
    """`place` is the function or class around it; `reason` is '' where there is none."""

    file: str
    place: str
    line: str
    reason: str

    def text(self) -> str:
        return f"{self.file}: {self.place or 'top level'}: {self.line}"


def unexecuted(
    files: Mapping[str, str], executed: Mapping[str, Set[int]]
) -> tuple[Unexecuted, ...]:
    """The outermost statements of which no line ran; of a function that never ran, itself."""
    found: list[Unexecuted] = []
    for file in FILES:
        try:
            tree = ast.parse(files[file])
        except (KeyError, SyntaxError):
            continue  # the ranks say what is wrong with it
        body = _called(tree) if file == "train.py" else tree.body
        ran = executed.get(file, frozenset())
        for place, conditions, line in _idle(body, "", (), ran):
            within = "".join(f" [{condition}]" for condition in conditions)
            found.append(Unexecuted(file, place, line, _reason(f"{place}{within}: {line}")))
    return tuple(found)


def _reason(where: str) -> str:
    return next((why for pattern, why in REASONS if re.search(pattern, where)), "")


def called_functions(train: str) -> frozenset[int]:
    """Lines of train.py's functions that a twin reaches."""
    return frozenset(
        line
        for function in _called(ast.parse(train))
        for line in range(function.lineno, (function.end_lineno or 0) + 1)
    )


def _called(tree: ast.Module) -> list[ast.stmt]:
    """The functions of train.py that a twin reaches, by name."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    reached: list[str] = []
    waiting = [name for name in CALLED if name in functions]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.append(name)
            named = (node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name))
            waiting += [other for other in named if other in functions]
    return [functions[name] for name in functions if name in reached]


def _idle(
    body: list[ast.stmt], place: str, conditions: tuple[str, ...], ran: Set[int]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Place, conditions and first line of each."""
    for statement in body:
        match statement:
            case ast.ClassDef(name=name):
                yield from _idle(statement.body, f"{place}.{name}".strip("."), conditions, ran)
            case ast.FunctionDef(name=name) if _any_ran(statement.body, ran):
                yield from _idle(statement.body, f"{place}.{name}".strip("."), conditions, ran)
            case ast.FunctionDef():
                yield place, conditions, _first_line(statement)
            case _ if not _has_code(statement):
                pass
            case _ if not _header(statement) & ran:
                yield place, conditions, _first_line(statement)
            case _:
                for condition, block in _blocks(statement):
                    inside = (*conditions, condition) if condition else conditions
                    yield from _idle(block, place, inside, ran)
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return | ast.Raise):
            conditions = (*conditions, f"not {ast.unparse(statement.test)}")


def _any_ran(body: list[ast.stmt], ran: Set[int]) -> bool:
    """A body without code counts as executed: there is nothing to execute."""
    real = [statement for statement in body if _has_code(statement)]
    return not real or any(
        line in ran
        for statement in real
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    )


def _has_code(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None) | ast.Pass():
            return False
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return False
        case _:
            return True


def _header(statement: ast.stmt) -> set[int]:
    """Lines of a statement without the blocks in it."""
    blocks = _blocks(statement)
    last = min((block[0].lineno - 1 for _, block in blocks), default=statement.end_lineno)
    return {*range(statement.lineno, max(statement.lineno, last or 0) + 1)}


def _blocks(statement: ast.stmt) -> list[tuple[str, list[ast.stmt]]]:
    """The blocks in a statement, each with the condition under which it runs."""
    match statement:
        case ast.If(test=test, body=body, orelse=orelse):
            condition = ast.unparse(test)
            blocks = [(condition, body), (f"not {condition}", orelse)]
        case ast.For(target=target, iter=over, body=body, orelse=orelse):
            each = f"for {ast.unparse(target)} in {ast.unparse(over)}"
            blocks = [(each, body), ("", orelse)]
        case ast.While(body=body, orelse=orelse):
            blocks = [("", body), ("", orelse)]
        case ast.With(body=body):
            blocks = [("", body)]
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
            handled = [("except", handler.body) for handler in handlers]
            blocks = [("", body), *handled, ("", orelse), ("", final)]
        case _:
            blocks = list[tuple[str, list[ast.stmt]]]()
    return [(condition, block) for condition, block in blocks if block]


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]
