"""The ways of a name, an image and a training step through the rooms, as boxes below each other."""

from __future__ import annotations

from dataclasses import dataclass

from drawing import WIDTH, Drawing


@dataclass(frozen=True)
class Stage:
    """One stop on a way.

    Attributes:
        what: is there then, or happens.
        where: the module or function that does it, by its path; empty for what people say or get.
        note: what one should know, in a line or two.
    """

    what: str
    where: str = ""
    note: str = ""


NAME = (
    Stage('"unet-resnet50"', note="what a person typed; importing segzoo has imported no torch"),
    Stage(
        "two specs",
        "segzoo.zoo.find_model",
        "a decoder and an encoder; the registries fill once, on first use",
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
    Stage("pixels", "segzoo.images.read", "8 bits a channel, turned as EXIF says"),
    Stage("a tensor", "segzoo.specs.Preprocessing", "size, range, mean and std as the weights' config says"),
    Stage(
        "logits",
        "segzoo.prediction.engines",
        "the network made ready: whole, or in tiles that fit the memory",
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
    Stage("files", "segzoo.prediction.outputs", "mask, overlay, COCO, GeoJSON, ...: whole or not at all"),
)

STEP = (
    Stage(
        "which images", "segzoo.training.data.splits", "by name and seed: the same division on every machine"
    ),
    Stage(
        "an image varied",
        "segzoo.training.augmentation",
        "image and mask together; seed, epoch and sample decide",
    ),
    Stage("a batch", "segzoo.training.data.loader", "of all processes together; each takes its share"),
    Stage("a loss", "segzoo.training.loop.step", "forward and backward; in parts where memory is short"),
    Stage(
        "new weights",
        "segzoo.training.optim.optimizers",
        "clip, update, average; the rate is a closed form of the step",
    ),
    Stage(
        "a score",
        "segzoo.training.loop.validation",
        "each epoch, at the images' own size; the best weights are kept",
    ),
    Stage("a checkpoint", "segzoo.training.checkpoints", "JSON and safetensors, whole or not at all"),
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
