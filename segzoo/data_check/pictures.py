"""Findings about single files: damage, pages, rotation, sizes, kinds of pixels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from segzoo.data_check.report import Finding, Severity, many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.data_check.survey import Look

_SHOWN = 20
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def pictures(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell of files that cannot be read, and of pairs whose pixels do not lie on each other."""
    yield from _damage(looks)
    readable = [look for look in looks if look.readable]
    yield from _frames(readable)
    yield from _rotation(readable)
    yield from _sizes(readable)
    yield from _modes(readable)


def turned_with_image(look: Look) -> bool:
    """Whether the mask fits the image as stored, and not as its EXIF orientation turns it."""
    return look.image.turn != 1 and look.mask.size == look.image.stored != look.image.size


def same_shape(look: Look) -> bool:
    """Whether image and mask differ in scale alone, so that one may be resized to the other."""
    (height, width), (mask_height, mask_width) = look.image.size, look.mask.size
    return abs(height * mask_width - width * mask_height) <= max(height, width, mask_height, mask_width)


def _damage(looks: Sequence[Look]) -> Iterator[Finding]:
    broken = [f"{look.image_path}: {look.image.problem}" for look in looks if look.image.problem]
    broken += [f"{look.mask_path}: {look.mask.problem}" for look in looks if look.mask.problem]
    if broken:
        yield _found(
            ("damaged", "error", f"{many(len(broken), 'file')} cannot be read"),
            broken,
            "Training stops at the first of them. Copy or save them again from where they came from.",
            "leaves them out with their partners",
        )


def _frames(looks: Sequence[Look]) -> Iterator[Finding]:
    single = [look for look in looks if look.page is None]
    uneven = {look: None for look in single if look.image.frames > 1 and look.image.format == "TIFF"}
    if uneven:
        yield _found(
            ("uneven-stacks", "error", f"{many(len(uneven), 'stack', 'have')} not as many pages as the mask"),
            [f"{look.image_path} {look.image.frames}, mask {look.mask.frames}" for look in uneven],
            "Pages belong together by their number.",
            "keeps the first page of each",
        )
    files = [look.image_path for look in single if look.image.frames > 1 and look not in uneven]
    files += [look.mask_path for look in single if look.mask.frames > 1 and look not in uneven]
    if files:
        yield _found(
            ("frames", "warning", f"{many(len(files), 'file', 'hold')} several frames"),
            files,
            "Only the first is read. If all count, save each as a file of its own, image and mask alike.",
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
                f"{many(len(wrong), 'image', 'are')} turned by an EXIF tag, but not the mask",
            ),
            [look.image_path for look in wrong],
            "A camera stores how it was held beside the pixels, and images are shown turned so. These masks "
            "fit the pixels before the turn. Turn the masks likewise.",
            "turns images and masks upright",
        )
    if unclear:
        yield _found(
            (
                "rotation-unclear",
                "warning",
                f"{many(len(unclear), 'image', 'are')} turned or mirrored by an EXIF tag",
            ),
            [look.image_path for look in unclear],
            "Their sizes do not say whether the masks were drawn before or after the turn; images are read "
            "turned. Look whether masks and images agree: segzoo data preview DIR.",
            "turns the images as the tag says, and takes the masks as they are",
        )


def _sizes(looks: Sequence[Look]) -> Iterator[Finding]:
    differ = [look for look in looks if look.mask.size != look.image.size and not turned_with_image(look)]
    if not differ:
        return
    scaled = sum(map(same_shape, differ))
    repaired = "enlarges or shrinks masks of the same shape" if scaled else ""
    left = "leaves out those of another shape" if scaled < len(differ) else ""
    yield _found(
        ("sizes", "error", f"{many(len(differ), 'mask', 'are')} not as large as the image"),
        [f"{look.mask_path} {_by(look.mask.size)}, its image {_by(look.image.size)}" for look in differ],
        f"Each pixel of an image needs one of its mask. {_shaped(scaled, len(differ))}",
        " and ".join(part for part in (repaired, left) if part),
    )


def _shaped(scaled: int, count: int) -> str:
    """Say how many of the masks that differ in size have the shape of their image."""
    if not scaled:
        return "They were cut differently, or belong to another image: pair them anew."
    if scaled == count:
        return f"{'It has' if count == 1 else 'They have'} the shape of the image, and can be resized."
    return (
        f"{scaled:,} of them {'has' if scaled == 1 else 'have'} the shape of the image; "
        "the others were cut differently, or belong to another image."
    )


def _modes(looks: Sequence[Look]) -> Iterator[Finding]:
    modes = Counter(_kind(look.image.mode) for look in looks)
    if len(modes) > 1:
        told = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
        yield Finding(
            kind="modes",
            severity="note",
            what=f"images are of several kinds: {told}",
            advice="All are read as 8-bit colour: grey becomes three equal channels, alpha is dropped.",
            count=len(looks),
        )
    elif set(modes) == {"grey"}:
        yield Finding(
            kind="grey",
            severity="note",
            what="all images are grey",
            advice="They are read as colour with three equal channels, which suits pretrained encoders; "
            "model.in_channels=1 makes a network of one channel.",
            count=len(looks),
        )
    deep = [look.image_path for look in looks if look.image.mode in _DEEP]
    if deep:
        yield _found(
            ("deep", "warning", f"{many(len(deep), 'image', 'have')} more than 8 bits"),
            deep,
            "Each is scaled to 8 bits by the number of bits that its brightest pixel needs, so equal "
            "brightness may come out different in different images. If they are of one camera, convert "
            "them all by one factor first.",
            "",
        )
    cmyk = [look.image_path for look in looks if look.image.mode == "CMYK"]
    if cmyk:
        yield _found(
            ("cmyk", "note", f"{many(len(cmyk), 'image', 'are')} in printing colours (CMYK)"),
            cmyk,
            "They are converted to RGB without a colour profile; colours may look odd.",
            "",
        )


def _kind(mode: str) -> str:
    if mode in _DEEP:
        return "grey with more than 8 bits"
    names = {"1": "black and white", "L": "grey", "LA": "grey with transparency", "P": "colour by palette"}
    names |= {"RGB": "colour", "RGBA": "colour with transparency"}
    return names.get(mode, mode)


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
