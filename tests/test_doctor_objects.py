"""The doctor tells masks that number objects from masks of classes, by evidence rather than by gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from doctor_data import save
from PIL import Image

from segzoo.build import open_dataset
from segzoo.data_check import check_data
from segzoo.data_check.facts import look_at_mask
from segzoo.data_check.meaning import interpret
from segzoo.data_check.preview import preview
from segzoo.specs.pictures import DEFAULT_PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    Masks = Sequence[NDArray[np.int64]]

SIDE = 96
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def blob(random: Generator, low: float = 3, high: float = 8) -> NDArray[np.bool_]:
    row, column = random.uniform(0, SIDE, 2)
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 < random.uniform(low, high) ** 2


def cells(random: Generator, count: int) -> NDArray[np.int64]:
    """A map of touching regions, numbered from 1 at random."""
    places = random.uniform(0, SIDE, (count, 2))
    distance = (ROWS[..., None] - places[:, 0]) ** 2 + (COLUMNS[..., None] - places[:, 1]) ** 2
    return distance.argmin(axis=2) + 1


def thinned(mask: NDArray[np.int64], random: Generator, gone: float) -> NDArray[np.int64]:
    kept = random.random(mask.max(initial=0) + 1) >= gone
    return np.where(kept[mask], mask, 0)


# Numbered objects


def few(random: Generator, files: int) -> Masks:
    found = []
    for _ in range(files):
        mask = np.zeros((SIDE, SIDE), np.int64)
        for number in range(1, random.integers(4, 22)):
            mask[blob(random) & (mask == 0)] = number
        found.append(thinned(mask, random, 0.05))
    return found


def many(random: Generator, files: int) -> Masks:
    return [thinned(cells(random, random.integers(40, 140)), random, 0.3) for _ in range(files)]


def cropped(random: Generator, files: int) -> Masks:
    """Pieces of one large image, whose numbers run row by row."""
    large = np.zeros((4 * SIDE, 4 * SIDE), np.int64)
    for number, place in enumerate(sorted(random.choice(64 * 64, 1800, replace=False)), start=1):
        row, column = divmod(int(place) * 6, 64 * 6)
        large[6 * row // 6 * 6 : 6 * row // 6 * 6 + 5, column : column + 5] = number
    corners = random.integers(0, 3 * SIDE, (files, 2))
    return [large[row : row + SIDE, column : column + SIDE] for row, column in corners]


def outlined(random: Generator, files: int) -> Masks:
    """As Pascal's: a few objects, and 255 where nobody decided."""
    found = []
    for _ in range(max(files, 10)):
        mask = np.zeros((SIDE, SIDE), np.int64)
        for number in range(1, random.integers(2, 10)):
            disc = blob(random, 8, 14)
            mask[disc] = number
        edge = (mask[1:] != mask[:-1])[:, 1:] | (mask[:, 1:] != mask[:, :-1])[1:]
        mask[1:, 1:][edge] = 255
        found.append(mask)
    return found


# Classes


def scenes(random: Generator, files: int) -> Masks:
    """Nineteen classes, each in many pieces."""
    return [random.integers(0, 19, 60)[cells(random, 60) - 1] for _ in range(files)]


def long_list(random: Generator, files: int) -> Masks:
    """A few of 150 classes, common ones first, each in one to three pieces."""
    share = 1 / np.arange(1, 151) ** 0.8
    found = []
    for _ in range(files):
        here = random.choice(150, 10, replace=False, p=share / share.sum()) + 1
        regions = random.permutation(np.append(here, random.choice(here, 14)))
        found.append(regions[cells(random, 24) - 1])
    return found


def one_each(random: Generator, files: int) -> Masks:
    """Eight classes that come and go, each as one blob at any place."""
    found = []
    for _ in range(files):
        mask = np.zeros((SIDE, SIDE), np.int64)
        for value in range(1, 9):
            if random.random() < 0.6:
                mask[blob(random)] = value
        found.append(mask)
    return found


def anatomy(random: Generator, files: int) -> Masks:
    """Twenty organs, each at its place in nearly every image."""
    places, sizes = random.uniform(8, SIDE - 8, (20, 2)), random.uniform(3, 9, 20)
    found = []
    for _ in range(files):
        mask = np.zeros((SIDE, SIDE), np.int64)
        for value, ((row, column), size) in enumerate(zip(places, sizes, strict=True), start=1):
            if random.random() < 0.95:
                away = random.normal(0, 1.5, 2)
                mask[(ROWS - row - away[0]) ** 2 + (COLUMNS - column - away[1]) ** 2 < size**2] = value
        found.append(mask)
    return found


def single(random: Generator, files: int) -> Masks:
    return [blob(random).astype(np.int64) for _ in range(files)]


def distances(random: Generator, files: int) -> Masks:
    """Rings around one point: each value in one piece, and as many as the picture is deep."""
    found = []
    for _ in range(files):
        row, column = random.uniform(20, SIDE - 20, 2)
        far = np.hypot(ROWS - row, COLUMNS - column)
        found.append(np.clip(random.integers(20, 40) - far, 0, None).astype(np.int64))
    return found


def photographs(random: Generator, files: int) -> Masks:
    """Pictures of 16 bits, in which nearly every pixel has a shade of its own."""
    return [random.integers(0, 60_000, (SIDE, SIDE)) for _ in range(files)]


def meaning(folder: Path, masks: Masks) -> str:
    kind = np.uint8 if max(int(mask.max()) for mask in masks) < 256 else np.uint16
    paths = [save(folder / f"{number}.png", mask.astype(kind)) for number, mask in enumerate(masks)]
    return interpret([look_at_mask(path) for path in paths]).kind


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [few, many, cropped, outlined])
def test_numbers_of_objects_are_recognised_with_gaps_and_in_crops(
    tmp_path: Path, kind: Callable[[Generator, int], Masks], seed: int
) -> None:
    assert meaning(tmp_path, kind(np.random.default_rng(seed), (4, 8, 12, 20)[seed])) == "instances"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [scenes, long_list, one_each, anatomy, single, distances, photographs])
def test_classes_are_not_taken_for_objects(
    tmp_path: Path, kind: Callable[[Generator, int], Masks], seed: int
) -> None:
    assert meaning(tmp_path, kind(np.random.default_rng(seed), (4, 8, 12, 20)[seed])) != "instances"


def written(root: Path, masks: Masks, image: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> Path:
    for number, mask in enumerate(masks):
        noise = np.random.default_rng(number).integers(0, 60, mask.shape)
        save(root / "images" / f"{number:02}.png", (noise + 150 * image(mask)).astype(np.uint8))
        save(root / "masks" / f"{number:02}.png", mask.astype(np.uint16))
    return root


def test_numbers_drawn_at_random_from_32_bits_are_recognised_where_there_are_many(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, mask in enumerate(many(random, 6)):
        drawn = np.append(0, random.integers(1, 2**31, mask.max()))
        np.save(tmp_path / f"{number}.npy", drawn[mask])
    facts = [look_at_mask(path) for path in tmp_path.iterdir()]
    assert interpret(facts).kind == "instances"


@pytest.mark.medium
def test_objects_may_have_a_colour_each(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, mask in enumerate(many(random, 12)):
        colours = np.vstack([np.zeros(3), random.integers(1, 256, (mask.max(), 3))]).astype(np.uint8)
        save(tmp_path / f"data/images/{number}.png", (mask > 0).astype(np.uint8) * 200)
        save(tmp_path / f"data/masks/{number}.png", colours[mask])
    report = check_data(tmp_path / "data", fix=tmp_path / "fixed")
    assert "data.instances=true" in report.command
    assert report.repaired is not None
    assert "data.instances=true" in report.repaired.command
    before, after = (
        open_dataset(str(tmp_path / one), split="all" if one == "data" else "val", instances=True)
        for one in ("data", "fixed")
    )
    sample = after[0]
    same = before[before.names.index(sample.name.rpartition("/")[2])]
    np.testing.assert_array_equal(sample.instances, same.instances)


def test_objects_are_counted_by_split_and_the_command_says_how_to_train(tmp_path: Path) -> None:
    masks = few(np.random.default_rng(0), 12)
    report = check_data(written(tmp_path, masks, lambda mask: mask > 0))
    counts = [len(np.unique(mask[mask > 0])) for mask in masks]
    numbers = report.statistics.objects
    assert numbers["all"] == sum(counts)
    assert sum(count for split, count in numbers.items() if split != "all") == sum(counts)
    assert report.ok
    assert "data.instances=true" in report.command
    assert f"{sum(counts)} objects in 12 masks, {min(counts)} to {max(counts)} each" in str(report)
    assert {finding.kind for finding in report.findings} & {"unfinished", "filled", "pieces"} == set()


def test_objects_without_a_number_are_told_where_they_look_like_the_others(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    every = [thinned(cells(random, 90), random, 0.6) for _ in range(8)]
    some = [np.where(mask <= 10 + 3 * number, mask, 0) for number, mask in enumerate(every)]
    shown = iter(every)
    report = check_data(written(tmp_path, some, lambda _: next(shown) > 0))
    found = next(finding for finding in report.findings if finding.kind == "unfinished")
    assert found.severity == "warning"
    assert '"0":"ignore"' in found.advice


@pytest.mark.slow
def test_a_preview_tells_objects_that_touch_apart_by_colour(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = written(tmp_path / "data", [cells(random, 60) for _ in range(6)], lambda mask: mask > 0)
    sheet = np.asarray(Image.open(preview(str(data), out=tmp_path / "sheet.png")).convert("RGB"))
    shown = set(map(tuple, np.unique(sheet.reshape(-1, 3), axis=0).tolist()))
    assert shown >= set(DEFAULT_PALETTE[1:8])
