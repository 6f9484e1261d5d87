"""segzoo's built-in plug-in: its specs, registered with the same hooks as any other plug-in's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.distribution import requirement
from segzoo.hooks import API_VERSION, hookimpl
from segzoo.losses.catalogue import list_losses
from segzoo.metrics.catalogue import list_metrics
from segzoo.specs import (
    IMAGENET,
    AugmentationSpec,
    DatasetSpec,
    DecoderSpec,
    EncoderSpec,
    EngineSpec,
    ExportSpec,
    LayoutSpec,
    ModelSpec,
    OptimizerSpec,
    OutputSpec,
    ReaderSpec,
    RecipeSpec,
    ScheduleSpec,
    TrackerSpec,
    WeightsSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segzoo.specs import LossSpec, MetricSpec

_UNET = "arXiv:1505.04597"
_VGG = "arXiv:1409.1556"
_SEGFORMER = "arXiv:2105.15203"
#: Suffixes of images that Pillow reads, for searching folders.
_PILLOW = (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".webp")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_GREYS = (".png", ".tif", ".tiff")
_NUMBERS = (*_GREYS, ".npy")
_IMAGE, _SCORES, _OBJECTS = ("image",), ("probabilities",), ("objects",)
#: Bytes per pixel that separating objects needs.
_COUNTING = 64
_VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"


@hookimpl
def segzoo_api() -> int:
    return API_VERSION


@hookimpl
def segzoo_encoders() -> Iterable[EncoderSpec]:
    return [
        EncoderSpec(
            name="plain",
            factory="segzoo.encoders.plain:PlainEncoder",
            channels=(64, 128, 256, 512, 1024),
            strides=(1, 2, 4, 8, 16),
            summary="the U-Net encoder: double convolutions and max pooling",
            paper=_UNET,
        ),
        *(_vgg(layers, norm) for layers in (11, 13, 16, 19) for norm in ("", "_bn")),
        EncoderSpec(
            name="mit",
            factory="segzoo.encoders.mit:MixTransformer",
            channels=(32, 64, 160, 256),
            strides=(4, 8, 16, 32),
            summary="Mix Transformer with any width and depth",
            paper=_SEGFORMER,
        ),
        *(_mit(level, depths) for level, depths in enumerate(_MIT_DEPTHS)),
    ]


#: Number of blocks of the stages of SegFormer's B0 to B5.
_MIT_DEPTHS = ((2, 2, 2, 2), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 18, 3), (3, 8, 27, 3), (3, 6, 40, 3))


def _mit(level: int, depths: tuple[int, ...]) -> EncoderSpec:
    channels = (64, 128, 320, 512) if level else (32, 64, 160, 256)
    return EncoderSpec(
        name=f"mit_b{level}",
        aliases=(f"mit-b{level}",),
        factory="segzoo.encoders.mit:MixTransformer",
        options={"widths": channels, "depths": depths},
        channels=channels,
        strides=(4, 8, 16, 32),
        summary=f"Mix Transformer B{level}, SegFormer's encoder",
        paper=_SEGFORMER,
    )


def _vgg(layers: int, norm: str) -> EncoderSpec:
    name = f"vgg{layers}{norm}"
    return EncoderSpec(
        name=name,
        aliases=("vgg",) if name == "vgg16" else ("vgg_bn",) if name == "vgg16_bn" else (),
        factory="segzoo.encoders.timm:VGGEncoder",
        options={"backbone": name},
        channels=(64, 128, 256, 512, 512),
        strides=(1, 2, 4, 8, 16),
        pretrained=True,
        summary=f"VGG with {layers} layers{' and batch norm' if norm else ''}, optional ImageNet weights",
        paper=_VGG,
    )


@hookimpl
def segzoo_decoders() -> Iterable[DecoderSpec]:
    return [
        DecoderSpec(
            name="unet",
            factory="segzoo.decoders.unet:UNetDecoder",
            summary="U-Net decoder: upsample, concatenate the skip, convolve",
            paper=_UNET,
        )
    ]


@hookimpl
def segzoo_models() -> Iterable[ModelSpec]:
    return [
        ModelSpec(
            name="unet",
            factory="segzoo.models.unet:unet",
            summary="plain U-Net: padded or valid, bilinear or transposed convolutions",
            paper=_UNET,
        ),
        ModelSpec(
            name="unet-vgg",
            encoder="vgg16",
            decoder="unet",
            decoder_options={"norm": None},
            summary="U-Net with a VGG16 encoder, without batch norm",
            paper=_UNET,
        ),
        ModelSpec(
            name="unet-resnet50",
            encoder="timm:resnet50",
            decoder="unet",
            summary="U-Net with a ResNet-50 encoder from timm",
            paper=_UNET,
        ),
        ModelSpec(
            name="smp-unet",
            factory="segzoo.models.smp_unet:smp_unet",
            summary="U-Net of segmentation_models.pytorch, for its checkpoints",
            paper=_UNET,
        ),
    ]


@hookimpl
def segzoo_weights() -> Iterable[WeightsSpec]:
    return [
        _imagenet("vgg16", "vgg16-397923af", size=553_433_881, sha256=_VGG16_SHA256),
        _imagenet("vgg16_bn", "vgg16_bn-6c64b313"),
        _imagenet("resnet50", "resnet50-19c8e357", model="timm:resnet50"),
        _imagenet("mobilenet_v3_large", "mobilenet_v3_large-8738ca79", model="timm:mobilenetv3_large_100"),
    ]


def _imagenet(name: str, file: str, *, model: str = "", size: int = 0, sha256: str = "") -> WeightsSpec:
    short = name.replace("_", "-")
    return WeightsSpec(
        name=f"{short}-imagenet",
        url=f"https://download.pytorch.org/models/{file}.pth",
        layout=f"segzoo:torchvision-{short}",
        bytes=size,
        # The file's name ends in the first digits of its hash; for one file the whole hash is known.
        sha256=sha256 or file.rpartition("-")[2],
        model=model or name,
        classes=(),
        preprocessing=IMAGENET,
        summary=f"torchvision {name} encoder, trained on ImageNet",
        data="ImageNet-1k (ILSVRC 2012)",
        licence="none stated for the weights; the program is BSD-3-Clause",
        homepage="https://github.com/pytorch/vision",
    )


@hookimpl
def segzoo_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="folder",
            factory="segzoo.datasets.folder:FolderDataset",
            recognise="segzoo.datasets.folder:recognise",
            splits=("train", "val", "test"),
            summary="your own images and masks, in folders or in a list of pairs",
            layout="images/ and masks/ (or imgs/, labels/), or masks next to their images, paired by their "
            "names; or a list of pairs, .csv or .json",
        ),
    ]


@hookimpl
def segzoo_metrics() -> Iterable[MetricSpec]:
    return list_metrics()


@hookimpl
def segzoo_losses() -> Iterable[LossSpec]:
    return list_losses()


_STEPS = {
    "crop": ("sizes:Crop", "a random crop at a random scale and aspect ratio"),
    "resize": ("sizes:Resize", "the whole image resized to a fixed size"),
    "resize_short": ("sizes:ResizeShort", "the whole image resized to a random length of the shorter side"),
    "letterbox": ("sizes:Letterbox", "the whole image in a frame, with bars on two sides"),
    "place": ("sizes:Place", "the whole image in a frame, at a random aspect ratio, scale and position"),
    "flip": ("geometry:Flip", "a horizontal or vertical flip"),
    "turn": ("geometry:Turn", "a rotation by multiples of 90 degrees"),
    "rotate": ("geometry:Rotate", "a rotation by any angle"),
    "affine": ("geometry:Affine", "random scaling, shear, rotation and translation"),
    "perspective": ("geometry:Perspective", "a perspective transform"),
    "elastic": ("geometry:Elastic", "a smooth elastic deformation, as in the U-Net paper"),
    "elastic_smooth": ("geometry:ElasticSmooth", "a fine elastic deformation, after Simard"),
    "color": ("colour:Color", "colour jitter: brightness, contrast, saturation and hue"),
    "hue_saturation_value": ("colour:HueSaturationValue", "hue, saturation and value shifted"),
    "hsv": ("colour:Hsv", "hue, saturation and value multiplied"),
    "brightness": ("colour:Brightness", "a constant added to every pixel"),
    "contrast": ("colour:Contrast", "differences from grey or black multiplied"),
    "gamma": ("colour:Gamma", "gamma correction: pixel values to the power of gamma"),
    "grey": ("colour:Grey", "conversion to greyscale"),
    "clahe": ("clahe:Clahe", "contrast-limited adaptive histogram equalisation"),
    "invert": ("colour:Invert", "inverted brightness"),
    "stain": ("stains:Stain", "changed stain concentrations in histology"),
    "shade": ("illumination:Shade", "uneven illumination: shading, haze and vignetting"),
    "exposure": ("illumination:Exposure", "a dim exposure: few grey levels above an offset, with shot noise"),
    "blur": ("blurring:Blur", "a Gaussian blur"),
    "noise": ("blurring:Noise", "Gaussian noise at every pixel and channel"),
    "cutout": ("cutout:Cutout", "hidden rectangles of the image"),
    "mixup": ("mixing:MixUp", "two blended images, and their blended losses"),
    "cutmix": ("mixing:CutMix", "a rectangle of another image and its mask"),
    "copy_paste": ("mixing:CopyPaste", "pasted objects of another image and their masks"),
}


@hookimpl
def segzoo_augmentations() -> Iterable[AugmentationSpec]:
    room = "segzoo.training.augmentation"
    papers = {
        "elastic": _UNET,
        "stain": "arXiv:1902.06543",
        "cutout": "arXiv:1708.04552",
        "mixup": "arXiv:1710.09412",
        "cutmix": "arXiv:1905.04899",
        "copy_paste": "arXiv:2012.07177",
    }
    return [
        AugmentationSpec(
            name=name,
            factory=f"{room}.{place}",
            aliases=("copy-paste",) if name == "copy_paste" else (),
            summary=summary,
            paper=papers.get(name, ""),
        )
        for name, (place, summary) in _STEPS.items()
    ]


@hookimpl
def segzoo_optimizers() -> Iterable[OptimizerSpec]:
    known = {
        "adamw": ("Adam with decoupled weight decay", "arXiv:1711.05101"),
        "adam": ("adaptive moment estimation", "arXiv:1412.6980"),
        "sgd": ("stochastic gradient descent with momentum", ""),
        "rmsprop": ("steps scaled by the root mean square of past gradients", ""),
    }
    return [
        OptimizerSpec(
            name=name, factory=f"segzoo.training.optim.optimizers:{name}", summary=summary, paper=paper
        )
        for name, (summary, paper) in known.items()
    ]


@hookimpl
def segzoo_schedules() -> Iterable[ScheduleSpec]:
    known = {
        "cosine": ("cosine decay from the maximum to the minimum", "arXiv:1608.03983"),
        "polynomial": ("polynomial decay", "arXiv:1606.00915"),
        "one-cycle": ("a long rise and a fall almost to zero, each half a cosine", "arXiv:1708.07120"),
        "step": ("multiplied by a factor every N epochs", ""),
        "multistep": ("multiplied by a factor at listed epochs", ""),
        "plateau": ("multiplied by a factor when the score stops improving", ""),
        "constant": ("a constant learning rate", ""),
    }
    return [
        ScheduleSpec(
            name=name,
            aliases=("onecycle",) if name == "one-cycle" else (),
            factory=f"segzoo.training.optim.schedules:{name.title().replace('-', '')}",
            falls=name in ("cosine", "polynomial", "one-cycle"),
            summary=summary,
            paper=paper,
        )
        for name, (summary, paper) in known.items()
    ]


@hookimpl
def segzoo_trackers() -> Iterable[TrackerSpec]:
    room, tensorboard = "segzoo.training.report.trackers", ("tensorboard", "torch.utils.tensorboard")
    return [
        TrackerSpec(
            name="tensorboard",
            factory=f"{room}:tensorboard",
            modules=tensorboard,
            install=requirement(extra="tensorboard"),
            summary="TensorBoard, in the folder of the run",
        ),
        TrackerSpec(
            name="wandb",
            factory=f"{room}:wandb",
            modules=("wandb",),
            install=requirement(extra="wandb"),
            summary="Weights & Biases, offline without an account or network",
        ),
        *(
            TrackerSpec(
                name=name,
                aliases=("comet",) if name == "comet_ml" else (),
                factory=f"{room}:{name}",
                modules=(name,),
                install=name.replace("_", "-"),
                network=network,
                summary=summary,
            )
            for name, network, summary in (
                ("mlflow", False, "MLflow: the folder mlruns, or the server in MLFLOW_TRACKING_URI"),
                ("comet_ml", True, "Comet, with the account in its configuration"),
                ("aim", False, "Aim, in the folder of the run"),
                ("clearml", True, "ClearML, with the account in its configuration"),
                ("dvclive", False, "DVCLive, in the folder of the run"),
            )
        ),
    ]


_PHOTOGRAPHS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


@hookimpl
def segzoo_readers() -> Iterable[ReaderSpec]:
    return [
        ReaderSpec(
            name="pillow",
            factory="segzoo.images.pillow:open_pillow",
            suffixes=_PILLOW,
            magic=(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"\0\0\0\x0cjP  "),
            summary="JPEG, PNG, GIF, BMP, WebP, JPEG 2000, PNM and everything else that Pillow reads",
        ),
        ReaderSpec(
            name="tiff",
            factory="segzoo.images.tiffs:open_tiff",
            suffixes=(".tif", ".tiff"),
            magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
            extra="tiff",
            summary="TIFF with any type and number of bands, and the axes of ImageJ and OME",
        ),
        ReaderSpec(
            name="numpy",
            factory="segzoo.images.arrays:open_npy",
            suffixes=(".npy",),
            searched=False,
            magic=(b"\x93NUMPY",),
            summary="arrays from numpy.save, (H, W), (H, W, C) or (C, H, W)",
        ),
        ReaderSpec(
            name="torch",
            factory="segzoo.images.arrays:open_tensor",
            suffixes=(".pt", ".pth"),
            searched=False,
            summary="tensors from torch.save, (H, W), (H, W, C) or (C, H, W)",
        ),
        ReaderSpec(
            name="zarr",
            factory="segzoo.images.zarrs:open_zarr",
            suffixes=(".zarr",),
            folders=True,
            claims="segzoo.images.zarrs:holds_zarr",
            extra="zarr",
            summary="Zarr arrays, and OME-Zarr images at their finest level",
        ),
    ]


@hookimpl
def segzoo_outputs() -> Iterable[OutputSpec]:
    return [
        _output(
            "mask:Mask",
            "class indices, with the class colours as palette",
            *_NUMBERS,
            together=_NUMBERS[1:],
        ),
        _output("values:Values", "class values of the masks used in training", *_NUMBERS, together=()),
        _output("binary:Binary", "white for every class except the background, 1 bit per pixel", *_GREYS),
        _output("colour:Colour", "the class colours", *_PICTURES, memory=16),
        _output("overlay:Overlay", "the image, tinted and outlined", *_PICTURES, memory=40, needs=_IMAGE),
        _output("cutout:Cutout", "the image without its background", *_PICTURES, memory=24, needs=_IMAGE),
        _output("contours:Contours", "the image with outlines", *_PICTURES, memory=40, needs=_IMAGE),
        _output("sheet:Sheet", "image, mask and overlay side by side", *_PICTURES, memory=96, needs=_IMAGE),
        _output("probabilities:Probabilities", "(classes, height, width), float16", ".npy", needs=_SCORES),
        _output(
            "uncertainty:Uncertainty",
            "entropy of the probabilities, 0 to 1",
            *_NUMBERS,
            together=_NUMBERS[1:],
            memory=16,
            needs=_SCORES,
        ),
        _output(
            "coco:Coco",
            "every object, in COCO format",
            ".json",
            by_rows=False,
            needs=_OBJECTS,
            joined="annotations.json",
        ),
        _output(
            "geojson:GeoJson",
            "one polygon per object, in pixels",
            *(".geojson", ".json"),
            suffix="_objects.geojson",
            by_rows=False,
            needs=_OBJECTS,
        ),
        _output(
            "areas:Areas",
            "pixels, share and number of objects of each class",
            ".csv",
            memory=_COUNTING,
            joined="areas.csv",
            needs=_OBJECTS,
        ),
        _output(
            "objects:Objects",
            "the object number of each pixel, 0 for background",
            *_NUMBERS,
            together=_NUMBERS[1:],
            by_rows=False,
            needs=_OBJECTS,
        ),
    ]


def _output(code: str, summary: str, *formats: str, **more: Any) -> OutputSpec:
    name, factory = code.partition(":")[0], f"segzoo.prediction.outputs.{code}"
    given = {"suffix": f"_{name}{formats[0]}", "by_rows": True, "together": formats, **more}
    if "joined" in more:
        given["joins"] = f"segzoo.prediction.outputs.{name}:join"
    return OutputSpec(name=name, factory=factory, summary=summary, formats=formats, **given)


@hookimpl
def segzoo_engines() -> Iterable[EngineSpec]:
    known = {
        "torch": ("PyTorch, with batch norms folded and weights packed", ""),
        "compile": ("torch.compile: slow to start", ""),
        "openvino": ("OpenVINO on the CPU, int8 too", "openvino"),
        "onnxruntime": ("ONNX Runtime on the CPU", "onnxruntime"),
    }
    own = [
        EngineSpec(
            name=name,
            factory="segzoo.prediction.engines.making:make_own",
            options={"backend": name},
            precisions=("exact", "fast", "fastest"),
            extra=extra,
            summary=summary,
        )
        for name, (summary, extra) in known.items()
    ]
    eager = EngineSpec(
        name="eager",
        factory="segzoo.prediction.engines.eager:make_eager",
        summary="the unchanged PyTorch network",
    )
    return [*own, eager]


@hookimpl
def segzoo_exports() -> Iterable[ExportSpec]:
    return [
        ExportSpec(
            name="onnx",
            factory="segzoo.exporting.onnx:write_onnx",
            suffix=".onnx",
            runtime="segzoo.runtimes.onnxruntime:open_onnx",
            precisions=("float32", "float16", "int8"),
            extra="onnxruntime",
            summary="ONNX, for ONNX Runtime, TensorRT and most others",
        ),
        ExportSpec(
            name="torch",
            factory="segzoo.exporting.programs:write_program",
            suffix=".pt2",
            runtime="segzoo.runtimes.programs:open_program",
            precisions=("float32", "float16"),
            summary="torch.export program, which needs only torch",
        ),
        ExportSpec(
            name="openvino",
            factory="segzoo.exporting.openvino:write_openvino",
            suffix=".xml",
            runtime="segzoo.runtimes.openvino:open_openvino",
            precisions=("float32", "float16", "int8"),
            extra="openvino",
            summary="OpenVINO, for Intel CPUs and GPUs: .xml, with the weights in a .bin file",
        ),
    ]


@hookimpl
def segzoo_recipes() -> Iterable[RecipeSpec]:
    return [
        RecipeSpec(
            name="auto",
            file="segzoo:training/recipes/auto.toml",
            planner="segzoo.training.planning.plan:plan_recipe",
            summary="plans the whole run from your images, your masks and the speed of this machine",
        ),
        RecipeSpec(
            name="default",
            file="segzoo:training/recipes/default.toml",
            summary="a network from scratch for images of any kind; a good first recipe",
        ),
        RecipeSpec(
            name="microscopy",
            file="segzoo:training/recipes/microscopy.toml",
            summary="cells, tissue and other images without an up or down: rotation, elastic deformation",
            paper=_UNET,
        ),
        RecipeSpec(
            name="pretrained",
            file="segzoo:training/recipes/pretrained.toml",
            summary="photographs, with a small encoder that is pretrained on ImageNet",
        ),
    ]


@hookimpl
def segzoo_layouts() -> Iterable[LayoutSpec]:
    torchvision = {
        "vgg16": ("features.28.weight", "classifier.6.weight"),
        "vgg16_bn": ("features.41.running_mean", "classifier.6.weight"),
        "resnet50": ("layer4.2.conv3.weight", "layer3.5.bn3.running_mean", "fc.weight"),
        "mobilenet_v3_large": ("features.16.0.weight", "features.15.block.3.0.weight", "classifier.3.weight"),
    }
    return [
        *(
            LayoutSpec(
                name=f"torchvision-{name.replace('_', '-')}",
                factory=f"segzoo.weights.layouts.torchvision:{name}",
                signature=signature,
                summary=f"torchvision's {name} as an encoder, without its classifier",
                homepage="https://github.com/pytorch/vision",
                licence="BSD-3-Clause",
            )
            for name, signature in torchvision.items()
        ),
        LayoutSpec(
            name="smp-unet",
            aliases=("segmentation-models-pytorch",),
            factory="segzoo.weights.layouts.smp:smp_unet",
            signature=("segmentation_head.0.weight", "decoder.blocks.0.conv1.0.weight"),
            summary="U-Net of segmentation_models.pytorch: a folder of config.json and safetensors",
            homepage="https://github.com/qubvel-org/segmentation_models.pytorch",
        ),
    ]
