"""Small folders of images and masks, each with something for the doctor to find."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8] | NDArray[np.uint16] | Image.Image

HEIGHT, WIDTH, COUNT = 24, 32, 12
#: EXIF's tag for how a camera was held, and its word for a quarter turn, and for a mirrored image.
_ORIENTATION, TURNED, MIRRORED = 274, 6, 2


def disc(number: int, value: int = 1) -> NDArray[np.uint8]:
    """Return a disc, different for each number, on 0."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    row, column = 6 + number % 11, 7 + (5 * number) % 17
    return ((rows - row) ** 2 + (columns - column) ** 2 <= 25).astype(np.uint8) * np.uint8(value)


def photo(number: int) -> NDArray[np.uint8]:
    """Return a coloured image with the disc in it."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(20, 120, (5, 5, 3), np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return np.where(disc(number)[..., None] > 0, np.uint8(230), smooth)


def save(path: Path, pixels: Picture, *, turn: int = 1, pages: Sequence[Picture] = ()) -> None:
    """Write an image; optionally with an EXIF rotation, or further pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    exif = Image.Exif()
    exif[_ORIENTATION] = turn
    more = [Image.fromarray(np.asarray(page)) for page in pages]
    if more:
        image.save(path, save_all=True, append_images=more)
    elif turn != 1:
        image.save(path, exif=exif)
    else:
        image.save(path)


def folder(
    root: Path,
    mask: Callable[[int], Picture] = lambda number: disc(number, 255),
    image: Callable[[int], Picture] = photo,
    *,
    images: str = "images/{}.png",
    masks: str = "masks/{}.png",
) -> Path:
    """Write twelve images and masks below ``root``."""
    for number in range(COUNT):
        save(root / images.format(f"img.{number:02}"), image(number))
        save(root / masks.format(f"img.{number:02}"), mask(number))
    return root


def badly_named(root: Path) -> None:
    """Write files without a partner, files with the same name, and files of other kinds."""
    folder(root)
    (root / "masks/img.03.png").unlink()
    (root / "images/img.04.png").unlink()
    save(root / "images/img.05.jpg", photo(5))
    (root / "images/notes.txt").write_text("seen by Ann", encoding="utf-8")


def stacked(root: Path) -> None:
    """A stack of pages with as many of its mask, and one with fewer."""
    folder(root)
    for name, pages in (("whole", 3), ("short", 2)):
        save(root / f"images/{name}.tif", photo(20), pages=[photo(21), photo(22)])
        save(root / f"masks/{name}.tif", disc(20), pages=[disc(21), disc(22)][: pages - 1])


def turned(root: Path) -> None:
    """Images that a camera held upright: a mask drawn before the turn, and one whose size shows nothing."""
    folder(root)
    save(root / "images/img.00.jpg", photo(0), turn=TURNED)
    save(root / "images/img.01.jpg", photo(1), turn=MIRRORED)
    for name in ("img.00", "img.01"):
        (root / f"images/{name}.png").unlink()


def unlike(root: Path) -> None:
    """Masks of another size, a damaged file, several frames, and deep, grey and printed images."""
    folder(root)
    save(root / "masks/img.00.png", Image.fromarray(disc(0, 255)).resize((WIDTH * 2, HEIGHT * 2)))
    (root / "images/img.01.png").write_bytes((root / "images/img.01.png").read_bytes()[:80])
    save(root / "images/img.02.png", photo(2)[..., 0].astype(np.uint16) * np.uint16(16))
    (root / "images/img.03.png").unlink()
    save(root / "images/img.03.jpg", Image.fromarray(photo(3)).convert("CMYK"))
    (root / "images/img.04.png").unlink()
    save(root / "images/img.04.gif", photo(4), pages=[photo(5)])


def doubled(root: Path) -> None:
    """One image in two splits, one twice in a split, one almost the same in another."""
    for split, numbers in (("train", range(8)), ("val", (0, 9, 10))):
        for number in numbers:
            save(root / f"{split}/images/{number}.png", photo(number))
            save(root / f"{split}/masks/{number}.png", disc(number, 255))
    save(root / "train/images/again.png", photo(3))
    save(root / "train/masks/again.png", disc(3, 255))
    save(root / "val/images/near.png", np.minimum(photo(5), 250) + np.uint8(2))
    save(root / "val/masks/near.png", disc(5, 255))


def unbalanced(root: Path) -> None:
    """Four classes: one nowhere, one rare, one in training alone; some masks are empty."""
    for split, numbers in (("train", range(8)), ("val", (8, 9))):
        for number in numbers:
            mask = disc(number, 4) if number % 4 else disc(number, 0)
            if split == "train":
                mask[0, :2] = 2
            if number == 1:
                mask[2, 2] = 1
            save(root / f"{split}/images/{number}.png", photo(number))
            save(root / f"{split}/masks/{number}.png", mask)


def layered(root: Path) -> None:
    """A file for each class of an image."""
    for number in range(COUNT):
        save(root / f"images/{number}.png", photo(number))
        save(root / f"masks/cell/{number}.png", disc(number, 255))
        save(root / f"masks/edge/{number}.png", disc(number + 3, 255) * (disc(number) == 0))


def overlapped(root: Path) -> None:
    """A file for each class of an image, and classes that share pixels."""
    for number in range(COUNT):
        save(root / f"images/{number}.png", photo(number))
        save(root / f"masks/cell/{number}.png", disc(number, 255))
        save(root / f"masks/nucleus/{number}.png", disc(number + 3, 255))


def smooth(number: int) -> NDArray[np.uint8]:
    """Return a mask whose edges were resized smoothly."""
    large = Image.fromarray(disc(number, 255)).resize((4 * WIDTH, 4 * HEIGHT))
    return np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def coloured(number: int) -> NDArray[np.uint8]:
    """Return a mask of three colours."""
    colours = np.array([(0, 0, 0), (255, 0, 0)], np.uint8)[disc(number)]
    colours[:3] = (0, 0, 255)
    return colours


def shuffled(number: int) -> Image.Image:
    """Return a mask whose palette counts the same colours the other way round in every second file."""
    odd = number % 2
    image = Image.fromarray(disc(number) ^ np.uint8(odd))
    image.putpalette([255, 255, 255, 0, 0, 0] if odd else [0, 0, 0, 255, 255, 255])
    return image


def noise(number: int) -> NDArray[np.uint8]:
    """Return a mask of as many colours as pixels, the same with every version of Pillow."""
    places = np.arange(HEIGHT * WIDTH, dtype=np.uint32).reshape(HEIGHT, WIDTH) + np.uint32(number)
    return np.stack([places % 251, places * 7 % 241, places * 13 % 239], axis=-1).astype(np.uint8)


def counted(number: int, *, least: int = 6) -> NDArray[np.uint16]:
    """Return a mask in which every object has a number of its own, and one number is gone."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    places = np.random.default_rng(number).permutation(HEIGHT * WIDTH // 16)
    for value, place in enumerate(places[: least + 2 * number], start=1):
        row, column = divmod(int(place) * 4, WIDTH)
        mask[row * 4 : row * 4 + 3, column : column + 3] = value * (value != 4)
    return mask


def filled(number: int) -> NDArray[np.uint16]:
    """Return a mask in which each pixel belongs to an object."""
    numbers = np.random.default_rng(number).permutation(HEIGHT * WIDTH // 16) + 1
    return np.kron(numbers.reshape(HEIGHT // 4, -1), np.ones((4, 4), int)).astype(np.uint16)


def one_of_each(number: int) -> NDArray[np.uint8]:
    """Return a mask of five classes, each of which occurs once."""
    mask = counted(number)
    return np.where(mask <= 6, mask, 0).astype(np.uint8)


def half_counted(root: Path) -> None:
    """Write images full of objects, a few of which have a number."""
    every = [counted(number, least=24) for number in range(COUNT)]
    some = [np.where(mask <= 4 + 2 * (number % 5), mask, 0) for number, mask in enumerate(every)]
    folder(root, some.__getitem__, lambda number: (40 + 160 * (every[number] > 0)).astype(np.uint8))


def with_void(number: int) -> NDArray[np.uint8]:
    """Return a mask of three classes, with a strip that nobody could name."""
    mask = disc(number)
    mask[:2], mask[-3:, :5] = 255, 2
    return mask


def streets(number: int) -> NDArray[np.uint8]:
    """Return a mask with the values 0 to 11, as CamVid's are."""
    return np.repeat(np.arange(HEIGHT) // 2, WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8) + disc(number, 0)


def odd_one(number: int) -> Picture:
    """Return masks of which the last is a photograph."""
    return photo(number) if number == COUNT - 1 else disc(number, 255)


def banded(root: Path) -> None:
    """Write images of four bands."""
    for number in range(COUNT):
        save(root / f"masks/{number}.png", disc(number, 255))
        (root / "images").mkdir(exist_ok=True)
        np.save(root / f"images/{number}.npy", np.dstack([photo(number), disc(number, 255)]))


def transparent(number: int) -> NDArray[np.uint8]:
    """Return an image of colours and opacity."""
    return np.dstack([photo(number), disc(number, 255)])


def signed(root: Path) -> None:
    """Write images of values below 0, as CT has them."""
    folder(
        root, images="images/{}.tif", image=lambda n: Image.fromarray(photo(n)[..., 0] * np.float32(7) - 900)
    )


def partly_measured(number: int) -> Image.Image:
    """Return an image from 0 to 1 in which some pixels are no numbers."""
    pixels = photo(number)[..., 0] / np.float32(255)
    pixels[:2] = np.nan
    return Image.fromarray(pixels)


def two_sets(root: Path) -> None:
    """Write images with two folders of masks, of which neither is called as masks are."""
    folder(root, masks="1st_manual/{}.png")
    for number in range(COUNT):
        save(root / "mask" / f"img.{number:02}.png", 255 - disc(number, 255))


def pieces(root: Path, *, wholes: int) -> None:
    """Write images that are slices of so many wholes by their names."""
    for number in range(COUNT):
        name = f"{'abcd'[number % wholes]}_slice_{number:03}.png"
        save(root / "images" / name, photo(number))
        save(root / "masks" / name, disc(number, 255))


def listed(root: Path) -> None:
    """Write a list of pairs of which one file is gone."""
    folder(root)
    rows = [f"images/img.{number:02}.png,masks/img.{number:02}.png" for number in range(COUNT)]
    (root / "pairs.csv").write_text("\n".join(["image,mask", *rows, "images/gone.png,masks/gone.png"]))


def in_parts(root: Path) -> None:
    """Write a training part, and a test part without masks."""
    for number in range(COUNT):
        save(root / "train/images" / f"{number:02}.png", photo(number))
        save(root / "train/masks" / f"{number:02}.png", disc(number, 255))
    save(root / "test/images/20.png", photo(20))


def beside(root: Path) -> None:
    """Write images and masks in one folder, and a picture of both."""
    folder(root, images="{}.png", masks="{}_mask.png")
    save(root / "img.00_overlay.png", photo(0))


def in_lists(root: Path) -> None:
    """Write lists of parts that leave an image out."""
    folder(root)
    for part, numbers in (("train", range(8)), ("val", range(8, COUNT - 1))):
        (root / f"{part}.txt").write_text("".join(f"img.{number:02}\n" for number in numbers))


def annotated(root: Path, *, gone: bool = False, masks: bool = False) -> None:
    """Write COCO annotations, optionally with a missing image, or together with a folder of masks."""
    square = [8, 8, 20, 8, 20, 20, 8, 20]
    numbers = range(COUNT)
    notes = {
        "images": [
            {"id": n, "file_name": f"{n:02}.png", "height": HEIGHT, "width": WIDTH}
            for n in [*numbers, *([COUNT] if gone else [])]
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": [square], "iscrowd": 0}
            | {"area": 144, "bbox": [8, 8, 12, 12]}
            for n in numbers
        ],
        "categories": [{"id": 1, "name": "bolt"}],
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "annotations.json").write_text(json.dumps(notes))
    for n in numbers:
        save(root / "images" / f"{n:02}.png", photo(n))
        if masks:
            save(root / "masks" / f"{n:02}.png", disc(n, 255))


def strange(root: Path) -> None:
    """Write an image of one colour, and one far brighter than the others."""
    folder(root)
    for name, pixels in (("black", photo(0) * 0), ("white", np.uint8(235) + photo(1) // 16)):
        save(root / "images" / f"{name}.png", pixels)
        save(root / "masks" / f"{name}.png", disc(0, 255))
