"""Lists the functions and classes that a pickle asks for, without running it.

A pickle is a small program that contains the names of the functions and classes that it calls, as plain
strings. `pickletools` lists its instructions and executes none of them.
"""

from __future__ import annotations

import _compat_pickle
import pickletools
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a pickle does next with an object that it made: nothing, set entries, or append items.
Kind = Literal["object", "mapping", "list"]

#: Functions and classes that tensors and plain data need; anything else is foreign code.
_HARMLESS = frozenset(
    {
        "argparse.Namespace",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "torch.Size",
        "torch.Tensor",
        "torch.device",
        "torch.dtype",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
    }
)
_MACHINE_MODULES = (
    "os posix nt subprocess builtins __builtin__ sys shutil socket runpy importlib pickle code ctypes "
    "commands pty webbrowser urllib asyncio multiprocessing threading operator"
)
#: Functions of these modules can change the machine when they are called.
_MACHINE = frozenset(_MACHINE_MODULES.split())

#: What a pickle of a whole network takes from the builtins; `getattr` names a method of a class.
_CONTAINERS = frozenset(
    {"set", "frozenset", "list", "dict", "tuple", "slice", "complex", "bytearray", "object", "getattr"}
    | {"int", "float", "str", "bytes", "bool", "type"}
)

#: A torch file without a zip around it is a magic number, a version, a note, the data and the keys.
LEGACY_PICKLES = 5

#: Instructions of a pickle: a tensor takes about 30. Those that make containers take 300 bytes of memory
#: for one byte of the file.
_MOST_INSTRUCTIONS, _MOST_CONTAINERS = 2_000_000, 500_000
#: Bytes that functions may make of numbers and texts, and functions and classes of a whole network.
_MOST_BYTES, _MOST_NAMES = 256 << 20, 200
_MAKES = frozenset(
    {"EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "MARK"}
    | {"TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ", "GLOBAL"}
)
_FILLS: dict[str, Kind] = {
    "SETITEM": "mapping",
    "SETITEMS": "mapping",
    "APPEND": "list",
    "APPENDS": "list",
    "ADDITEMS": "list",
}
_MARK = object()


@dataclass
class Survey:
    """What a stream of pickles contains.

    Attributes:
        names: its functions and classes, as ``module.name`` in Python 3, with the kind of use of their
            results.
        overlong: whether it has more instructions than a checkpoint, or creates larger objects, so that
            loading it would take too much memory or time.
    """

    names: dict[str, Kind] = field(default_factory=dict)
    overlong: bool = False
    _instructions: int = 0
    _containers: int = 0
    _bytes: int = 0

    def count(self, opcode: str) -> None:
        """Take note of one instruction."""
        self._instructions += 1
        self._containers += opcode in _MAKES
        self._judge()

    def weigh(self, size: int) -> None:
        """Take note of something that has so many bytes when it is made."""
        self._bytes += size
        self._judge()

    def _judge(self) -> None:
        self.overlong |= (
            self._instructions > _MOST_INSTRUCTIONS
            or self._containers > _MOST_CONTAINERS
            or self._bytes > _MOST_BYTES
            or len(self.names) > _MOST_NAMES
        )


def survey(stream: IO[bytes], *, pickles: int = LEGACY_PICKLES) -> Survey:
    """Return what a stream of pickles contains; if it is damaged, what comes before the damage.

    Args:
        stream: stream, positioned at the first pickle.
        pickles: number of pickles in the stream.
    """
    found = Survey()
    for _ in range(pickles):
        try:
            _follow(stream, found)
        except Exception:  # the bytes of the tensors follow, or reading it will say what is wrong
            break
        if found.overlong:
            break
    return found


def is_overlong(stream: IO[bytes], *, pickles: int = LEGACY_PICKLES) -> bool:
    """Whether a stream of pickles has more instructions than a checkpoint's, made to fill memory or time."""
    return survey(stream, pickles=pickles).overlong


def asked_for(stream: IO[bytes], *, pickles: int = LEGACY_PICKLES) -> list[str]:
    """Return the functions and classes, as ``module.name``, that a stream of pickles wants beyond tensors."""
    return beyond_tensors(survey(stream, pickles=pickles).names)


def beyond_tensors(names: Iterable[str]) -> list[str]:
    """Return those functions and classes that tensors and plain data do not need."""
    return [name for name in names if not _harmless(name)]


def sentence(names: list[str]) -> str:
    """Return the error message for a pickle that asks for these functions and classes."""
    shown = ", ".join(repr(name) for name in names[:3])
    if would_act(names):
        return (
            f"is a pickle that would run code: it asks for {shown}. None of it was run; "
            "do not open it with any other program"
        )
    return (
        f"is a pickle of objects, not of tensors: it asks for {shown}, whose code would run. None of it "
        "was run; in the program that made it, save model.state_dict() instead"
    )


class _Named(str):
    """A function or class on the stack."""


class _Made(str):
    """What a function or class of that name made."""


def _follow(stream: IO[bytes], found: Survey) -> None:
    """Follow one pickle with names in the place of objects, and write down what it asks for."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        found.count(opcode.name)
        if found.overlong:
            return
        name, taken = opcode.name, _taken(stack, opcode)
        result: Any = None
        if name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            module, attribute = str(argument).split(" ", 1) if argument else map(str, taken)
            result = _Named(_of_python_3(module, attribute))
            found.names.setdefault(str(result), "object")
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ") and isinstance(taken[0], _Named):
            result = _Made(taken[0])
            found.weigh(_weight(taken[0], taken[1]))
        elif name in _FILLS:
            result = taken[0]
            if isinstance(result, _Made) and found.names.get(result) == "object":
                found.names[str(result)] = _FILLS[name]
        elif name in ("BUILD", "MEMOIZE", "DUP"):
            result = taken[0]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            result = memo.get(argument)
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            result = tuple(taken[:2])  # a tuple of tuples stays as large as the file
        elif isinstance(argument, str | int) and not isinstance(argument, bool):
            result = argument
        if name == "MEMOIZE":
            memo[len(memo)] = result
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1] if stack else None
        stack += [_MARK if one is pickletools.markobject else result for one in opcode.stack_after]


def _taken(stack: list[Any], opcode: pickletools.OpcodeInfo) -> list[Any]:
    """Take off the stack what an instruction takes, to its mark where it has one; without the mark."""
    before = opcode.stack_before
    taken: list[Any] = []
    if pickletools.markobject in before:
        while stack[-1] is not _MARK:
            taken.insert(0, stack.pop()) if len(taken) < 4 else stack.pop()
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    count = len(before)
    if count:
        taken = stack[-count:] + taken
        del stack[-count:]
    return taken


def _weight(name: str, arguments: Any) -> int:
    """Return the bytes that one of the functions makes which torch's own reader lets anybody call."""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else None
    if name.startswith("torch.") and name.endswith(("Tensor", "Storage")):
        # No file that torch writes makes them of a size: their contents would be of nobody.
        return _MOST_BYTES + 1 if isinstance(first, int) else 0
    if name not in ("builtins.bytearray", "_codecs.encode"):
        return 0
    return first if isinstance(first, int) else 4 * len(first) if isinstance(first, str) else 0


def _of_python_3(module: str, attribute: str) -> str:
    """Return a name as the reader of pickles looks it up: those of Python 2 have another today."""
    if (module, attribute) in _compat_pickle.NAME_MAPPING:
        return ".".join(_compat_pickle.NAME_MAPPING[module, attribute])
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{attribute}"


def would_act(names: Iterable[str]) -> bool:
    """Whether one of these functions can change the machine when it is called."""
    return any(_acts(name) for name in names)


def _acts(name: str) -> bool:
    module, _, attribute = name.partition(".")
    return module in _MACHINE and not ("builtin" in module and attribute in _CONTAINERS)


def _harmless(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return (
        name in _HARMLESS
        or (module == "torch._utils" and attribute.startswith("_rebuild"))
        or (module in ("torch", "torch.storage", "torch.cuda") and attribute.endswith("Storage"))
    )
