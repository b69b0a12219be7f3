"""What a pickle says, told without an unpickler.

A pickle is a program for a stack machine, and Python's unpickler runs whatever functions it names. `told` runs the same
program on a machine that has plain values only: a name is kept as a `Named` record, and a call or a state given to it is
written on the record. Nothing is imported, called or set. What the records may mean is for the reader to decide.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Named", "told"]

_MOST_STEPS = 5_000_000  # each makes at most one small object, so this bounds the memory


@dataclass(slots=True, eq=False)
class Named:
    """A function or class that the pickle names, or what it says would come of calling it.

    Args:
        name: ``"module.name"``.
        arguments: of the call; None for the name itself.
        state: what would be set on the result.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None


def told(data: bytes) -> tuple[Any, list[str]]:
    """The value of a pickle, and every name in it, in order.

    Values are plain: None, bool, int, float, str, bytes, list, tuple, dict (sets come as lists), and `Named`. They may share
    parts and hold themselves, so walk them with a budget.

    Raises:
        ValueError, KeyError, IndexError: not a pickle, too long a one, or one with steps that no expansion needs.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > _MOST_STEPS:
            raise ValueError(f"more than {_MOST_STEPS} steps")
        if opcode.name == "STOP":
            break
        if opcode.name not in _STEPS:
            raise ValueError(f"a step {opcode.name}")
        _STEPS[opcode.name](machine, argument)
    return machine.pop(), machine.names


class _Machine:
    """Stack, marks and memo of the pickle machine."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}
        self.names: list[str] = []

    def pop(self) -> Any:
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def last(self, n: int) -> tuple[Any, ...]:
        if len(self.stack) < n:
            raise IndexError("the stack is empty")
        items = tuple(self.stack[len(self.stack) - n :])
        del self.stack[len(self.stack) - n :]
        return items

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Named):  # a record of a list stays a record
            raise ValueError("items added to no list")

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update({key if isinstance(key, str | int) else object(): value for key, value in pairs})  # a tuple could hash for ever
        elif not isinstance(target, Named):
            raise ValueError("items set in no dictionary")

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name that is no text")
        self.names.append(f"{module}.{name}")
        self.push(Named(self.names[-1]))

    def call(self, function: Any, arguments: Any) -> None:
        if not (isinstance(function, Named) and isinstance(arguments, tuple)):
            raise ValueError("a call of no name")
        self.push(Named(function.name, arguments))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.stack[-1]
        if not (isinstance(target, Named) and target.arguments is not None):
            raise ValueError("a state for no object")
        target.state = state

    def recall(self, index: int) -> None:
        self.push(self.memo[int(index)])

    def memorise(self, index: int | None = None) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def drop(self, _: Any) -> None:
        self.pop() if self.stack else self.since_mark()

    def drop_since_mark(self, _: Any) -> None:
        self.since_mark()

    def dictionary(self, _: Any) -> None:
        items = self.since_mark()
        self.push({})
        self.fill(items)

    def instance(self, names: str | None) -> None:
        """INST names its class, OBJ has it first on the stack."""
        items = self.since_mark()
        if names is None:
            self.call(items[0], tuple(items[1:]))
        else:
            self.name(*names.split(" ", 1))
            self.call(self.pop(), tuple(items))


_Step = Callable[[_Machine, Any], None]
_IGNORED = ("PROTO", "FRAME")
_CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(_IGNORED, lambda m, _: None),
    **dict.fromkeys(_CONSTANTS, lambda m, value: m.push(value)),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_SET": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_since_mark,
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(m.last(1)),
    "TUPLE2": lambda m, _: m.push(m.last(2)),
    "TUPLE3": lambda m, _: m.push(m.last(3)),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "FROZENSET": lambda m, _: m.push(m.since_mark()),
    "DICT": _Machine.dictionary,
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.fill(list(m.last(2))),
    "SETITEMS": lambda m, _: m.fill(m.since_mark()),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memorise),
    "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.last(2)),
    "REDUCE": lambda m, _: m.call(*m.last(2)),
    "NEWOBJ": lambda m, _: m.call(*m.last(2)),
    "NEWOBJ_EX": lambda m, _: m.call(*m.last(3)[:2]),
    "BUILD": _Machine.build,
    "INST": _Machine.instance,
    "OBJ": _Machine.instance,
}
