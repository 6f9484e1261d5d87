"""Checkpoints of programs that nothing here reads, and of those that a plug-in reads: named by their marks.

A file whose layout nobody knows is best called what it is. The table is asked only where nothing fits, so a
mark need not exclude what is read; of two that fit, the first counts.
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
    """A kind of checkpoint. All marks that are given must be there; of endings, heads and classes one.

    Attributes:
        what: it is, with its article.
        advice: what to do instead; empty where there is nothing.
        plugin: that reads it.
        tensors: patterns, each of which some tensor's name has.
        matrix: a pattern of the name of a tensor of two dimensions.
        keys: keys beside the tensors; with dots, inside one of these.
        asked: beginnings of the classes that its pickle names.
        files: names of files of a folder; of a zip archive the ends of its members' names.
        endings: endings of the file's own name.
        heads: with which the file begins, and where.
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
            return f"is {self.what}: to read it takes {zoo.not_installed(self.plugin)}"
        return f"is {self.what}: not read{f'. {self.advice}' if self.advice else ''}"


_ENCODER = (
    "Networks of timm are encoders here, with weights that timm finds: "
    "segzoo.create('unet/resnet50', num_classes=2, pretrained=True)"
)
_EXPORTED = "What is exported cannot be trained or converted: take the checkpoint that it was made from"
_RUN = f"{_EXPORTED}. `segzoo predict` and segzoo.load run files that end in .onnx or .pt2"
_TORCH = "Where transformers or the program itself can, let it write model.safetensors"
_FORMATS = "segzoo-formats reads its data sets, so that a model of segzoo can be trained on them"

STRANGERS = (
    # What is no file of torch.
    Stranger(what="a GGUF file, of language models", heads=((0, b"GGUF"),)),
    Stranger(what="a model of TensorFlow Lite", heads=((4, b"TFL3"),), advice=_EXPORTED),
    Stranger(what="a model in ONNX", endings=(".onnx", ".ort"), advice=_RUN),
    Stranger(what="an engine of TensorRT", endings=(".engine", ".trt"), advice=_EXPORTED),
    Stranger(what="a model of CoreML", endings=(".mlmodel",), advice=_EXPORTED),
    Stranger(
        what="an HDF5 file, as Keras, TensorFlow, and with them StarDist, write",
        heads=((0, _HDF5),),
        advice="There is no reader for Keras's networks",
    ),
    Stranger(what="a model of Keras", files=("model.weights.h5",)),
    Stranger(what="a program that torch.export wrote", files=("/archive_format",), advice=_RUN),
    Stranger(
        what="a PaddlePaddle checkpoint, such as PaddleSeg's", endings=(".pdparams", ".pdopt", ".pdmodel")
    ),
    Stranger(what="a checkpoint of Flax", endings=(".msgpack",), advice=_TORCH),
    Stranger(what="a TensorFlow graph", endings=(".pb", ".data-00000-of-00001")),
    Stranger(what="a model of Caffe", endings=(".caffemodel",)),
    # Folders.
    Stranger(what="a SavedModel of TensorFlow", files=("saved_model.pb",)),
    Stranger(what="a pipeline of diffusers, which makes images", files=("model_index.json",)),
    Stranger(what="an adapter of PEFT, without the network that it adapts", files=("adapter_config.json",)),
    Stranger(
        what="an nnU-Net model's folder",
        files=("plans.json", "dataset.json"),
        advice=f"{_FORMATS}: `--data FOLDER` with nnU-Net's raw data",
    ),
    Stranger(what="a MONAI bundle", files=("configs/metadata.json",)),
    Stranger(what="a checkpoint of TensorFlow or Flax", files=("tf_model.h5",), advice=_TORCH),
    Stranger(what="a checkpoint of TensorFlow or Flax", files=("flax_model.msgpack",), advice=_TORCH),
    Stranger(what="a part of diffusers, which makes images", keys=("config._diffusers_version",)),
    Stranger(
        what="a network of timm, which makes no masks", keys=("config.pretrained_cfg",), advice=_ENCODER
    ),
    # By what lies beside the tensors.
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
    Stranger(what="the arguments of a training, without a network", asked=("transformers.training_args",)),
    # By the tensors.
    Stranger(
        what="a Mask2Former of its own repository",
        tensors=(r"^sem_seg_head\.predictor\.", r"^sem_seg_head\.pixel_decoder\."),
        advice="transformers has its networks: hf-hub:facebook/mask2former-... are such",
    ),
    Stranger(
        what="a checkpoint of Segment Anything",
        tensors=(r"(^|\.)(image|vision)_encoder\.", r"(^|\.)(sam_)?mask_decoder\."),
        advice="It needs points or boxes beside an image. Its encoder is one of timm's: "
        "'samvit_base_patch16' and others",
    ),
    Stranger(what="a checkpoint of detectron2", tensors=(r"^backbone\.bottom_up\.",)),
    Stranger(what="a checkpoint of detectron2", tensors=(r"^(proposal_generator|roi_heads)\.",)),
    Stranger(
        what="a checkpoint of OpenMMLab for detection or points, which makes no masks of classes",
        tensors=(r"^(bbox_head|roi_head|rpn_head|pts_bbox_head|keypoint_head)\.",),
    ),
    Stranger(  # transformers' EoMT has a mask_head, too, and no neck
        what="a checkpoint of OpenMMLab for detection, which makes no masks of classes",
        tensors=(r"^mask_head\.", r"^neck\."),
    ),
    Stranger(
        what="a checkpoint of OpenMMLab for points in space",
        tensors=(r"^(voxel_encoder|middle_encoder|pts_\w+)\.|^backbone\.SA_modules\.",),
    ),
    Stranger(what="a Cellpose model", tensors=(r"^diameter_(mean|labels)$",), advice=_FORMATS),
    Stranger(what="a U-Net of MONAI", tensors=(r"^(model\.)?\d+\.submodule\.|^1\.submodule\.",)),
    Stranger(what="a network of MONAI", tensors=(r"^(swinViT\.|convInit\.conv\.|conv_0\.conv_0\.conv\.)",)),
    Stranger(what="a network of MONAI", tensors=(r"^input_block\.conv1\.conv\.", r"^upsamples\.0\.")),
    Stranger(what="a network of diffusers", tensors=(r"^time_embedding\.linear_1\.",)),
    Stranger(what="an adapter of PEFT, without the network that it adapts", tensors=(r"\.lora_A\.",)),
    Stranger(what="a CLIP model", tensors=(r"^visual\.", r"^(text|transformer)\."), advice=_ENCODER),
    Stranger(
        what="a classifier of images, such as timm's and torchvision's, which makes no masks",
        matrix=r"^(fc|head|head\.fc|head\.l|classifier|classifier\.\d|heads\.head)\.weight$",
        advice=_ENCODER,
    ),
    # What plug-ins read.
    Stranger(
        what="a folder of segmentation_models.pytorch", plugin="segzoo-smp", keys=("config._model_class",)
    ),
    Stranger(what="a folder of transformers", plugin="segzoo-transformers", keys=("config.model_type",)),
    Stranger(what="a folder of transformers", plugin="segzoo-transformers", keys=("config.architectures",)),
    Stranger(
        what="a checkpoint of MMSegmentation",
        plugin="segzoo-mmseg",
        tensors=(r"^decode_head(\.\d)?\.(conv_seg|cls_seg)\.|^decode_head\.", r"^backbone\."),
    ),
    Stranger(
        what="a network of segmentation_models.pytorch",
        plugin="segzoo-smp",
        tensors=(r"^encoder\.", r"^decoder\.", r"^segmentation_head\.0\."),
    ),
    Stranger(
        what="a segmentation network of torchvision",
        plugin="segzoo-torchvision",
        tensors=(r"^backbone\.", r"^classifier\."),
    ),
    Stranger(
        what="a pickle of NumPy's arrays, as detectron2 and PaddlePaddle write, not of torch's tensors",
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
    """Return what kind of checkpoint something is, ``None`` where no mark tells, or its reader is there.

    Args:
        tensors: by name.
        beside: what lies beside them; of what was left out the names alone are needed.
        asked: classes that a pickle names.
        files: names of a folder's files, or of an archive's members.
        name: name of the file.
        head: how it begins.
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
    """Whether keys joined by dots lead somewhere in what lies beside the tensors, to a value if one is said.

    Args:
        extras: dictionaries in each other.
        said: such as ``"config.model_type"`` or ``"config._model_class=Unet"``.
    """
    keys, equals, value = said.partition("=")
    for key in keys.split("."):
        if not isinstance(extras, Mapping) or key not in extras:
            return False
        extras = extras[key]
    return not equals or extras == value
