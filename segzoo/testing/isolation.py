"""A zoo that holds what a test gives it, and looks for nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.discovery import Candidate, refusing
from segzoo.errors import PluginError
from segzoo.hooks import hookimpl
from segzoo.plugins import SPEC_TYPES, Contribution, load, segzoo_itself
from segzoo.registry import plural
from segzoo.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def isolated_zoo(*plugins: object, builtin: bool = True, owner: str = "") -> Iterator[None]:
    """Fill the zoo with only segzoo's own parts and the given plug-ins; restore the zoo afterwards.

    Installed plug-ins are not used: a search for plug-ins in entry points or folders raises a `PluginError`.
    Processes that a test starts have a zoo of their own.

    Args:
        *plugins: modules or objects with hooks, as entry points name them; or specs, which become one
            plug-in.
        builtin: whether to include segzoo's own parts.
        owner: distribution of the plug-ins. If empty, it is the module's name with ``-`` instead of ``_``, or
            ``isolated`` for anything else.

    Raises:
        PluginError: a plug-in breaks a rule of hooks, or the environment blocks it.

    Example:
        >>> with isolated_zoo(LossSpec(name="mine", factory="mine:loss")):
        ...     assert zoo.losses.entry("mine").owner == "isolated"
    """
    specs = [plugin for plugin in plugins if isinstance(plugin, Spec)]
    objects = [plugin for plugin in plugins if not isinstance(plugin, Spec)]
    candidates = [segzoo_itself()] if builtin else []
    candidates += [_candidate(plugin, owner) for plugin in objects]
    if specs:
        candidates.append(_candidate(_plugin_of(specs), owner or "isolated"))
    with refusing("the zoo is being isolated: a plug-in may use it when a part is built, not before"):
        contributions = [_loaded(candidate) for candidate in candidates]
    with zoo.holding(contributions):
        yield


def _candidate(plugin: object, owner: str) -> Candidate:
    name = plugin.__name__.partition(".")[0] if isinstance(plugin, ModuleType) else "isolated"
    distribution = owner or name.replace("_", "-")
    return Candidate(name, distribution, "0", lambda: plugin)


def _loaded(candidate: Candidate) -> Contribution:
    contribution = load(candidate)
    record = contribution.record
    if record.status != "ok":
        raise PluginError(f"plug-in {record.distribution!r} is {record.status}: {record.error}")
    return contribution


def _plugin_of(specs: list[Spec]) -> object:
    """Return an object with a hook for every kind of the specs."""

    class Plugin:
        pass

    for spec_type in SPEC_TYPES:
        chosen = [spec for spec in specs if isinstance(spec, spec_type)]
        if chosen:
            setattr(Plugin, f"segzoo_{plural(spec_type.kind)}", staticmethod(_hook(chosen)))
    return Plugin()


def _hook(specs: list[Spec]) -> Callable[[], list[Spec]]:
    @hookimpl
    def hook() -> list[Spec]:
        return specs

    return hook
