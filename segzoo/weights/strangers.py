"""Checkpoints that segzoo does not read, or reads with a plug-in, recognised by marks and named in messages.

If no layout fits a file, the message should at least name what the file is. The table is used only in that
case, so a mark need not exclude supported files; if two entries fit, the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segzoo import zoo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_HDF5 = b"\x89HDF"


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """A kind of checkpoint. All given marks must match; of endings, heads and classes, any one.

    Attributes:
        what: name of the kind, with its article.
        advice: what to do instead; empty if there is nothing.
        plugin: plug-in that reads it.
        tensors: patterns; each must match the name of some tensor.
        matrix: pattern for the name of a tensor with two dimensions.
        keys: keys next to the tensors; dots lead inside one of these.
        asked: beginnings of the classes that its pickle names.
        files: names of files in a folder; for a zip archive, endings of its members' names.
        endings: endings of the file's own name.
        heads: first bytes of the file, each with its position.
    """

    what: str
    advice: str = ""
    plugin: str = ""
    tensors: tuple[str, ...] = ()
    matrix: str = ""
    keys: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    heads: tuple[tuple[int, bytes], ...] = ()

    def sentence(self) -> str:
        """Return what it is and what can be done, as the end of a sentence."""
        if self.plugin:
            return f"is {self.what}: reading it requires {zoo.not_installed(self.plugin)}"
        return f"is {self.what}: not supported{f'. {self.advice}' if self.advice else ''}"


_ENCODER = (
    "Networks of timm are encoders in segzoo, with weights that timm fetches: "
    "segzoo.create('unet/resnet50', num_classes=2, pretrained=True)"
)
_EXPORTED = "Exported models cannot be trained or converted: use the checkpoint that it was made from"
_RUN = f"{_EXPORTED}. `segzoo predict` and segzoo.load run files that end in .onnx or .pt2"
_TORCH = "If transformers or the program itself can do so, save it as model.safetensors"
_FORMATS = "segzoo-formats reads its datasets, so you can train a segzoo model on them"

STRANGERS = (
    # Files that are not torch's.
    Stranger(what="a GGUF file of a language model", heads=((0, b"GGUF"),)),
    Stranger(what="a TensorFlow Lite model", heads=((4, b"TFL3"),), advice=_EXPORTED),
    Stranger(what="an ONNX model", endings=(".onnx", ".ort"), advice=_RUN),
    Stranger(what="a TensorRT engine", endings=(".engine", ".trt"), advice=_EXPORTED),
    Stranger(what="a Core ML model", endings=(".mlmodel",), advice=_EXPORTED),
    Stranger(
        what="an HDF5 file, as Keras, TensorFlow and StarDist write",
        heads=((0, _HDF5),),
        advice="There is no reader for Keras networks",
    ),
    Stranger(what="a Keras model", files=("model.weights.h5",)),
    Stranger(what="a program that torch.export wrote", files=("/archive_format",), advice=_RUN),
    Stranger(
        what="a PaddlePaddle checkpoint, such as PaddleSeg's", endings=(".pdparams", ".pdopt", ".pdmodel")
    ),
    Stranger(what="a Flax checkpoint", endings=(".msgpack",), advice=_TORCH),
    Stranger(what="a TensorFlow graph", endings=(".pb", ".data-00000-of-00001")),
    Stranger(what="a Caffe model", endings=(".caffemodel",)),
    # Folders.
    Stranger(what="a TensorFlow SavedModel", files=("saved_model.pb",)),
    Stranger(what="a diffusers pipeline, which generates images", files=("model_index.json",)),
    Stranger(what="a PEFT adapter, without the network that it adapts", files=("adapter_config.json",)),
    Stranger(
        what="an nnU-Net model folder",
        files=("plans.json", "dataset.json"),
        advice=f"{_FORMATS}: `--data FOLDER` with nnU-Net's raw data",
    ),
    Stranger(what="a MONAI bundle", files=("configs/metadata.json",)),
    Stranger(what="a TensorFlow or Flax checkpoint", files=("tf_model.h5",), advice=_TORCH),
    Stranger(what="a TensorFlow or Flax checkpoint", files=("flax_model.msgpack",), advice=_TORCH),
    Stranger(what="a part of diffusers, which generates images", keys=("config._diffusers_version",)),
    Stranger(what="a timm network, which outputs no masks", keys=("config.pretrained_cfg",), advice=_ENCODER),
    # By what is saved next to the tensors.
    Stranger(
        what="an nnU-Net checkpoint",
        keys=("network_weights", "trainer_name"),
        advice=f"{_FORMATS}: `--data FOLDER` with nnU-Net's raw data",
    ),
    Stranger(
        what="a checkpoint of nnU-Net's first version", keys=("plot_stuff", "best_stuff"), advice=_FORMATS
    ),
    Stranger(what="a YOLO model of ultralytics", asked=("ultralytics.",), advice=_FORMATS),
    Stranger(what="a YOLO model", asked=("models.yolo.", "models.common."), advice=_FORMATS),
    Stranger(what="an exported learner of fastai", asked=("fastai.",)),
    Stranger(what="the state of an optimizer, without a network", keys=("state", "param_groups")),
    Stranger(what="training arguments, without a network", asked=("transformers.training_args",)),
    # By the tensors.
    Stranger(
        what="a Mask2Former checkpoint from the original repository",
        tensors=(r"^sem_seg_head\.predictor\.", r"^sem_seg_head\.pixel_decoder\."),
        advice="transformers has its networks: use hf-hub:facebook/mask2former-...",
    ),
    Stranger(
        what="a Segment Anything checkpoint",
        tensors=(r"(^|\.)(image|vision)_encoder\.", r"(^|\.)(sam_)?mask_decoder\."),
        advice="It needs points or boxes in addition to an image. Its encoder is available in timm: "
        "'samvit_base_patch16' and others",
    ),
    Stranger(what="a detectron2 checkpoint", tensors=(r"^backbone\.bottom_up\.",)),
    Stranger(what="a detectron2 checkpoint", tensors=(r"^(proposal_generator|roi_heads)\.",)),
    Stranger(
        what="an OpenMMLab checkpoint for detection or points, which outputs no class masks",
        tensors=(r"^(bbox_head|roi_head|rpn_head|pts_bbox_head|keypoint_head)\.",),
    ),
    Stranger(  # transformers' EoMT has a mask_head too, but no neck
        what="an OpenMMLab checkpoint for detection, which outputs no class masks",
        tensors=(r"^mask_head\.", r"^neck\."),
    ),
    Stranger(
        what="an OpenMMLab checkpoint for point clouds",
        tensors=(r"^(voxel_encoder|middle_encoder|pts_\w+)\.|^backbone\.SA_modules\.",),
    ),
    Stranger(what="a Cellpose model", tensors=(r"^diameter_(mean|labels)$",), advice=_FORMATS),
    Stranger(what="a MONAI U-Net", tensors=(r"^(model\.)?\d+\.submodule\.|^1\.submodule\.",)),
    Stranger(what="a MONAI network", tensors=(r"^(swinViT\.|convInit\.conv\.|conv_0\.conv_0\.conv\.)",)),
    Stranger(what="a MONAI network", tensors=(r"^input_block\.conv1\.conv\.", r"^upsamples\.0\.")),
    Stranger(what="a diffusers network", tensors=(r"^time_embedding\.linear_1\.",)),
    Stranger(what="a PEFT adapter, without the network that it adapts", tensors=(r"\.lora_A\.",)),
    Stranger(what="a CLIP model", tensors=(r"^visual\.", r"^(text|transformer)\."), advice=_ENCODER),
    Stranger(
        what="an image classifier, such as timm's and torchvision's, which outputs no masks",
        matrix=r"^(fc|head|head\.fc|head\.l|classifier|classifier\.\d|heads\.head)\.weight$",
        advice=_ENCODER,
    ),
    # Kinds that plug-ins read.
    Stranger(what="a segmentation_models.pytorch folder", plugin="segzoo-smp", keys=("config._model_class",)),
    Stranger(what="a transformers folder", plugin="segzoo-transformers", keys=("config.model_type",)),
    Stranger(what="a transformers folder", plugin="segzoo-transformers", keys=("config.architectures",)),
    Stranger(
        what="an MMSegmentation checkpoint",
        plugin="segzoo-mmseg",
        tensors=(r"^decode_head(\.\d)?\.(conv_seg|cls_seg)\.|^decode_head\.", r"^backbone\."),
    ),
    Stranger(
        what="a segmentation_models.pytorch network",
        plugin="segzoo-smp",
        tensors=(r"^encoder\.", r"^decoder\.", r"^segmentation_head\.0\."),
    ),
    Stranger(
        what="a torchvision segmentation network",
        plugin="segzoo-torchvision",
        tensors=(r"^backbone\.", r"^classifier\."),
    ),
    Stranger(
        what="a pickle of NumPy arrays, as detectron2 and PaddlePaddle write, not of torch tensors",
        asked=("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    ),
)


def find(
    *,
    tensors: Mapping[str, Tensor] | None = None,
    beside: Mapping[str, Any] | None = None,
    asked: Iterable[str] = (),
    files: Iterable[str] = (),
    name: str = "",
    head: bytes = b"",
) -> Stranger | None:
    """Return the kind of a checkpoint; ``None`` if no mark matches, or if its reader is installed.

    Args:
        tensors: by name.
        beside: content next to the tensors; for left-out content, only the names are needed.
        asked: classes that a pickle names.
        files: names of a folder's files, or of an archive's members.
        name: name of the file.
        head: first bytes of the file.
    """
    asked, files = tuple(asked), tuple(files)
    for stranger in STRANGERS:
        marks = (
            _all(stranger.tensors, lambda pattern: any(re.search(pattern, one) for one in tensors or ())),
            _all(stranger.keys, lambda key: lies_beside(beside or {}, key)),
            _all(stranger.files, lambda end: any(one.endswith(end) for one in files)),
            _any(stranger.asked, lambda start: any(one.startswith(start) for one in asked)),
            _any(stranger.endings, name.lower().endswith),
            _any(stranger.heads, lambda mark: head[mark[0] :].startswith(mark[1])),
            not stranger.matrix
            or any(re.search(stranger.matrix, one) and t.ndim == 2 for one, t in (tensors or {}).items()),
        )
        if all(marks) and (not stranger.plugin or zoo.not_installed(stranger.plugin)):
            return stranger
    return None


def _all(marks: tuple[Any, ...], there: Any) -> bool:
    return all(there(mark) for mark in marks)


def _any(marks: tuple[Any, ...], there: Any) -> bool:
    return not marks or any(there(mark) for mark in marks)


def lies_beside(extras: Any, said: str) -> bool:
    """Return whether dotted keys lead to an entry next to the tensors, with the given value if any.

    Args:
        extras: nested dictionaries.
        said: dotted keys such as ``"config.model_type"`` or ``"config._model_class=Unet"``.
    """
    keys, equals, value = said.partition("=")
    for key in keys.split("."):
        if not isinstance(extras, Mapping) or key not in extras:
            return False
        extras = extras[key]
    return not equals or extras == value
