"""What files hold reaches everybody as it is: type, bands and pages, by one reader for images and masks."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from segzoo import zoo
from segzoo.datasets import Pair, Pairs
from segzoo.errors import ImageError, MissingExtraError, PluginError
from segzoo.images import open_image, read, read_with_info
from segzoo.images.reading import turned
from segzoo.interfaces import GeoReference, ImageInfo
from segzoo.labels import read_mask
from segzoo.prediction.tiling import open_rows
from segzoo.specs import Labels, ReaderSpec
from segzoo.testing import isolated_zoo

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(0)
#: First row and column, and the steps, of each pass of an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
TWO = Labels(classes=("background", "object"))
KINDS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
]
LAYOUTS = [{}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}, {"rowsperstrip": 5}]


def values(kind: str, *shape: int) -> np.ndarray:
    """Return an image of a type, with its least and largest values."""
    if kind == "bool":
        return RANDOM.integers(0, 2, shape).astype(bool)
    if kind.startswith("float"):
        return RANDOM.normal(0, 100, shape).astype(kind)
    limits = np.iinfo(kind)
    found = RANDOM.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)
    found.flat[:2] = limits.min, limits.max
    return found


def png(path: Path, pixels: np.ndarray, colour: int, *, interlaced: bool) -> None:
    """Write a PNG of 16 bits, with a filter of another kind in each row."""

    def filtered(part: np.ndarray) -> bytes:
        raw = part.astype(">u2").reshape(len(part), -1).view(np.uint8).astype(int)
        step, rows = 2 * part.shape[2], []
        above = np.zeros(raw.shape[1], int)
        for number, row in enumerate(raw):
            left, corner = (np.concatenate([np.zeros(step, int), one[:-step]]) for one in (row, above))
            guess = left + above - corner
            off = [abs(guess - one) for one in (left, above, corner)]
            paeth = np.where(off[1] <= off[2], above, corner)
            paeth = np.where((off[0] <= off[1]) & (off[0] <= off[2]), left, paeth)
            kind = number % 5
            coded = row - (0, left, above, (left + above) // 2, paeth)[kind]
            rows.append(bytes([kind]) + (coded % 256).astype(np.uint8).tobytes())
            above = row
        return b"".join(rows)

    parts = [pixels]
    if interlaced:
        parts = [pixels[top::down, left::across] for top, left, down, across in ADAM7]
    data = b"".join(filtered(part) for part in parts if part.size)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, interlaced)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_and_tiffs_keep_their_type_and_all_bands(tmp_path, kind, bands):
    pixels = values(kind, 21, 17, bands)
    np.save(tmp_path / "a.npy", pixels)
    options = {"photometric": "minisblack", **({"planarconfig": "contig"} if bands > 1 else {})}
    tifffile.imwrite(tmp_path / "a.tif", pixels if bands > 1 else pixels[..., 0], **options)
    for name in ("a.npy", "a.tif") if kind != "bool" or bands == 1 else ("a.npy",):
        got, info = read_with_info(tmp_path / name)
        assert got.dtype == kind
        assert np.array_equal(got, pixels), name
        assert (info.dtype, len(info.bands), info.alpha, info.pages) == (kind, bands, None, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_planes_tiles_and_strips_are_read_whole_and_by_rows(tmp_path, kind, planar, layout):
    pixels = values(kind, 40, 37, 4)
    stored = pixels if planar == "contig" else pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, **layout)
    with open_image(tmp_path / "a.tif") as image:
        assert np.array_equal(image.read(), pixels)
        assert image.resident(0) is not None
        assert np.array_equal(np.concatenate([image.rows(0, 0, 17), image.rows(0, 17, 40)]), pixels)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bands"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_16_bits_in_a_png_keep_all_of_them(tmp_path, colour, bands, interlaced):
    pixels = values("uint16", 21, 19, bands)
    png(tmp_path / "a.png", pixels, colour, interlaced=interlaced)
    with open_image(tmp_path / "a.png") as image:
        assert np.array_equal(image.read(), pixels)
        assert image.info.alpha == (None if bands == 3 else bands - 1)
        if not interlaced:
            assert np.array_equal(image.rows(0, 5, 9), pixels[5:9])
            assert np.array_equal(image.rows(0, 0, 21), pixels)


def test_channels_of_a_hyperstack_are_bands_and_depth_and_time_are_pages(tmp_path):
    stack = values("uint16", 2, 3, 4, 20, 22)  # time, depth, channels
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    names = {"axes": "TZCYX", "Channel": {"Name": list("RGNI")}}
    tifffile.imwrite(tmp_path / "b.ome.tif", stack, metadata=names)
    moved = stack.transpose(0, 2, 1, 3, 4)
    tifffile.imwrite(tmp_path / "c.tif", moved, photometric="minisblack", metadata={"axes": "TCZYX"})
    for name in ("a.tif", "b.ome.tif", "c.tif"):
        with open_image(tmp_path / name) as image:
            assert (image.info.pages, len(image.info.bands), image.info.page_axis) == (6, 4, "time and z")
            for page in range(6):
                assert np.array_equal(image.read(page), stack[page // 3, page % 3].transpose(1, 2, 0)), name
                assert np.array_equal(image.rows(page, 3, 7), image.read(page)[3:7])
    assert read_with_info(tmp_path / "b.ome.tif", page=0)[1].bands == ("R", "G", "N", "I")


def test_pages_of_a_tiff_are_counted_without_its_overviews_and_masks(tmp_path):
    pixels = values("uint16", 40, 40, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, photometric="rgb")
        file.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(pixels[..., 0] > 9, photometric="mask", subfiletype=4)
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.pages == 1
        assert np.array_equal(image.read(), pixels)
        with pytest.raises(ImageError, match=r"a\.tif has no page 1: it has only one"):
            image.read(1)


def test_a_tiff_that_needs_imagecodecs_says_so(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values("uint16", 8, 8, 3), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(34887)  # LERC
    with pytest.raises(
        MissingExtraError,
        match=r"a\.tif is compressed with LERC, which needs imagecodecs: pip install imagecodecs$",
    ):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["float64", "uint32", "int64", "float32"])
def test_masks_of_whole_numbers_are_read_whatever_type_they_have(tmp_path, kind):
    mask = RANDOM.integers(0, 300, (9, 8))
    tifffile.imwrite(tmp_path / "a.tif", mask.astype(kind))
    got = read_mask(tmp_path / "a.tif")
    assert got.dtype.kind in "iu"
    assert np.array_equal(got, mask)


def test_a_mask_is_turned_as_its_own_file_says_like_an_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = RANDOM.integers(0, 2, (5, 7), np.uint8)
    for name in ("image.png", "mask.png"):
        Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    sample = Pairs([Pair("a", tmp_path / "image.png", tmp_path / "mask.png")], TWO)[0]
    assert sample.mask.shape == (7, 5)
    assert np.array_equal(sample.mask, sample.image[..., 0])


def test_a_sample_has_the_file_s_values_and_what_it_says_of_itself(tmp_path):
    pixels = values("int16", 9, 8, 5)
    np.save(tmp_path / "a.npy", pixels)
    Image.fromarray(np.eye(9, 8, dtype=np.uint8)).save(tmp_path / "m.png")
    sample = Pairs([Pair("a", tmp_path / "a.npy", tmp_path / "m.png")], TWO)[0]
    assert np.array_equal(sample.image, pixels)
    assert sample.info is not None
    assert sample.info.dtype == "int16"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_where_pixels_lie_is_turned_with_them(orientation):
    geo = GeoReference(transform=(2.0, 0.0, 100.0, 0.0, -3.0, 500.0))
    info = ImageInfo(height=2, width=3, dtype="int64", bands=("grey",), orientation=orientation, geo=geo)
    columns, rows = np.meshgrid(np.arange(3) + 0.5, np.arange(2) + 0.5)
    places = np.stack([2 * columns + 100, -3 * rows + 500], axis=-1)
    upright, found = turned(places, info)
    assert found.geo is not None
    a, b, c, d, e, f = found.geo.transform
    columns, rows = np.meshgrid(np.arange(found.width) + 0.5, np.arange(found.height) + 0.5)
    assert np.allclose(upright, np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=-1))


def test_a_reader_of_a_plug_in_is_asked_before_segzoo_s_own(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    mine = {"factory": f"{__name__}:Seven", "magic": (b"\x89PNG",)}
    with isolated_zoo(ReaderSpec(name="mine", claims=f"{__name__}:is_mine", **mine)):
        assert read(tmp_path / "a.png").tolist() == [[[7]]]


def is_mine(path):
    return path.name == "a.png"


class Seven:
    """An image of one pixel."""

    info = ImageInfo(height=1, width=1, dtype="int64", bands=("grey",))

    def __init__(self, path):
        del path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, page=0, *, smallest=None):
        del page, smallest
        return np.array([[[7]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright_once_whoever_decodes_it(tmp_path, orientation):
    for kind in ("uint8", "uint16", "int16"):
        pixels = values(kind, 7, 5, 1)[..., 0]
        tags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", extratags=tags)
        info = ImageInfo(height=7, width=5, dtype=kind, bands=("grey",), orientation=orientation)
        got, found = read_with_info(tmp_path / "a.tif")
        assert np.array_equal(got[..., 0], turned(pixels, info)[0]), kind
        assert (found.height, found.width) == got.shape[:2]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_what_is_too_large_at_once_is_read_by_rows_if_any_size_may_be(tmp_path, monkeypatch, name):
    pixels = values("uint8", 40, 50, 1)
    Image.fromarray(pixels[..., 0]).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ImageError, match=rf"{name} is too large to decode at once.*--any-size"):
        read(tmp_path / name)
    assert np.array_equal(open_rows(tmp_path / name, max_pixels=None).read(3, 40), pixels[3:])


@pytest.mark.parametrize("shape", [(21, 17, 4), (4, 21, 17), (16, 40, 30), (21, 17, 31)])
def test_few_bands_may_come_first_in_an_array(tmp_path, shape):
    pixels = values("uint16", *shape)
    np.save(tmp_path / "a.npy", pixels)
    expected = pixels.transpose(1, 2, 0) if shape[0] in (4, 16) else pixels
    with open_image(tmp_path / "a.npy") as image:
        assert np.array_equal(image.read(), expected)
        assert np.array_equal(image.rows(0, 3, 9), expected[3:9])


@pytest.mark.parametrize("bands", [1, 3])
def test_a_pnm_of_more_than_8_bits_keeps_its_values(tmp_path, bands):
    pixels = values("uint16", 7, 5, bands) & 4095
    head = b"5 7\n# of a camera\n4095\n"
    (tmp_path / "a.ppm").write_bytes(
        b"P%d " % (6 if bands == 3 else 5) + head + pixels.astype(">u2").tobytes()
    )
    words = " ".join(map(str, pixels.ravel())).encode()
    (tmp_path / "b.ppm").write_bytes(b"P%d " % (3 if bands == 3 else 2) + head + words)
    for name in ("a.ppm", "b.ppm"):
        got, info = read_with_info(tmp_path / name)
        assert got.dtype == info.dtype == "uint16"
        assert np.array_equal(got, pixels), name


def test_pages_of_different_sizes_and_kinds_are_each_what_they_are(tmp_path):
    pages = [values("uint8", 20, 24, 3), values("uint16", 11, 13, 3), values("float32", 9, 8, 1)[..., 0]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    for number, page in enumerate(pages):
        got, info = read_with_info(tmp_path / "a.tif", page=number)
        assert np.array_equal(got.squeeze(), page)
        assert (info.height, info.width, info.dtype) == (*page.shape[:2], page.dtype.name)
        rows = open_rows(tmp_path / "a.tif", page=number)
        assert (rows.height, rows.width, rows.dtype) == (*page.shape[:2], page.dtype)
        assert np.array_equal(rows.read(0, rows.height).squeeze(), page)


def test_jpeg_2000_that_pillow_narrows_is_told_of(tmp_path):
    Image.fromarray(values("uint8", 32, 32, 3)).save(tmp_path / "a.jp2")
    Image.fromarray(values("uint16", 32, 32, 1)[..., 0]).save(tmp_path / "deep.jp2", irreversible=False)
    assert read(tmp_path / "deep.jp2").dtype == np.uint16
    read(tmp_path / "a.jp2")  # without a warning
    data = (tmp_path / "a.jp2").read_bytes()
    (tmp_path / "b.jp2").write_bytes(data.replace(b"\0\3\7\7", b"\0\3\x0b\7", 1))  # 12 bits, in its header
    with pytest.warns(UserWarning, match=r"b\.jp2 holds 12 bits per band, of which Pillow decodes 8"):
        read(tmp_path / "b.jp2")


def test_who_reads_a_format_that_segzoo_does_not_is_told(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(400))
    own = [entry.spec for _, entry in zoo.registry("readers").items() if entry.owner == "segzoo"]
    with isolated_zoo(*own), pytest.raises(ImageError, match=r"pip install 'segzoo-science\[nifti\]'"):
        read(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"factory": "no_such_module:opened"}, "there is no module 'no_such_module'"),
        ({"factory": f"{__name__}:is_mine"}, "its factory must return a context manager, got bool"),
        (
            {"factory": f"{__name__}:Seven", "claims": f"{__name__}:failing"},
            "failing raised KeyError: 'mine'",
        ),
    ],
)
def test_a_reader_that_is_broken_is_named_and_not_the_file_called_damaged(tmp_path, fields, told):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    spec = ReaderSpec(name="mine", suffixes=(".png",), magic=(b"\x89PNG",), **fields)
    with isolated_zoo(spec), pytest.raises(PluginError, match=told):
        read(tmp_path / "a.png")


def failing(path):
    del path
    raise KeyError("mine")
