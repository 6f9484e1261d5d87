"""Outputs of large images, written by rows, are those of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.builtin import segzoo_outputs
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo.prediction.outputs import OutputOptions, output_files, write_outputs
from segzoo.prediction.outputs.writing import OutputFiles, check_by_rows, output_path
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.tiling import ArrayRows
from segzoo.specs import Labels

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

HEIGHT, WIDTH = 150, 70
LABELS = Labels(
    classes=("background", "cat", "dog"),
    palette=((0, 0, 0), (200, 10, 30), (20, 90, 255)),
    values=(0, 9, 300),
)
BY_ROWS = tuple(one.name for one in segzoo_outputs() if one.by_rows)


def found() -> Segmentation:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 3, (HEIGHT // 10, WIDTH // 10), np.uint8)
    mask = coarse.repeat(10, axis=0).repeat(10, axis=1)
    image = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    chances = random.random((3, HEIGHT, WIDTH), np.float32)
    return Segmentation(mask=mask, labels=LABELS, image=image, probabilities=chances)


def paths(folder: Path, names: tuple[str, ...], options: OutputOptions | None = None) -> dict[str, Path]:
    return {name: output_path(folder / "x", name, options or OutputOptions()) for name in names}


def outputs(
    folder: Path, names: tuple[str, ...], options: OutputOptions
) -> AbstractContextManager[OutputFiles]:
    size, rows = (HEIGHT, WIDTH), ArrayRows(found().image)
    return output_files(paths(folder, names, options), LABELS, size, options=options, image=lambda: rows)


def fill(sink: OutputFiles, segmentation: Segmentation) -> None:
    assert segmentation.probabilities is not None
    for top, bottom in ((0, 1), (1, 3), (3, 70), (70, 71), (71, 150)):
        sink.write(segmentation.mask[top:bottom])
        if sink.probabilities is not None:
            sink.probabilities.write(segmentation.probabilities[:, top:bottom].astype(np.float16))


@pytest.mark.parametrize(
    "options",
    [
        OutputOptions(),
        OutputOptions(line_width=3, opacity=0.8, classes=("dog",), background=(1, 2, 3)),
        OutputOptions(line_width=0),
        OutputOptions(suffixes={"mask": ".tif", "values": "_values.tiff"}),
        OutputOptions(suffixes={"mask": ".npy", "values": "_values.npy"}),
    ],
    ids=["plain", "chosen", "no-lines", "tiff", "npy"],
)
def test_every_output_by_rows_is_that_of_the_whole_image(options: OutputOptions, tmp_path: Path) -> None:
    whole, names = found(), BY_ROWS
    expected = write_outputs(whole, tmp_path / "whole" / "x", names, options)
    with outputs(tmp_path / "rows", names, options) as sink:
        fill(sink, whole)
    for name, path in zip(names, expected, strict=True):
        written = tmp_path / "rows" / path.name
        if path.suffix == ".csv":
            assert written.read_bytes() == path.read_bytes()
        elif path.suffix == ".npy":
            assert np.array_equal(np.load(written), np.load(path))
        else:
            with Image.open(written) as image, Image.open(path) as other:
                assert image.mode == other.mode
                assert np.array_equal(np.asarray(image), np.asarray(other)), name
    assert sink.shares == pytest.approx(whole.shares)


@pytest.mark.parametrize("name", ["coco", "geojson"])
def test_what_takes_the_whole_mask_is_refused_and_the_text_names_what_does_not(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=rf"too large for {name}.*are written by rows: mask \(\.png \.tif"):
        check_by_rows(paths(tmp_path, ("mask", name)))


def test_a_picture_in_a_format_that_is_not_written_by_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"overlay as \.jpg"):
        check_by_rows({"overlay": tmp_path / "x.jpg"})


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_ends_early_leaves_no_output(error: type[BaseException], tmp_path: Path) -> None:
    def end_early() -> None:
        with outputs(tmp_path, BY_ROWS, OutputOptions()) as sink:
            sink.write(found().mask[:70])
            raise error

    with pytest.raises(error):
        end_early()
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_keeps_all_from_being_written(tmp_path: Path) -> None:
    for name in ("x_areas.csv", "x_probabilities.npy"):
        (tmp_path / name).write_text("old")
        refused = pytest.raises(FailureError, match="exists")
        with refused, outputs(tmp_path, ("mask", "areas", "probabilities"), OutputOptions()):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


@pytest.mark.slow
def test_a_format_may_follow_a_colon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    weights = segzoo.save(segzoo.create("unet", num_classes=3, width=2, depth=2), tmp_path / "weights")
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", random.integers(0, 256, (400, 300, 3), np.uint8))
    words = ["predict", str(tmp_path / "a.npy"), "-m", str(weights), "--device", "cpu"]
    for memory in ("4GB", "24MB"):  # whole, and by rows
        more = ["--memory", memory, "--out", str(tmp_path / memory), "--outputs"]
        for outputs in ("mask", "mask:tif,values:npy", "mask:npy"):
            assert run([*words, *more, outputs]) == 0
        mask = np.asarray(Image.open(tmp_path / memory / "a_mask.png"))
        tiff = Image.open(tmp_path / memory / "a_mask.tif")
        assert tiff.mode == "P"
        assert np.array_equal(np.asarray(tiff), mask)
        for name in ("a_mask.npy", "a_values.npy"):
            assert np.array_equal(np.load(tmp_path / memory / name), mask)
    assert run([*words, "--outputs", "mask:jpg"]) == 2
    assert "mask is written as .png or .tif or .tiff or .npy" in capsys.readouterr().err


def test_an_image_with_five_channels_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    weights = segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), tmp_path / "weights")
    np.save(tmp_path / "five.npy", np.zeros((300, 300, 5), np.uint8))
    words = ["predict", str(tmp_path / "five.npy"), "-m", str(weights), "--out", str(tmp_path / "masks")]
    for memory in ("4GB", "19MB"):  # whole, and by tiles
        assert run([*words, "--memory", memory]) == 1
        told = capsys.readouterr().err
        assert "five.npy: " in told
        assert "but the network takes 3 (red, green, blue): choose with --bands 1,2,3" in told
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["manifest.jsonl"]
