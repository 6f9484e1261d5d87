"""A registry maps names to specs and records which distribution registered each.

Nothing is ever overwritten. If two plug-ins register the same short name, both are available as
``distribution:name``, and the short name raises an error that lists them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from segzoo.distribution import owner_of
from segzoo.errors import AmbiguousNameError, PluginError, UnknownNameError, did_you_mean
from segzoo.options import shown
from segzoo.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

S = TypeVar("S", bound=Spec)


class Entry(NamedTuple, Generic[S]):
    """A spec and the distribution that registered it.

    Attributes:
        spec: registered spec.
        owner: name of the distribution, or ``segzoo``.
    """

    spec: S
    owner: str

    @property
    def full_name(self) -> str:
        """The name that no other plug-in can claim, such as ``segzoo-nested:nested``."""
        return f"{self.owner}:{self.spec.name}"


class Registry(Generic[S]):
    """Specs of one kind by name, alias and ``distribution:name``.

    Args:
        spec_type: class of the specs.
        footnote: returns further text for the error about an unknown name, such as which plug-ins failed.
    """

    def __init__(self, spec_type: type[S], *, footnote: Callable[[str], str] = lambda _: "") -> None:
        self.spec_type = spec_type
        self._footnote = footnote
        self._entries: list[Entry[S]] = []
        self._by_name: dict[str, list[Entry[S]]] = {}

    @property
    def kind(self) -> str:
        """Kind of part in the registry, for messages: ``encoder``, ``dataset``."""
        return self.spec_type.kind

    def check(self, *specs: S, owner: str) -> None:
        """Raise `PluginError` if ``owner`` would claim one name twice.

        Args:
            *specs: specs to add.
            owner: distribution that registers them.
        """
        claimed = {name for entry in self._entries if entry.owner == owner for name in _names(entry.spec)}
        for spec in specs:
            for name in _names(spec):
                if name in claimed:
                    raise PluginError(f"{owner} names two {plural(self.kind)} {name!r}")
                claimed.add(name)

    def add(self, *specs: S, owner: str) -> None:
        """Add specs under their names and aliases; see `check` for errors.

        Args:
            *specs: specs of the registry's kind.
            owner: distribution that registers them.
        """
        self.check(*specs, owner=owner)
        for spec in specs:
            entry = Entry(spec, owner)
            self._entries.append(entry)
            for name in _names(spec):
                self._by_name.setdefault(name, []).append(entry)

    def find(self, name: str) -> list[Entry[S]]:
        """Return every entry that ``name`` may mean: none, one, or one per plug-in that claims it."""
        owner, colon, short = name.rpartition(":")
        entries = self._by_name.get(short, [])
        return [entry for entry in entries if not colon or entry.owner == owner_of(owner)]

    def entry(self, name: str) -> Entry[S]:
        """Return the entry that ``name``, an alias or ``distribution:name``, stands for.

        Raises:
            AmbiguousNameError: several plug-ins claim the short name.
            UnknownNameError: none does.
        """
        found = self.find(name)
        if not found:
            raise UnknownNameError(self.unknown(name))
        if len(found) > 1:
            full = " or ".join(repr(entry.full_name) for entry in found)
            raise AmbiguousNameError(f"{len(found)} plug-ins have a {self.kind} named {name!r}: say {full}")
        return found[0]

    def get(self, name: str) -> S:
        """Return the spec with this name; see `entry` for errors."""
        return self.entry(name).spec

    def meant(self, name: str, owner: str) -> str:
        """Return the full name of the part that a name in a spec of ``owner`` refers to.

        The part is the owner's own, otherwise segzoo's. If neither exists, the name is returned unchanged.
        """
        full = (f"{one}:{name}" for one in (owner, "segzoo"))
        return next((one for one in full if one in self), name)

    def names(self) -> list[str]:
        """Return every spec's name once, sorted; prefixed where several plug-ins claim it."""
        return sorted(name for name, _ in self.items())

    def items(self) -> Iterator[tuple[str, Entry[S]]]:
        """Yield the shortest unambiguous name and the entry of every spec."""
        for entry in self._entries:
            alone = len(self._by_name[entry.spec.name]) == 1
            yield (entry.spec.name if alone else entry.full_name), entry

    def match(self, pattern: str) -> list[str]:
        """Return the names that match a shell pattern (``unet-*``), or contain ``pattern`` if it has none."""
        return sorted(
            name
            for name, entry in self.items()
            if any(matches(one, pattern) for one in (name, *entry.spec.aliases))
        )

    def unknown(self, name: str, also: str = "") -> str:
        """Return the error message for an unknown name, with close matches.

        Args:
            name: name that the user gave.
            also: other places that were searched, as the end of the sentence.
        """
        close = did_you_mean(name, [*self._by_name, *(entry.full_name for entry in self._entries)])
        many = plural(self.kind)
        verb = "are" if many == self.kind else "is"
        shows = f"`segzoo list {many}` shows all {len(self._entries)}"
        return f"no {self.kind} {verb} named {shown(name)}{close or ';'} {shows}{also}{self._footnote(name)}"

    def __contains__(self, name: object) -> bool:
        """Whether a name, an alias or ``distribution:name`` stands for a spec, or for several."""
        return isinstance(name, str) and bool(self.find(name))

    def __len__(self) -> int:
        """Return how many specs there are."""
        return len(self._entries)


def clashes(registries: Iterable[Registry[Any]]) -> dict[str, list[str]]:
    """Return, by distribution, which of its names others claim too, and what to say instead."""
    told: dict[str, list[str]] = {}
    for registry in registries:
        for name, entries in registry._by_name.items():
            for owner in {entry.owner for entry in entries} - {"segzoo"} if len(entries) > 1 else ():
                others = " and ".join(entry.owner for entry in entries if entry.owner != owner)
                say = " or ".join(repr(f"{entry.owner}:{name}") for entry in entries)
                told.setdefault(owner, []).append(
                    f"the {registry.kind} name {name!r} is {others}'s too: say {say}"
                )
    return {owner: _cut(lines) for owner, lines in told.items()}


def _cut(lines: list[str], most: int = 5) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], f"{more} more of its names are claimed by others too"] if more > 0 else lines


def matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a shell pattern (``unet-*``), or contains ``pattern`` if it has none."""
    return fnmatchcase(name, pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*")


def plural(kind: str) -> str:
    """Return the plural of a kind of spec, as commands and attributes say it."""
    return {"weights": "weights", "loss": "losses"}.get(kind, f"{kind}s")


def _names(spec: Spec) -> Iterable[str]:
    return (spec.name, *spec.aliases)
