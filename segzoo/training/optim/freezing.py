"""Freezing: the encoder is not trained in the first epochs, while the rest learns to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names that networks use for the part from images to features.
_NAMES = ("encoder", "backbone")


class Freezing:
    """Freezes a model's encoder until an epoch is over.

    Frozen means that its parameters have no gradients, and that it computes as in evaluation: batch norms
    use their statistics without updating them, and dropout is off.

    Args:
        model: the model, or a wrapper of it.
        epochs: number of epochs to freeze; 0 freezes nothing.
        toggle: whether parameters are marked as needing no gradient, which saves their share of the
            backward pass. Data parallelism must know all parameters from the start: pass ``False`` there,
            and call `drop_gradients` after each backward pass.

    Raises:
        OptionError: the model has no encoder; the message lists its parts.
    """

    def __init__(self, model: nn.Module, epochs: int, *, toggle: bool = True) -> None:
        self.epochs, self.frozen = epochs, False
        self._toggle = toggle
        self._encoder = encoder_of(model) if epochs > 0 else None
        if epochs > 0 and self._encoder is None:
            raise OptionError(f"freeze={epochs}: {without_encoder(model)}; leave it at 0")
        # Parameters that were already frozen stay frozen.
        self._parameters: Sequence[nn.Parameter] = (
            [one for one in self._encoder.parameters() if one.requires_grad] if self._encoder else []
        )

    def begin(self, epoch: int) -> str:
        """Freeze or unfreeze for an epoch, counted from 1; call it after every ``model.train()``.

        Returns:
            A message about a change; empty if nothing changed.
        """
        frozen = epoch <= self.epochs
        changed, self.frozen = frozen != self.frozen, frozen
        if self._encoder is not None and frozen:
            self._encoder.eval()
        if not changed:
            return ""
        if self._toggle:
            for parameter in self._parameters:
                parameter.requires_grad_(not frozen)
        if frozen:
            self.drop_gradients()
            return f"the encoder is frozen up to epoch {self.epochs}"
        if self._encoder is not None:
            self._encoder.train()
        return f"the encoder is trained from epoch {epoch} on"

    def drop_gradients(self) -> None:
        """Delete the gradients of frozen parameters, so that no optimizer changes them."""
        if self.frozen:
            for parameter in self._parameters:
                parameter.grad = None


def encoder_of(model: nn.Module) -> nn.Module | None:
    """Return the part of a model from images to features, ``None`` if it has none.

    It is called ``encoder`` or ``backbone``, in the model or in a wrapper's inner model, as used by data
    parallelism and compilers: a module whose only child holds everything. For a network of another library,
    the property ``backbone`` of its `segzoo.Adapted` names it.
    """
    return _part(_unwrapped(model))


def without_encoder(model: nn.Module) -> str:
    """Return a sentence that the model has no encoder, with the parts that it has."""
    inner = _unwrapped(model)
    parts = ", ".join(name for name, _ in inner.named_children()) or "no named parts"
    return f"{type(inner).__name__} has no part called {' or '.join(_NAMES)} (its parts: {parts})"


def _part(model: nn.Module) -> nn.Module | None:
    found = (getattr(model, name, None) for name in _NAMES)
    return next((part for part in found if isinstance(part, nn.Module)), None)


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        children = dict(model.named_children())
        own = [*model.parameters(recurse=False), *model.buffers(recurse=False)]
        if len(children) != 1 or own or _part(model) is not None:
            return model
        (model,) = children.values()
