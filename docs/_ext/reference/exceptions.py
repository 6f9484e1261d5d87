"""The exceptions: their tree, what to do about each, and the exit code of the command."""

from __future__ import annotations

import inspect

from reference.docstrings import first_line, markdown
from segzoo import errors


def classes() -> list[type[errors.SegzooError]]:
    """Return every exception, a base class before its subclasses."""
    return _below(errors.SegzooError)


def _below(one: type[errors.SegzooError]) -> list[type[errors.SegzooError]]:
    return [
        one,
        *(
            lower
            for derived in one.__subclasses__()
            if derived.__module__ == errors.__name__
            for lower in _below(derived)
        ),
    ]


def tree() -> str:
    """Return the tree that the module draws."""
    drawn = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    return f"```text\n{inspect.cleandoc(drawn)}\n```"


def cure(one: type[errors.SegzooError]) -> str:
    """Return the advice in a docstring."""
    _, _, said = (inspect.getdoc(one) or "").partition("\n\n")
    return markdown(" ".join(said.split()))


def every_exception() -> str:
    """Return a section for each exception."""
    return "\n\n".join(_section(one) for one in classes())


def _section(one: type[errors.SegzooError]) -> str:
    code = 2 if issubclass(one, errors.UsageError) else 1
    also = [base.__name__ for base in one.__mro__[1:] if base.__module__ == "builtins"]
    also = [name for name in also if name not in ("object", "BaseException", "Exception")]
    builtin = f", which is also a `{'` and a `'.join(also)}`" if also else ""
    return (
        f"## {one.__name__}\n\n{markdown(first_line(one))}\n\n**What to do.** {cure(one)}\n\n"
        f"In Python: {{py:exc}}`segzoo.errors.{one.__name__}`{builtin}. Exit code of commands: {code}."
    )
