"""What the doctor says of pictures is true: of twins, of images unlike the rest, of rounded masks."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from doctor_data import disc, folder, picture, save
from PIL import Image, ImageEnhance

from segzoo import cli
from segzoo.build import open_dataset
from segzoo.data_check import Finding, Report, check_data
from segzoo.data_check.twins import SIDE, alike, near_copies
from segzoo.interfaces import Remark

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(os.environ.get("SEGZOO_DATA", "no-such-folder"))
needs_data = pytest.mark.skipif(
    "SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA names no folder of datasets"
)


def finding(report: Report, kind: str) -> Finding | None:
    return next((found for found in report.findings if found.kind == kind), None)


def small(image: Image.Image, side: int) -> np.ndarray:
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))


def twins_among(images: list[Image.Image]) -> list[tuple[int, int]]:
    likely = near_copies([small(image, 32) for image in images])
    return [(a, b) for a, b in likely if alike(small(images[a], SIDE), small(images[b], SIDE))]


def eyes() -> list[Image.Image]:
    return [Image.open(path) for path in sorted((DATA / "chase_db1").glob("*.jpg"))]


def slices() -> list[Image.Image]:
    found, volume = [], Image.open(DATA / "isbi2012/train-volume.tif")
    for number in range(30):
        volume.seek(number)
        found.append(volume.copy())
    return found


def nuclei() -> list[Image.Image]:
    with zipfile.ZipFile(DATA / "dsb2018/stage1_train.zip") as archive:
        names = [name for name in archive.namelist() if "/images/" in name and name.endswith(".png")]
        return [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names[::6]]


def changed(image: Image.Image) -> list[Image.Image]:
    """The same image as other programs save it."""
    image, buffer = image.convert("RGB"), io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return [Image.open(buffer), half, ImageEnhance.Brightness(image).enhance(1.2)]


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("images", [eyes, slices, nuclei])
def test_different_images_of_one_instrument_are_no_twins_and_resaved_ones_are(
    images: Callable[[], list[Image.Image]],
) -> None:
    real = images()
    assert twins_among(real) == []
    structured = [image for image in real[:: max(len(real) // 5, 1)] if small(image, 32).std() > 6]
    assert len(structured) >= 3
    for image in structured:
        for again in changed(image):
            assert twins_among([image, again]) == [(0, 1)]


@pytest.mark.parametrize("level", [0, 255])
def test_small_photographs_in_a_large_frame_are_no_twins(level: int) -> None:
    def framed(number: int) -> Image.Image:
        pixels = np.full((256, 256), level, np.uint8)
        coarse = np.random.default_rng(number).integers(20, 230, (16, 16)).astype(np.uint8)
        pixels[90:166, 90:166] = np.asarray(Image.fromarray(coarse).resize((76, 76)))
        return Image.fromarray(pixels)

    images = [framed(number) for number in range(8)]
    assert twins_among(images) == []
    assert twins_among([*images, images[3].resize((200, 200))]) == [(3, 8)]


@pytest.mark.medium
def test_photographs_in_a_black_frame_are_no_twins_by_their_frame(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:200, :200]
    view = (rows - 100) ** 2 + (columns - 100) ** 2 < 90**2

    def eye(number: int) -> np.ndarray:
        random = np.random.default_rng(number)
        shade = 150 - 0.4 * np.hypot(rows - 90, columns - 120)  # the lighting is that of the instrument
        for _ in range(8):
            angle, shift = random.uniform(0, np.pi), random.uniform(-70, 70)
            line = np.abs((columns - 100) * np.sin(angle) - (rows - 100) * np.cos(angle) - shift) < 2
            shade = shade - 40 * line
        return np.dstack([(view * shade).clip(0, 255).astype(np.uint8)] * 3)

    for part, numbers in (("train", range(8)), ("val", range(8, 12))):
        for number in numbers:
            save(tmp_path / part / "images" / f"{number:02}.png", eye(number))
            save(tmp_path / part / "masks" / f"{number:02}.png", view.astype(np.uint8))
    assert finding(check_data(tmp_path), "near-copies-across-splits") is None
    save(tmp_path / "val/images/twin.jpg", eye(3), quality=60)
    save(tmp_path / "val/masks/twin.png", view.astype(np.uint8))
    near = finding(check_data(tmp_path), "near-copies-across-splits")
    assert near is not None
    assert near.examples == ("train/images/03.png (train) = val/images/twin.jpg (val)",)


def test_images_unlike_the_rest_are_named_with_the_reason(tmp_path: Path) -> None:
    folder(tmp_path)
    rest = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3) % 5
    for name, pixels in {
        "closed": np.zeros((24, 32, 3), np.uint8),
        "dark": rest,
        "bright": 250 + rest,
        "grey": np.repeat(picture(3)[..., :1], 3, axis=2),
    }.items():
        save(tmp_path / "images" / f"{name}.png", pixels)
        save(tmp_path / "masks" / f"{name}.png", disc(0) * np.uint8(255))
    report = check_data(tmp_path)
    uniform, unlike = finding(report, "uniform"), finding(report, "outliers")
    assert uniform is not None
    assert uniform.examples == ("images/closed.png",)
    assert unlike is not None
    told = dict(example.split(": ", 1) for example in unlike.examples)
    assert told["images/bright.png"].startswith("far brighter")
    assert told["images/dark.png"].startswith("far darker")
    assert "usual" in told["images/dark.png"]


def test_two_kinds_of_images_in_numbers_are_no_outliers(tmp_path: Path) -> None:
    folder(tmp_path)
    for number in range(6):
        save(tmp_path / "images" / f"light{number}.png", 255 - picture(number) // 4)
        save(tmp_path / "masks" / f"light{number}.png", disc(number) * np.uint8(255))
    assert finding(check_data(tmp_path), "outliers") is None


def rounded(number: int) -> np.ndarray:
    mask = disc(number) * np.uint8(255)
    mask[6 + number % 11, 7 + (5 * number) % 17] = 254
    return mask


def darker_in_every_other(number: int) -> np.ndarray:
    return disc(number) * np.uint8(254 + number % 2)


@pytest.mark.parametrize("mask", [rounded, darker_in_every_other])
def test_masks_of_0_254_and_255_are_called_rounded_and_repaired(
    tmp_path: Path, mask: Callable[[int], np.ndarray]
) -> None:
    report = check_data(folder(tmp_path / "data", mask), fix=tmp_path / "copy")
    smeared = finding(report, "smeared")
    assert smeared is not None
    assert "0 and 255, but also 254" in smeared.what
    assert report.statistics.classes == ("background", "foreground")
    assert report.repaired is not None
    assert report.repaired.ok
    share = np.mean([disc(number) for number in range(12)])
    np.testing.assert_allclose(report.repaired.statistics.shares["all"][1], share)


def test_void_beside_a_class_of_254_stays_a_value_of_its_own(tmp_path: Path) -> None:
    def mask(number: int) -> np.ndarray:
        values = disc(number) * np.uint8(254)
        values[:8] = 255
        return values

    assert finding(check_data(folder(tmp_path, mask)), "smeared") is None


def test_more_examples_are_counted_and_never_below_zero() -> None:
    examples = tuple(f"{number}.png" for number in range(9))
    for count in (0, 3, 9, 40):
        found = Finding(kind="x", severity="note", what="x", advice="x", count=count, examples=examples)
        text = str(Report(data="x", pairs={}, findings=(found,)))
        assert f"and {max(count, 9) - 4} more" in text


def test_what_a_data_set_says_of_its_files_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remark = Remark(
        kind="no-area", severity="warning", what="2 shapes have no area", count=2, examples=("a", "b")
    )

    def opened(*arguments: Any, **options: Any) -> Any:
        dataset: Any = open_dataset(*arguments, **options)
        dataset.remarks = (remark,)
        return dataset

    monkeypatch.setattr("segzoo.data_check.source.open_dataset", opened)
    for number in range(12):
        save(tmp_path / f"n{number}/images/n{number}.png", picture(number))
        save(tmp_path / f"n{number}/masks/one.png", disc(number) * np.uint8(255))
    report = check_data("dsb2018", root=tmp_path)
    found = finding(report, "no-area")
    assert found is not None
    assert (found.what, found.examples) == ("2 shapes have no area", ("a", "b"))
    assert report.to_json()["remarks"][0]["kind"] == "no-area"


def test_ctrl_c_ends_a_check_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen: list[int] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        seen.append(len(seen))
        raise KeyboardInterrupt

    monkeypatch.setattr("segzoo.data_check.survey.look_at_mask", interrupted)
    names = tuple(f"n{number:03}" for number in range(60))
    assert cli.run(["data", "check", str(folder(tmp_path, names=names))]) == 130
    assert capsys.readouterr() == ("", "\ninterrupted\n")
    assert len(seen) < len(names)


def test_samples_are_looked_at_in_threads_and_come_in_their_order(tmp_path: Path) -> None:
    from segzoo.data_check.survey import look_at_samples, workers

    parts = {"all": open_dataset("folder", root=folder(tmp_path), split="all")}
    assert workers(parts) == min(os.cpu_count() or 1, 8)
    looks = look_at_samples(parts, sample=3, progress=False)
    assert [look.name for look in looks] == parts["all"].names  # type: ignore[attr-defined]
    assert workers({"own": Strange()}) == 1  # type: ignore[dict-item]


class Strange:
    """A dataset of which nobody knows whether several threads may ask it."""


def test_parts_stand_in_the_order_of_their_use(tmp_path: Path) -> None:
    for part in ("test", "val", "train"):
        for number in range(2):
            save(tmp_path / part / "images" / f"{part}{number}.png", picture(number))
            save(tmp_path / part / "masks" / f"{part}{number}.png", disc(number))
    assert list(check_data(tmp_path).statistics.shares) == ["all", "train", "val", "test"]


def test_one_image_is_not_images(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(0))
    save(tmp_path / "masks" / "a.png", disc(0))
    assert "\n1 image with its mask (train 1)" in str(check_data(tmp_path))
