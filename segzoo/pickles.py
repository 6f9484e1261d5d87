"""What a pickle asks for, told without running it.

A pickle is a small program; the names of the functions and classes that it wants called stand in it as
plain strings. `pickletools` lists its instructions and executes none.
"""

from __future__ import annotations

import pickletools
from typing import IO

#: What tensors and plain data need; anything else is code of somebody's.
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
#: Functions of these modules do things to the machine as soon as they are called.
_MACHINE = frozenset(_MACHINE_MODULES.split())

#: What a pickle of a whole network takes from the builtins.
_CONTAINERS = frozenset(
    {"set", "frozenset", "list", "dict", "tuple", "slice", "complex", "bytearray", "object"}
)

#: A torch file without a zip around it is a magic number, a version, a note, the data and the keys.
LEGACY_PICKLES = 5

#: Instructions of a pickle: a tensor takes about 30. Those that make containers take 300 bytes of memory
#: for one byte of the file.
_MOST_INSTRUCTIONS, _MOST_CONTAINERS = 2_000_000, 500_000
_MAKES = frozenset(
    {"EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "MARK"}
    | {"TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ"}
)


def is_overlong(stream: IO[bytes], *, pickles: int = LEGACY_PICKLES) -> bool:
    """Whether a stream of pickles has more instructions than a checkpoint's, made to fill memory or time."""
    instructions = containers = 0
    for _ in range(pickles):
        try:
            for opcode, _argument, _place in pickletools.genops(stream):
                instructions += 1
                containers += opcode.name in _MAKES
                if instructions > _MOST_INSTRUCTIONS or containers > _MOST_CONTAINERS:
                    return True
        except Exception:  # reading it will say what is wrong
            break
    return False


def asked_for(stream: IO[bytes], *, pickles: int = LEGACY_PICKLES) -> list[str]:
    """Return the functions and classes, as ``module.name``, that a stream of pickles wants beyond tensors."""
    found: list[str] = []
    for _ in range(pickles):
        try:
            found += _of_one(stream)
        except Exception:  # the bytes of the tensors follow, or the file is damaged in whatever way
            break
    return list(dict.fromkeys(name for name in found if not _harmless(name)))


def sentence(names: list[str]) -> str:
    """Return what to tell of a pickle that asks for these; none means that nobody knows why it failed."""
    shown = ", ".join(repr(name) for name in names[:3])
    if any(_acts(name) for name in names):
        return (
            f"is a pickle that would run code: it asks for {shown}. Nothing of it was run; "
            "do not open it with any other program"
        )
    return (
        f"is a pickle of objects, not of tensors: it asks for {shown}, whose code would run. Nothing of it "
        "was run; in the program that made it, save model.state_dict() instead"
    )


def _of_one(stream: IO[bytes]) -> list[str]:
    found: list[str] = []
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST") and isinstance(argument, str):
            found.append(argument.replace(" ", ".", 1))
        elif name == "STACK_GLOBAL" and len(strings) >= 2:
            found.append(f"{strings[-2]}.{strings[-1]}")
        elif name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            memo[argument] = strings[-1] if strings else ""
        elif name in ("GET", "BINGET", "LONG_BINGET") and isinstance(argument, int):
            strings.append(memo.get(argument, ""))
        elif isinstance(argument, str):
            strings.append(argument)
    return found


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
