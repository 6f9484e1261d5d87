"""What every check needs: a promise, and those that all networks make."""

from __future__ import annotations

import copy
import pickle
from contextlib import contextmanager
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from segzoo import zoo
from segzoo.errors import MissingExtraError, PluginError
from segzoo.registry import plural
from segzoo.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    Promises = dict[str, Callable[[], None]]

Part = TypeVar("Part", bound=Spec)

#: How each kind of part is checked, after the module of its kind was imported.
CHECKED: dict[str, type[Checked[Any]]] = {}


class Checked(Generic[Part]):
    """A part under check; every public method of a subclass checks the promise of its name.

    Args:
        spec: spec of the part.
        **options: options of its factory.
    """

    #: Promises that this part does not make.
    absent: tuple[str, ...] = ()

    def __init_subclass__(cls, of: str) -> None:
        CHECKED[of] = cls

    def __init__(self, spec: Part, **options: Any) -> None:
        self.spec, self.options, self.what = spec, options, f"{spec.kind} {spec.name!r}"

    def promises(self) -> Promises:
        """Return the checks by promise, in the order of the methods."""
        methods = [name for name, value in vars(type(self)).items() if isfunction(value)]
        hidden = {*vars(Checked), *self.absent}
        named = [name for name in methods if name[0] != "_" and name not in hidden]
        return {name.replace("_", "-"): getattr(self, name) for name in named}

    def keep(self) -> None:
        """Check every promise; see `keep`."""
        keep(self.what, self.promises())


def described(part: str | Part, kind: type[Part]) -> Part:
    """Return the spec of a part that is given by its name or its spec."""
    spec: Any = part if isinstance(part, kind) else zoo.registry(plural(kind.kind)).get(str(part))
    return spec


def promise(kept: bool, what: str) -> None:
    """Raise `PluginError` that says ``what`` unless the promise is kept."""
    if not kept:
        raise PluginError(what)


def keep(what: str, promises: Mapping[str, Callable[[], None]]) -> None:
    """Check one promise after the other; what else a part raises becomes the promise that it breaks.

    Raises:
        PluginError: it breaks a promise; the message names it.
        MissingExtraError: a required optional dependency is not installed; this is not a failure.
    """
    for name, check in promises.items():
        with checking(what, name):
            check()


@contextmanager
def checking(what: str, name: str) -> Iterator[None]:
    """Turn what a part raises into a `PluginError` that names the part and the promise."""
    try:
        yield
    except MissingExtraError:
        raise
    except PluginError as error:
        if str(error).startswith(what.partition(" '")[0]):
            raise
        raise PluginError(f"{what}, promise {name!r}: {error}") from error
    except Exception as error:
        told = " ".join(str(error).split())
        raise PluginError(f"{what}, promise {name!r}: it raised {type(error).__name__}: {told}") from error


def promise_determinism(module: nn.Module, call: Callable[[], Sequence[Tensor]], what: str) -> None:
    """Check that in evaluation mode a module gives the same result twice."""
    import torch

    module.eval()
    with torch.no_grad():
        once, twice = call(), call()
    same = all(torch.equal(first, second) for first, second in zip(once, twice, strict=True))
    promise(
        same,
        f"{what}: in evaluation mode two calls with the same input must give the same output; "
        "let what draws random numbers ask self.training",
    )


def promise_gradients(module: nn.Module, call: Callable[[], Sequence[Tensor]], what: str) -> None:
    """Check that a loss on what a module returns in training mode reaches each of its parameters."""
    module.train()
    module.zero_grad()
    total: Any = sum(one.square().mean() for one in call())
    total.backward()
    asked = [(name, one) for name, one in module.named_parameters() if one.requires_grad]
    idle = [name for name, parameter in asked if parameter.grad is None]
    wild = [name for name, one in asked if one.grad is not None and not one.grad.isfinite().all()]
    module.zero_grad()
    promise(
        not idle,
        f"{what}: no gradient reaches {len(idle)} of its parameters: {', '.join(idle[:5])}; use them in "
        "forward, or do not make them",
    )
    promise(not wild, f"{what}: the gradient of {', '.join(wild[:5])} is not finite on values in [0, 1)")


def promise_copies(module: nn.Module, call: Callable[[nn.Module], Sequence[Tensor]], what: str) -> None:
    """Check that a copy and a pickle of a module compute what it computes."""
    import torch

    module.eval()
    with torch.no_grad():
        wanted = call(module)
        for how, other in (
            ("copy.deepcopy", copy.deepcopy(module)),
            ("pickle", pickle.loads(pickle.dumps(module))),
        ):
            same = all(map(torch.equal, call(other.eval()), wanted))
            promise(same, f"{what}: {how} gives other results; keep all state in parameters and buffers")


def promise_one_like_many(first: Tensor, alone: Tensor, what: str) -> None:
    """Check that the first of a batch comes out as it does alone, to a thousandth of the largest value."""
    worst = float((first - alone).abs().max()) if first.shape == alone.shape and first.numel() else 0.0
    promise(
        first.shape == alone.shape and worst <= 1e-3 * max(float(first.abs().max()), 1e-6),
        f"{what}: in evaluation mode an image alone must give what it gives in a batch of two; found shapes "
        f"{tuple(alone.shape)} and {tuple(first.shape)}, values up to {worst:.2g} apart",
    )


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Return the same values in [0, 1) on every call, without touching the caller's seed."""
    import torch

    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
