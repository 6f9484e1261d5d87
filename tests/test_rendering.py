"""Segmentations as pictures and tables on disk: what is in the files, and that they are whole."""

from __future__ import annotations

import csv
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segzoo.builtin import segzoo_outputs
from segzoo.errors import FailureError, OptionError, UsageError
from segzoo.labels import read_mask, to_classes
from segzoo.prediction.outputs import OutputOptions, check_outputs, write_output, write_outputs
from segzoo.prediction.outputs.painting import GAP, outline
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels

BINARY = Labels(classes=("background", "cell"), palette=((0, 0, 0), (255, 0, 0)))
SIZES = [(1, 1), (1, 9), (13, 1), (17, 31)]


def labels_of(count):
    return Labels(classes=tuple(f"class {index}" for index in range(count)))


def segmented(labels=BINARY, size=(17, 31), channels=3, seed=0, **more):
    random = np.random.default_rng(seed)
    mask = random.integers(0, len(labels.classes), size).astype(np.uint8)
    image = random.integers(0, 256, (*size, channels)).astype(np.uint8)
    return Segmentation(mask=mask, labels=labels, image=image, **more)


def blend(result, opacity, line_width=1):
    """The overlay as it has always been: in floats, pixel by pixel."""
    picture = result.image[..., :3] if result.image.shape[2] > 2 else result.image[..., [0, 0, 0]]
    colours = np.array(result.labels.colours, np.float32)[result.mask]
    weight = np.where(result.mask > 0, np.float32(opacity), np.float32(0))
    weight[outline(result.mask, result.labels, line_width)] = 1
    return np.rint(picture * (1 - weight[..., None]) + colours * weight[..., None]).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 16, 17, 256])
def test_the_mask_holds_class_indices_and_the_colours_of_the_classes(tmp_path, count, size):
    result = segmented(labels_of(count), size)
    (path,) = write_outputs(result, tmp_path / "a", ["mask"])
    with Image.open(path) as read:
        assert read.mode == "P"
        assert np.array_equal(np.asarray(read), result.mask)
        assert np.array_equal(np.asarray(read.convert("RGB")), np.asarray(result.colour_image()))


def test_a_mask_of_more_than_256_classes_is_16_bits_wide(tmp_path):
    labels = labels_of(300)
    mask = np.arange(300, dtype=np.uint16).reshape(10, 30)
    result = Segmentation(mask=mask, labels=labels, image=np.zeros((10, 30, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", ["mask"])
    assert np.array_equal(read_mask(path), mask)
    assert np.array_equal(np.asarray(result.index_image()), mask)
    assert result.colour_image().size == (30, 10)


@pytest.mark.parametrize("values", [(), (0, 255), (7, 3), (0, 40_000)])
def test_values_are_those_of_the_training_masks(tmp_path, values):
    result = segmented(replace(BINARY, values=values))
    (path,) = write_outputs(result, tmp_path / "a", ["values"])
    read = read_mask(path)
    assert set(np.unique(read)) == set(values or (0, 1))
    assert np.array_equal(to_classes(read, result.labels, "a"), result.mask)


@pytest.mark.parametrize("size", SIZES)
def test_binary_is_white_where_any_class_but_background_is(tmp_path, size):
    result = segmented(labels_of(3), size)
    (path,) = write_outputs(result, tmp_path / "a", ["binary"])
    with Image.open(path) as read:
        assert read.mode == "1"
        assert np.array_equal(np.asarray(read), result.mask > 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("opacity", [0.0, 0.35, 1.0])
def test_an_overlay_is_the_blend_of_image_and_colours_up_to_a_level(channels, opacity):
    result = segmented(labels_of(5), channels=channels)
    for width in (0, 1, 2):
        drawn = np.asarray(result.overlay(opacity, line_width=width))
        assert np.abs(drawn - blend(result, opacity, width).astype(int)).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_images_of_any_channels_and_size_are_written_as_every_picture(tmp_path, channels):
    for size in SIZES:
        result = segmented(labels_of(3), size, channels)
        names = ("colour", "overlay", "cutout", "contours", "sheet")
        for path in write_outputs(result, tmp_path / f"{size[0]}x{size[1]}", names):
            with Image.open(path) as read:
                wide = 3 * size[1] + 2 * GAP if "sheet" in path.name else size[1]
                assert read.size == (wide, size[0])
                assert read.mode == ("RGBA" if "cutout" in path.name else "RGB")


def test_pictures_on_disk_are_the_pictures_that_a_segmentation_draws(tmp_path):
    result = segmented(labels_of(4))
    drawn = {
        "colour": result.colour_image(),
        "overlay": result.overlay(),
        "cutout": result.cutout(),
        "contours": result.contours(),
        "sheet": result.sheet(),
    }
    for path, picture in zip(write_outputs(result, tmp_path / "a", list(drawn)), drawn.values(), strict=True):
        with Image.open(path) as read:
            assert np.array_equal(np.asarray(read), np.asarray(picture))


def test_a_cutout_is_transparent_or_on_a_colour_where_background_is():
    result = segmented()
    clear, green = np.asarray(result.cutout()), np.asarray(result.cutout((0, 255, 0)))
    where = result.mask > 0
    assert np.array_equal(clear[..., 3] == 255, where)
    assert np.array_equal(clear[where][:, :3], result.image[where])
    assert not clear[~where].any()
    assert np.array_equal(green[where], result.image[where])
    assert (green[~where] == (0, 255, 0)).all()


def test_contours_change_nothing_but_lines_of_the_width_asked_for():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    result = Segmentation(mask=mask, labels=BINARY, image=np.full((40, 40, 3), 100, np.uint8))
    for width in (1, 2, 3):
        drawn = np.asarray(result.contours(width))
        inside = np.zeros_like(mask, bool)
        inside[10 + width : 30 - width, 10 + width : 30 - width] = True
        lines = (mask > 0) & ~inside
        assert np.array_equal((drawn == (255, 0, 0)).all(axis=2), lines)
        assert (drawn[~lines] == 100).all()


def test_the_border_of_the_image_is_no_outline():
    assert not outline(np.ones((5, 5), np.uint8), BINARY, 3).any()


def test_a_sheet_shows_image_colours_and_overlay():
    result = segmented()
    sheet = np.asarray(result.sheet())
    width = result.mask.shape[1]
    assert np.array_equal(sheet[:, :width], result.image)
    assert np.array_equal(sheet[:, width + GAP : 2 * width + GAP], np.asarray(result.colour_image()))
    assert np.array_equal(sheet[:, -width:], np.asarray(result.overlay()))


def test_probabilities_are_an_array_of_halves_and_must_have_been_kept(tmp_path):
    chances = np.random.default_rng(0).random((1, 17, 31), np.float32)
    (path,) = write_outputs(segmented(probabilities=chances), tmp_path / "a", ["probabilities"])
    read = np.load(path)
    assert read.dtype == np.float16
    np.testing.assert_allclose(read, chances, atol=5e-4)
    with pytest.raises(OptionError, match="probabilities=True"):
        write_outputs(segmented(), tmp_path / "b", ["probabilities"])


def test_areas_are_a_table_of_all_classes(tmp_path):
    labels = Labels(classes=("background", "=cell", "absent"))
    mask = np.array([[0, 0, 0, 1]], np.uint8)
    result = Segmentation(mask=mask, labels=labels, image=np.zeros((1, 4, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", ["areas"])
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["background", "0", "3", "0.75", "0"],
        ["'=cell", "1", "1", "0.25", "1"],
        ["absent", "2", "0", "0", "0"],
    ]
    assert result.areas == {"background": 3, "=cell": 1, "absent": 0}


def test_only_the_classes_that_are_wanted_are_written(tmp_path):
    result = segmented(labels_of(4))
    for wanted in (("class 2",), (2,), ("2",)):
        options = OutputOptions(classes=wanted, overwrite=True)
        (path,) = write_outputs(result, tmp_path / "a", ["mask"], options)
        assert np.array_equal(read_mask(path), np.where(result.mask == 2, 2, 0))
    with pytest.raises(OptionError, match="did you mean 'class 1'"):
        write_outputs(result, tmp_path / "b", ["mask"], OutputOptions(classes=("clas 1",)))


def test_a_suffix_names_the_file_and_the_format(tmp_path):
    options = OutputOptions(suffixes={"overlay": "_seen.jpg", "mask": ".png", "cutout": "_cut.JPEG"})
    paths = write_outputs(segmented(), tmp_path / "a.b", ["overlay", "mask", "cutout"], options)
    assert [path.name for path in paths] == ["a.b_seen.jpg", "a.b.png", "a.b_cut.JPEG"]
    assert [Image.open(path).format for path in paths] == ["JPEG", "PNG", "JPEG"]
    path = write_output(segmented(), tmp_path / "mine.webp", "overlay")
    assert Image.open(path).format == "WEBP"


@pytest.mark.parametrize(
    ("names", "suffixes", "told"),
    [
        (["maks"], {}, "did you mean 'mask'"),
        (["mask"], {"maks": ".png"}, "did you mean 'mask'"),
        (["mask"], {"mask": "_mask.jpg"}, r"mask is written as \.png"),
        (["coco"], {"coco": ""}, r"coco is written as \.json"),
        (["mask", "binary"], {"binary": "_MASK.png"}, "mask and binary would both"),
        (["mask"], {"mask": "/../x.png"}, "must not contain a folder"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_any_work(names, suffixes, told):
    with pytest.raises(UsageError, match=told):
        check_outputs(names, OutputOptions(suffixes=suffixes))


@pytest.mark.parametrize(
    "wrong",
    [
        {"opacity": 1.5},
        {"line_width": -1},
        {"connectivity": 6},
        {"coco": "boxes"},
        {"quality": 0},
        {"background": (0, 0, 256)},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError):
        OutputOptions(**wrong)


def test_what_exists_is_replaced_on_request_only(tmp_path):
    kept = tmp_path / "a_overlay.png"
    kept.write_text("mine")
    with pytest.raises(FailureError, match=r"a_overlay\.png exists.*--overwrite"):
        write_outputs(segmented(), tmp_path / "a", ["mask", "overlay"])
    assert kept.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a_overlay.png"]
    write_outputs(segmented(), tmp_path / "a", ["mask", "overlay"], OutputOptions(overwrite=True))
    assert Image.open(kept).format == "PNG"


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    old = tmp_path / "a_overlay.png"
    old.write_text("old")
    resource = pytest.importorskip("resource", reason="Windows limits no files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(FailureError, match=r"cannot write .*a_overlay\.png"):
            write_outputs(
                segmented(size=(64, 64)), tmp_path / "a", ["overlay"], OutputOptions(overwrite=True)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["a_overlay.png"]
    assert old.read_text() == "old"


def test_stopping_while_files_get_their_names_leaves_nothing_half(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.link", stop)
    with pytest.raises(KeyboardInterrupt):
        write_outputs(segmented(), tmp_path / "a", ["mask", "overlay"])
    assert not list(tmp_path.iterdir())


def test_names_as_long_as_a_folder_takes_are_written(tmp_path):
    (path,) = write_outputs(segmented(), tmp_path / ("\u7d30" * 82), ["mask"])
    assert path.exists()


def test_a_name_of_another_format_is_told_whole(tmp_path):
    with pytest.raises(OptionError, match=r"mask is written as \.png or \.tif .*, not as xyz\.jpg"):
        write_output(segmented(), tmp_path / "xyz.jpg", "mask")


def test_a_picture_too_large_for_its_format_says_so(tmp_path):
    result = segmented(size=(1, 70_000))
    with pytest.raises(FailureError, match=r"cannot write .*a\.jpg"):
        write_output(result, tmp_path / "a.jpg", "overlay")
    assert not list(tmp_path.iterdir())


def test_every_output_says_what_it_is():
    assert all(one.summary and one.suffix.endswith(one.formats) for one in segzoo_outputs())


@pytest.mark.medium
def test_rendering_needs_no_torch(python):
    code = "import sys; from segzoo.prediction.outputs import write_outputs; print('torch' in sys.modules)"
    assert python("-c", code).stdout.strip() == "False"
