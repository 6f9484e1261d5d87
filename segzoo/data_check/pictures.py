"""Findings about single files: damage, pages, rotation, sizes, pixel types."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from segzoo.data_check.report import Finding, Severity
from segzoo.options import listed, many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.data_check.facts import ImageFacts
    from segzoo.data_check.survey import Look

_SHOWN = 20


def pictures(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report files that cannot be read, and pairs whose pixels do not match."""
    yield from _damage(looks)
    readable = [look for look in looks if look.readable]
    yield from _frames(readable)
    yield from _rotation(readable)
    yield from _sizes(readable)
    yield from _modes(readable)


def turned_with_image(look: Look) -> bool:
    """Return whether the mask fits the image as stored, and not as rotated by its EXIF orientation."""
    return look.image.turn != 1 and look.mask.size == look.image.stored != look.image.size


def same_shape(look: Look) -> bool:
    """Return whether image and mask differ only in scale, so that one may be resized to the other."""
    (height, width), (mask_height, mask_width) = look.image.size, look.mask.size
    return abs(height * mask_width - width * mask_height) <= max(height, width, mask_height, mask_width)


def _damage(looks: Sequence[Look]) -> Iterator[Finding]:
    broken = [f"{look.image_path}: {look.image.problem}" for look in looks if look.image.problem]
    broken += [f"{look.mask_path}: {look.mask.problem}" for look in looks if look.mask.problem]
    if broken:
        # Samples of a dataset have one name for image and mask.
        noun = "sample" if all(look.image_path == look.mask_path for look in looks) else "file"
        yield _found(
            ("damaged", "error", f"{many(len(broken), noun)} cannot be read"),
            broken,
            "Training stops at the first of them. Copy or save them again from the original source.",
            "leaves them out, including their partners",
        )


def _frames(looks: Sequence[Look]) -> Iterator[Finding]:
    single = [look for look in looks if look.page is None]
    uneven = {look: None for look in single if look.image.frames > 1 and look.image.format == "TIFF"}
    if uneven:
        yield _found(
            (
                "uneven-stacks",
                "error",
                f"{many(len(uneven), 'stack', 'have')} another number of pages than the mask",
            ),
            [f"{look.image_path} {look.image.frames}, mask {look.mask.frames}" for look in uneven],
            "Pages are paired by their number.",
            "keeps the first page of each",
        )
    files = [look.image_path for look in single if look.image.frames > 1 and look not in uneven]
    files += [look.mask_path for look in single if look.mask.frames > 1 and look not in uneven]
    if files:
        yield _found(
            ("frames", "warning", f"{many(len(files), 'file', 'hold')} several frames"),
            files,
            "Only the first is read. If all count, save each as a separate file, both image and mask.",
            "keeps the first frame",
        )


def _rotation(looks: Sequence[Look]) -> Iterator[Finding]:
    wrong = [look for look in looks if turned_with_image(look)]
    turned = [look for look in looks if look.image.turn != 1 and not turned_with_image(look)]
    unclear = [look for look in turned if look.image.size == look.image.stored]
    if wrong:
        yield _found(
            (
                "rotation",
                "error",
                f"{many(len(wrong), 'image', 'are')} rotated by an EXIF tag, but not the mask",
            ),
            [look.image_path for look in wrong],
            "A camera stores its orientation next to the pixels, and programs rotate images for display. "
            "These masks fit the pixels before the rotation. Rotate the masks in the same way.",
            "rotates images and masks upright",
        )
    if unclear:
        yield _found(
            (
                "rotation-unclear",
                "warning",
                f"{many(len(unclear), 'image', 'are')} rotated or mirrored by an EXIF tag",
            ),
            [look.image_path for look in unclear],
            "Their sizes do not show whether the masks were drawn before or after the rotation; images are "
            "read rotated. Check whether masks and images match: segzoo data preview DIR.",
            "rotates the images as in the tag, and keeps the masks unchanged",
        )


def _sizes(looks: Sequence[Look]) -> Iterator[Finding]:
    differ = [look for look in looks if look.mask.size != look.image.size and not turned_with_image(look)]
    if not differ:
        return
    scaled = sum(map(same_shape, differ))
    repaired = "enlarges or shrinks masks of the same shape" if scaled else ""
    left = "leaves out those of another shape" if scaled < len(differ) else ""
    yield _found(
        ("sizes", "error", f"{many(len(differ), 'mask', 'have')} another size than the image"),
        [f"{look.mask_path} {_by(look.mask.size)}, its image {_by(look.image.size)}" for look in differ],
        f"Each pixel of an image needs one pixel in its mask. {_shaped(scaled, len(differ))}",
        " and ".join(part for part in (repaired, left) if part),
    )


def _shaped(scaled: int, count: int) -> str:
    """Return how many of the masks with another size have the shape of their image."""
    if not scaled:
        return "They were cropped differently, or belong to another image: pair them again."
    if scaled == count:
        return f"{'It has' if count == 1 else 'They have'} the shape of the image, and can be resized."
    return (
        f"{scaled:,} of them {'has' if scaled == 1 else 'have'} the shape of the image; "
        "the others were cropped differently, or belong to another image."
    )


def _modes(looks: Sequence[Look]) -> Iterator[Finding]:
    yield from _bands(looks)
    kinds = Counter(_kind(look.image) for look in looks)
    counts = {look.image.channels for look in looks}
    if len(kinds) > 1 and len(counts) == 1:
        told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        yield Finding(
            kind="modes",
            severity="note",
            what=f"images are of several kinds: {told}",
            advice="Training converts them to one kind: grey becomes three equal channels if there are "
            "colour images, values become 0 to 255, and alpha is left out.",
            count=len(looks),
        )
    elif set(kinds) == {"grey"}:
        yield Finding(
            kind="grey",
            severity="note",
            what="all images are grey",
            advice="They are read as colour with three equal channels, which suits pretrained encoders; "
            "model.in_channels=1 builds a network with one channel.",
            count=len(looks),
        )
    yield from _values(looks)
    cmyk = [look.image_path for look in looks if look.image.coding == "CMYK"]
    if cmyk:
        yield _found(
            ("cmyk", "note", f"{many(len(cmyk), 'image', 'are')} in printing colours (CMYK)"),
            cmyk,
            "They are converted to RGB without a colour profile; colours may look different.",
            "",
        )


def _bands(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report bands that are not colours, and alpha."""
    counts = Counter(look.image.channels for look in looks)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        others = [look for look in looks if look.image.channels != usual]
        yield _found(
            ("bands", "error", f"{many(len(others), 'image', 'have')} other bands than most"),
            [f"{look.image_path}: {_listed(look.image.bands)}" for look in others],
            f"A network needs the same number of bands from each, and most have {usual}. Choose bands that "
            "all have, such as data.bands=[1,2,3], or remove these images.",
            "",
        )
    elif set(counts) - {3}:
        (count,) = counts
        yield Finding(
            kind="bands",
            severity="note",
            what=f"images have {_listed(looks[0].image.bands)}",
            advice=f"To use all of them, set model.in_channels={count}; to choose some, use numbers or "
            "names: data.bands=[3,2,1].",
            count=len(looks),
        )
    alpha = [look.image_path for look in looks if look.image.alpha is not None]
    if alpha:
        yield _found(
            ("alpha", "note", f"{many(len(alpha), 'image', 'declare')} a band as alpha, which is opacity"),
            alpha[:1],
            f"Training leaves it out. If it is a measurement, use all bands: model.in_channels="
            f"{len(looks[0].image.bands)}.",
            "",
        )


def _values(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report how values become 0 to 255, if files hold other values."""
    unscaled = [look.image_path for look in looks if look.image.unscaled]
    if unscaled:
        yield _found(
            ("unscaled", "warning", f"{many(len(unscaled), 'image', 'hold')} values without a fixed scale"),
            list(dict.fromkeys(unscaled)),
            "They are negative, or floats that use neither 0 to 1 nor 0 to 255. Set which values become 0 "
            "and 1, or let training measure it. For one material in a CT scan a narrower range is "
            "better, such as data.intensity=window:40,400; for MR, data.intensity=standard.",
            "",
        )
    ways = Counter(look.image.scaled for look in looks if not look.image.unscaled)
    deep = [look.image_path for look in looks if look.image.scaled]
    if deep and len(ways) > 1:
        yield _found(
            ("deep", "warning", f"values are scaled to 0 to 255 in {len(ways)} ways"),
            deep,
            f"{_ways(ways)}. Equal brightness may differ between images. If they are from one camera, scale "
            "all in the same way: data.intensity=percentiles:1,99.8:run, or data.intensity=range:0,4095.",
            "",
        )
    elif deep:
        yield Finding(
            kind="deep",
            severity="note",
            what=f"in all images {next(iter(ways))}",
            advice="data.intensity sets other scales, such as data.intensity=percentiles:1,99.8.",
            count=len(deep),
        )
    empty = [look.image_path for look in looks if look.image.empty]
    if empty:
        yield _found(
            ("nodata", "note", f"{many(len(empty), 'image', 'have')} pixels without a measurement"),
            empty,
            "They are neither used for training nor scored.",
            "",
        )


def _ways(ways: Counter[str]) -> str:
    usual = [f"{many(count, 'image')}: {way or 'values unchanged'}" for way, count in ways.most_common(3)]
    return "; ".join(usual) + (f"; and {len(ways) - 3} other ways" if len(ways) > 3 else "")


def _listed(bands: Sequence[str]) -> str:
    return f"{many(len(bands), 'band')} ({listed(bands)})"


def _kind(image: ImageFacts) -> str:
    colours = [name for index, name in enumerate(image.bands) if index != image.alpha]
    name = {1: "grey", 3: "colour"}.get(len(colours), f"of {len(colours)} bands")
    if image.dtype == "bool":
        name = "black and white"
    deep = "" if image.dtype in ("uint8", "bool") else f" of type {image.dtype}"
    return name + ("" if image.alpha is None else " with alpha") + deep


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _found(told: tuple[str, Severity, str], examples: Sequence[str], advice: str, repaired: str) -> Finding:
    kind, severity, what = told
    return Finding(
        kind=kind,
        severity=severity,
        what=what,
        advice=advice,
        count=len(examples),
        examples=tuple(examples[:_SHOWN]),
        repaired=repaired,
    )
