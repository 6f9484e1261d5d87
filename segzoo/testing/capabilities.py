"""What a model can do, measured: ``python -m segzoo.testing.capabilities NAME ...``.

Every network is expected to do all of `segzoo.specs.CAPABILITIES`; what it cannot do its spec says
(``limits``). Here each is tried, so that a limit that is missing, or no longer there, is found.
"""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any

import torch

from segzoo import zoo
from segzoo.creation import create
from segzoo.errors import MissingExtraError, OptionError, PluginError
from segzoo.prediction.engines import make_engine
from segzoo.prediction.engines.probing import deviation
from segzoo.printing import echo
from segzoo.specs import CAPABILITIES
from segzoo.testing.engines import TOLERANCES
from segzoo.testing.export import check_export, check_onnx
from segzoo.testing.models import check_round_trips
from segzoo.testing.promises import promise, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

#: Height and width that all networks like, and such as few do.
_USUAL, _ODD = (64, 64), (47, 71)


def measure(
    name: str, *, only: Iterable[str] = CAPABILITIES, backend: str = "inductor", **options: Any
) -> dict[str, str]:
    """Try what a model can do.

    Args:
        name: name of the model for `segzoo.create`.
        only: capabilities to try.
        backend: backend of `torch.compile`.
        **options: options of `segzoo.create`; narrow networks are tried faster.

    Returns:
        For each capability ``""``, or the first line of what went wrong.
    """
    found = {}
    for capability in only:
        torch.manual_seed(0)
        torch.compiler.reset()
        try:
            _TRIALS[capability](name, options, backend)
        except MissingExtraError:
            raise
        except Exception as error:  # whatever a network does
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            found[capability] = text[:300]
        else:
            found[capability] = ""
    return found


def check_capabilities(name: str, *, only: Iterable[str] = CAPABILITIES, **options: Any) -> dict[str, str]:
    """Check that a model can do everything except the limits in its spec, and that these limits are real.

    Args:
        name: name of the model for `segzoo.create`.
        only: capabilities to try.
        **options: passed to `measure`.

    Returns:
        What `measure` found.

    Raises:
        PluginError: a limit is missing from its spec, or does not exist; the message names it.
    """
    limits = zoo.limits_of(zoo.find_model(name))
    found = measure(name, only=only, **options)
    for capability, trouble in found.items():
        promise(
            not trouble or capability in limits,
            f"model {name!r} fails at {CAPABILITIES[capability]} ({trouble}): mend it, or say why in its "
            f"spec's limits[{capability!r}], and what to use instead",
        )
        promise(
            bool(trouble) or capability not in limits,
            f"model {name!r} can do {CAPABILITIES[capability]}: take {capability!r} out of its spec's limits",
        )
    return found


def _model(name: str, options: dict[str, Any], channels: int = 3) -> nn.Module:
    return create(name, num_classes=3, in_channels=channels, weights=None, **options).eval()


def _logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    logits = model(images)
    shape = (images.shape[0], 3, *images.shape[2:])
    promise(
        tuple(logits.shape) == shape and bool(logits.isfinite().all()),
        f"images {tuple(images.shape)} give logits {tuple(logits.shape)}, or such as are not finite",
    )
    return logits


@torch.no_grad()
def _odd_sizes(name: str, options: dict[str, Any], backend: str) -> None:
    model = _model(name, options)
    for size in (_ODD, (1, 19), (65, 33)):
        _logits(model, seeded(2, 3, *size))


@torch.no_grad()
def _one_pixel(name: str, options: dict[str, Any], backend: str) -> None:
    _logits(_model(name, options), seeded(1, 3, 1, 1))


@torch.no_grad()
def _bands(name: str, options: dict[str, Any], backend: str) -> None:
    for channels in (1, 5):
        _logits(_model(name, options, channels), seeded(1, channels, *_USUAL))


def _one_image(name: str, options: dict[str, Any], backend: str) -> None:
    model = _model(name, options).train()
    sides: Any = getattr(model, "side_logits", lambda images: [model(images)])
    sum(one.square().mean() for one in sides(seeded(1, 3, *_ODD))).backward()  # pyright: ignore
    promise(any(p.grad is not None for p in model.parameters()), "no parameter gets a gradient")


def _export(name: str, options: dict[str, Any], backend: str) -> None:
    check_export(_model(name, options))


@torch.no_grad()
def _compile(name: str, options: dict[str, Any], backend: str) -> None:
    model = _model(name, options)
    compiled: Any = torch.compile(model, backend=backend)
    for size in (_USUAL, _ODD):
        images = seeded(1, 3, *size)
        off = deviation(compiled(images), _logits(model, images))
        promise(off <= 1e-4, f"compiled, its logits differ by {off:.1e}")


def _onnx(name: str, options: dict[str, Any], backend: str) -> None:
    check_onnx(_model(name, options))


@torch.no_grad()
def _engines(name: str, options: dict[str, Any], backend: str) -> None:
    for precision in ("exact", "fast"):
        _agrees(_model(name, options), precision)


def _agrees(model: nn.Module, precision: Any) -> None:
    told: list[str] = []
    run = make_engine(model, backend="torch", precision=precision, on_message=told.append)
    for size in (_USUAL, _ODD):
        images = seeded(1, 3, *size)
        off = deviation(run(images).cpu(), _logits(model, images))
        promise(off <= TOLERANCES[precision], f"{precision}: logits differ by {off:.1e} at {size}")
    promise("instead" not in " ".join(told), f"{precision}: {' '.join(told)}")


def _pickle(name: str, options: dict[str, Any], backend: str) -> None:
    model = _model(name, options)
    check_round_trips(model, seeded(1, 3, *_USUAL))
    pickle.loads(pickle.dumps(model))


_TRIALS: dict[str, Callable[[str, dict[str, Any], str], None]] = {
    "odd-sizes": _odd_sizes,
    "one-pixel": _one_pixel,
    "bands": _bands,
    "one-image": _one_image,
    "export": _export,
    "compile": _compile,
    "onnx": _onnx,
    "engines": _engines,
    "pickle": _pickle,
}


def main(arguments: list[str]) -> int:
    """Print a row for each model; return 1 where one does not do what its spec says.

    Args:
        arguments: names of models, all that are registered where there are none; ``--backend=aot_eager``
            compiles without generating code, which takes less time.
    """
    wrong = 0
    backend = next((one.partition("=")[2] for one in arguments if one.startswith("--backend=")), "inductor")
    names = [one for one in arguments if not one.startswith("--")]
    for name in names or [entry.full_name for _, entry in zoo.models.items()]:
        try:
            found = measure(name, backend=backend)
        except (OptionError, PluginError) as error:
            echo(f"{name}: {error}")
            wrong = 1
            continue
        limits = zoo.limits_of(zoo.find_model(name))
        cells = " ".join(f"{cap}={'no' if trouble else 'yes'}" for cap, trouble in found.items())
        echo(f"{name}: {cells}")
        for capability, trouble in found.items():
            if bool(trouble) != (capability in limits):
                wrong = 1
                echo(f"  {capability}: {trouble or 'works, though the spec has a limit'}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
