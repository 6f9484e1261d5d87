"""The OpenVINO backend, with NNCF for int8 quantisation; both are by Intel, Apache-2.0 licence.

Quantisation: Jacob et al., 2018, arXiv:1712.05877; weights per channel, activations per map, with ranges
measured on the calibration images.
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

#: OpenVINO's names for the types that it computes in.
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


#: Number of calibration pixels that are enough for a comparison.
ENOUGH = 2_000_000
#: How often a size is seen before an int8 program is made for it, unless it is the first size.
PATIENCE = 3
#: Height and width of images for int8 are multiples of this.
MULTIPLE = 32


def make_openvino(
    network: nn.Module,
    *,
    dtype: torch.dtype,
    calibration: Sequence[Tensor],
    on_message: Callable[[str], None],
) -> SizedEngine:
    """Make an engine; with ``calibration`` it computes in int8.

    Raises:
        MissingExtraError: OpenVINO is not installed, or NNCF if there are calibration images.
    """
    with unheard():
        openvino = import_openvino("int8" if calibration else "openvino")
        nncf = import_nncf() if calibration else None

    def make(plain: nn.Module, images: Tensor) -> Program:
        if nncf is not None:
            size, count = "x".join(map(str, images.shape)), len(calibration)
            on_message(
                f"preparing int8 for images of {size} with {count} calibration images: this takes a while"
            )
        with unheard():
            model = openvino.convert_model(torch.export.export(plain, (images,)))
            model.reshape(list(images.shape))
            if nncf is not None:
                shown = nncf.Dataset([_fitted(one, images) for one in calibration])
                model = nncf.quantize(model, shown, subset_size=len(calibration))
        return OpenVinoProgram(model, hint=_HINTS[dtype])

    # Quantisation takes up to a minute per size; and if a network pads its maps because a side is odd,
    # OpenVINO falls back to float32 and takes twice the time.
    low = fast_dtype(torch.device("cpu"))[0]
    apart = {"meanwhile": low, "patience": PATIENCE, "multiple": MULTIPLE} if calibration else {}
    kind = "int8" if calibration else str(dtype).removeprefix("torch.")

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
    """Return the share of pixels whose class differs from float32, and the number of pixels compared.

    Images of the most common size in ``calibration`` are compared, until there are enough pixels.

    Args:
        engine: an int8 engine.
        calibration: preprocessed images.
        separator: whether the last logit is the separator's, which is not a class.
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
    """Return calibration images in the number and size of ``like``, mirrored or cropped to fit."""
    which = torch.arange(like.shape[0]) % images.shape[0]
    return mirror(images.cpu()[which], like.shape[-2], like.shape[-1], 0, 0).numpy()


def import_nncf() -> Any:
    """Return NNCF, which quantises networks, or raise `MissingExtraError`."""
    loggers = logging.getLoggerClass()
    # NNCF imports a module that warns about CUDA on machines without it, and it changes loggers.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError as error:
        raise missing_extra("int8 needs NNCF", "int8") from error
    finally:
        logging.setLoggerClass(loggers)
    nncf.set_log_level(logging.ERROR)
    return nncf
