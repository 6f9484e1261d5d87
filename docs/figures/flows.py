"""The stages of a name, an image and a training step in segzoo, as boxes below each other."""

from __future__ import annotations

from dataclasses import dataclass

from drawing import WIDTH, Drawing


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        what: what exists then, or happens.
        where: path of the module or function that does it; empty for what users type or get.
        note: explanation of one or two lines.
    """

    what: str
    where: str = ""
    note: str = ""


NAME = (
    Stage('"unet-resnet50"', note="what a user typed; importing segzoo has not imported torch"),
    Stage(
        "two specs",
        "segzoo.zoo.find_model",
        "a decoder and an encoder; the registries are filled once, at the first use",
    ),
    Stage(
        "an architecture",
        "segzoo.architecture.plan",
        "plain data: each option given to the parts that have it",
    ),
    Stage("a config", "segzoo.config.ModelConfig", "with labels and preprocessing: what config.json holds"),
    Stage(
        "two modules", "segzoo.architecture.build", "the specs' factories are imported here, and only these"
    ),
    Stage("an nn.Module", "segzoo.segmenter.Segmenter", "images of any size in, logits of that size out"),
)

IMAGE = (
    Stage('"photo.jpg"', "segzoo.prediction.sources", "a file, folder, pattern, address, page or frame"),
    Stage("pixels", "segzoo.images.read", "in the file's own data type, rotated as EXIF states"),
    Stage("a tensor", "segzoo.specs.Preprocessing", "size, range, mean and std from the weights' config"),
    Stage(
        "logits",
        "segzoo.prediction.engines",
        "the prepared network runs: whole image, or tiles that fit into memory",
    ),
    Stage(
        "classes",
        "segzoo.prediction.decision",
        "padding and resizing undone, thresholds, smallest objects",
    ),
    Stage(
        "a Segmentation",
        "segzoo.prediction.Segmentation",
        "class map, labels, image; probabilities if asked for",
    ),
    Stage("files", "segzoo.prediction.outputs", "mask, overlay, COCO, GeoJSON, ...: complete or not written"),
)

STEP = (
    Stage(
        "which images",
        "segzoo.training.data.splits",
        "decided by name and seed: the same splits on every machine",
    ),
    Stage(
        "an augmented image",
        "segzoo.training.augmentation",
        "image and mask together; decided by seed, epoch and sample",
    ),
    Stage("a batch", "segzoo.training.data.loader", "counts all processes together; each takes its share"),
    Stage("a loss", "segzoo.training.loop.step", "forward and backward; in parts if memory is short"),
    Stage(
        "new weights",
        "segzoo.training.optim.optimizers",
        "clip, update, average; the learning rate is a function of the step",
    ),
    Stage(
        "a score",
        "segzoo.training.loop.validation",
        "each epoch, at the images' own size; the best weights are kept",
    ),
    Stage("a checkpoint", "segzoo.training.checkpoints", "JSON and safetensors, complete or not written"),
)


def flow(title: str, stages: tuple[Stage, ...]) -> Drawing:
    """Draw the stages below each other, with arrows between them."""
    high, gap = 50, 18
    drawing = Drawing(len(stages) * (high + gap) + 6, title)
    for number, stage in enumerate(stages):
        y = 12 + number * (high + gap)
        outside = not stage.where
        drawing.box(12, y, WIDTH - 24, high, fill="glass" if outside else "plain", radius=5)
        drawing.text(22, y + 21, stage.what, size=14, bold=True, mono=stage.what.startswith('"'))
        drawing.text(WIDTH - 20, y + 20, stage.where, size=11, mono=True, anchor="end", fill="faint")
        drawing.paragraph(22, y + 39, stage.note, letters=70, size=11.5)
        if number:
            drawing.arrow(34, y - gap + 2, 34, y - 2)
    return drawing


#: By the name of the file.
FLOWS = {
    "name": lambda: flow("From a name to a model", NAME),
    "image": lambda: flow("From an image to its mask", IMAGE),
    "step": lambda: flow("A step of training", STEP),
}
