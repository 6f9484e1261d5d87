"""OpenVINO as the backend, and NNCF, which makes 8-bit integers of a network; both by Intel, Apache-2.0.

Quantisation: Jacob et al., 2018, arXiv:1712.05877; weights per channel, activations per map, by what the
calibration images show.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from segzoo.blocks.sizes import mirror
from segzoo.errors import missing_extra
from segzoo.machine import fast_dtype
from segzoo.prediction.engines.onnxruntime import to_onnx
from segzoo.prediction.engines.sized import SizedEngine
from segzoo.runtimes.openvino import OpenVinoProgram, import_openvino, unheard, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.prediction.engines.sized import Program

#: What OpenVINO calls the types that it computes in.
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


#: Pixels of calibration images after which no further one is compared.
ENOUGH = 2_000_000
#: How often a size comes before it is made 8-bit integers of, if it is not the first.
PATIENCE = 3
#: Of the height and width of images that 8-bit integers are made for.
MULTIPLE = 32


def make_openvino(
    network: nn.Module,
    *,
    dtype: torch.dtype,
    calibration: Sequence[Tensor],
    on_message: Callable[[str], None],
) -> SizedEngine:
    """Make an engine; with ``calibration`` it computes in 8-bit integers.

    Raises:
        MissingExtraError: OpenVINO, or NNCF where there are calibration images, is not installed.
    """
    with unheard():
        openvino = import_openvino("int8" if calibration else "openvino")
        nncf = import_nncf() if calibration else None

    def make(plain: nn.Module, images: Tensor) -> Program:
        if nncf is not None:
            size, count = "x".join(map(str, images.shape)), len(calibration)
            on_message(
                f"8-bit integers are made for images of {size}, measured on {count}: this takes a while"
            )
        with unheard():
            model = openvino.convert_model(torch.export.export(plain, (images,)))
            model.reshape(list(images.shape))
            if nncf is not None:
                shown = nncf.Dataset([_fitted(one, images) for one in calibration])
                model = nncf.quantize(model, shown, subset_size=len(calibration))
        return OpenVinoProgram(model, hint=_HINTS[dtype])

    # One size takes up to a minute to be made 8-bit integers of; and where a network pads its maps, since
    # a side is odd, OpenVINO goes back to float32 and takes twice the time.
    low = fast_dtype(torch.device("cpu"))[0]
    apart = {"meanwhile": low, "patience": PATIENCE, "multiple": MULTIPLE} if calibration else {}
    kind = "8-bit integers" if calibration else str(dtype).removeprefix("torch.")

    def make_for_all(plain: nn.Module) -> Program:
        with unheard():
            model = openvino.Core().read_model(to_onnx(plain))
        return OpenVinoProgram(model, hint=_HINTS[dtype])

    return SizedEngine(
        network,
        make,
        make_for_all=None if calibration else make_for_all,
        tolerance=None if calibration else 1e-4 if dtype is torch.float32 else 0.2,
        description=f"OpenVINO {version_of(openvino)} on cpu, {kind}",
        on_message=on_message,
        **apart,
    )


def disagreement(
    engine: SizedEngine, calibration: Sequence[Tensor], *, separator: bool = False
) -> tuple[float, int]:
    """Return the share of pixels whose class is not that of float32, and of how many.

    Images of the commonest size in ``calibration`` are compared, until there are enough pixels.

    Args:
        engine: computes in 8-bit integers.
        calibration: preprocessed images.
        separator: whether the last logit is the separator's, which decides no class.
    """
    different = total = 0
    commonest = Counter(images.shape for images in calibration).most_common(1)[0][0]
    for images in calibration:
        if total >= ENOUGH:
            break
        if images.shape != commonest:
            continue
        logits = engine(images), engine.exact(images)
        found, expected = (_classes(one[:, :-1] if separator else one) for one in logits)
        different += int((found != expected).sum())
        total += expected.numel()
    return different / max(total, 1), total


def _classes(logits: Tensor) -> Tensor:
    return logits > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)


def _fitted(images: Tensor, like: Tensor) -> NDArray[np.float32]:
    """Return calibration images as many and as large as ``like``, mirrored or cut."""
    which = torch.arange(like.shape[0]) % images.shape[0]
    return mirror(images.cpu()[which], like.shape[-2], like.shape[-1], 0, 0).numpy()


def import_nncf() -> Any:
    """Return the library that makes 8-bit integers, or raise `MissingExtraError`."""
    loggers = logging.getLoggerClass()
    # NNCF imports what warns of CUDA where there is none, and changes what loggers are.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError as error:
        raise missing_extra("8-bit integers need NNCF", "int8") from error
    finally:
        logging.setLoggerClass(loggers)
    nncf.set_log_level(logging.ERROR)
    return nncf
