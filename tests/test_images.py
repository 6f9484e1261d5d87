"""Every kind of image file becomes an array of the right size, orientation and values, or a clear error."""

from __future__ import annotations

import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from segzoo.errors import ImageError, OptionError
from segzoo.images import as_image, normalised, placed, read, read_bytes, read_with_info, resized, to_uint8
from segzoo.images.reading import without_alpha
from segzoo.prediction.tiling import open_rows
from segzoo.specs import Preprocessing, Resize

RAMP = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_a_lossless_colour_image_is_read_as_it_is(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    assert np.array_equal(read(saved(tmp_path, Image.fromarray(COLOUR), name, **options)), COLOUR)


def test_a_grey_image_keeps_one_channel(tmp_path):
    assert np.array_equal(read(saved(tmp_path, Image.fromarray(RAMP), "a.png")), RAMP[..., None])


@pytest.mark.parametrize("colours", [COLOUR, RAMP[..., None]])
def test_transparency_is_a_band_that_the_file_declares(tmp_path, colours):
    alpha = np.full((6, 4, 1), 9, np.uint8)
    pixels = np.concatenate([colours, alpha], axis=-1)
    path = saved(tmp_path, Image.fromarray(pixels, {2: "LA", 4: "RGBA"}[pixels.shape[2]]), "a.png")
    got, info = read_with_info(path)
    assert np.array_equal(got, pixels)
    assert info.alpha == colours.shape[2]
    assert info.bands == (*{1: ("grey",), 3: ("red", "green", "blue")}[colours.shape[2]], "alpha")
    assert np.array_equal(without_alpha(got, info), colours)  # dropped, not blended


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    expected = [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]
    assert read(saved(tmp_path, image, "a.png")).tolist() == expected


def test_a_bilevel_image_is_true_and_false(tmp_path):
    image = Image.fromarray(np.array([[True, False]]))
    assert read(saved(tmp_path, image, "a.png")).ravel().tolist() == [True, False]


def test_cmyk_becomes_rgb(tmp_path):
    assert read(saved(tmp_path, Image.new("CMYK", (3, 2)), "a.jpg")).shape == (2, 3, 3)


@pytest.mark.parametrize(("orientation", "turned"), [(6, -1), (3, 2), (8, 1)])
def test_exif_rotation_is_applied(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(COLOUR), "a.png", exif=exif)
    assert np.array_equal(read(path), np.rot90(COLOUR, turned))


@pytest.mark.parametrize(("largest", "bits"), [(65535, 16), (4095, 12), (1000, 10), (255, 8)])
def test_a_16_bit_image_is_scaled_by_the_bits_that_it_uses(tmp_path, largest, bits):
    values = np.array([[0, largest // 2, largest]], np.uint16)
    stored = read(saved(tmp_path, Image.fromarray(values), "a.png"))
    assert np.array_equal(stored[..., 0], values)
    got = as_image(stored)[0, :, 0]
    assert got.tolist() == np.rint(values[0] * (255 / (2**bits - 1))).tolist()
    assert got[2] >= 249


def test_floats_up_to_1_are_scaled_and_larger_ones_are_taken_as_they_are():
    assert to_uint8(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]
    assert to_uint8(np.array([0.0, 50.0, 255.0])).tolist() == [0, 50, 255]


@pytest.mark.parametrize("values", [[-1.0, 0.0], [float("inf"), float("nan")], [0.0, 256.0], [-3]])
def test_values_that_no_image_has_are_refused(values):
    with pytest.raises(ImageError):
        to_uint8(np.array(values))


def test_only_the_first_of_several_pages_is_read_and_that_is_said(tmp_path):
    pages = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    path = saved(tmp_path, pages[0], "a.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=r"a\.tif holds 2 pages"):
        assert np.array_equal(read(path), RAMP[..., None])


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.gif", "a.bmp"])
def test_a_truncated_file_is_named_as_damaged(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=name):
        read(path)


def test_an_empty_file_is_named_as_empty(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match=r"a\.png cannot be read: the file is empty"):
        read(tmp_path / "a.png")


def test_a_text_file_named_png_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ImageError, match="not an image in a format"):
        read(tmp_path / "a.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match="there is no file"):
        read(tmp_path / "a.png")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ImageError, match=str(tmp_path.name)):
        read(tmp_path)


def test_arrays_of_any_usual_shape_are_images():
    assert as_image(RAMP).shape == (6, 4, 1)
    assert as_image(np.dstack([COLOUR, RAMP])).shape == (6, 4, 4)
    assert as_image(Image.fromarray(COLOUR)).shape == (6, 4, 3)
    assert as_image(np.zeros((2, 2), np.bool_)).dtype == np.uint8


@pytest.mark.parametrize("shape", [(4,), (0, 3, 3), (1, 2, 3, 4)])
def test_arrays_of_other_shapes_are_refused_with_their_shape(shape):
    with pytest.raises(ImageError, match="must be"):
        as_image(np.zeros(shape, np.uint8))


def test_normalisation_is_value_over_255_minus_mean_over_std():
    got = normalised(COLOUR, Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)))
    expected = (COLOUR / 255 - [0.5, 0.4, 0.3]) / [0.1, 0.2, 0.3]
    np.testing.assert_allclose(got, expected.transpose(2, 0, 1), rtol=1e-5)


def test_a_mean_for_other_channels_is_refused():
    with pytest.raises(ImageError, match="1 channels, but the network's mean has 3"):
        normalised(RAMP[..., None], Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3))


def test_scale_multiplies_both_sides_and_truncates():
    small, place = resized(np.zeros((75, 101, 3), np.uint8), Resize(mode="scale", scale=0.5))
    assert small.shape == (37, 50, 3)
    assert (place.top, place.left, place.height, place.width) == (0, 0, 37, 50)


def test_a_scale_never_leaves_less_than_a_pixel():
    assert resized(np.zeros((1, 1, 3), np.uint8), Resize(mode="scale", scale=0.1))[0].shape == (1, 1, 3)


def test_a_letterbox_keeps_proportions_between_bars():
    boxed, place = resized(np.zeros((100, 50, 3), np.uint8), Resize(mode="letterbox", height=64, width=64))
    assert boxed.shape == (64, 64, 3)
    assert (place.top, place.left, place.height, place.width) == (0, 16, 64, 32)
    assert (boxed[:, :16] == 128).all()
    assert (boxed[:, 16:48] == 0).all()


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((120, 150), {"mode": "short", "short": 64}, (64, 80)),
        ((150, 121), {"mode": "short", "short": 64}, (79, 64)),  # 79.3
        ((120, 150), {"mode": "short", "short": 64, "long": 72}, (58, 72)),
        ((1, 1), {"mode": "short", "short": 520}, (520, 520)),
        ((1, 5000), {"mode": "short", "short": 520, "long": 900}, (1, 900)),
        ((120, 150), {"mode": "bounds", "short": 64, "long": 96}, (64, 80)),
        ((100, 300), {"mode": "bounds", "short": 64, "long": 96}, (32, 96)),
        ((300, 100), {"mode": "bounds", "short": 64, "long": 96}, (96, 32)),
        ((97, 101), {"mode": "bounds", "short": 64, "long": 96}, (64, 67)),  # 66.6
        ((1, 5000), {"mode": "bounds", "short": 64, "long": 96}, (1, 96)),
        ((97, 101), {"mode": "bounds", "short": 64, "long": 96, "multiple": 32}, (64, 96)),
        ((150, 121), {"mode": "short", "short": 70, "multiple": 32}, (96, 96)),
    ],
)
def test_the_aspect_is_kept_by_short_and_bounds(size, resize, expected):
    seen, place = placed(*size, Resize(**resize))
    assert seen == (place.height, place.width) == expected
    assert (place.top, place.left) == (0, 0)


def test_a_line_of_pixels_is_not_made_a_large_image():
    with pytest.raises(
        ImageError, match="1x5000 with its shorter side resized to 520 pixels would have 2,600,000"
    ):
        placed(1, 5000, Resize(mode="short", short=520))


def test_resizing_agrees_with_pillow():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    small, _ = resized(image, Resize(mode="stretch", height=20, width=25))
    expected = Image.fromarray(image).resize((25, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(small, np.asarray(expected))


def test_without_antialiasing_a_pixel_is_sampled_between_its_four_neighbours():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 1), np.uint8)
    resize = Resize(mode="stretch", height=10, width=16, interpolation="bilinear", antialias=False)
    rows, columns = ((np.arange(n) + 0.5) * size / n - 0.5 for n, size in ((10, 30), (16, 40)))
    across = np.array([np.interp(columns, np.arange(40), row) for row in image[..., 0].astype(float)])
    expected = np.array([np.interp(rows, np.arange(30), column) for column in across.T]).T
    assert np.abs(resized(image, resize)[0][..., 0] - expected).max() <= 1


def test_impossible_preprocessing_is_refused():
    short = ({"mode": "short"}, {"mode": "bounds", "short": 9}, {"mode": "bounds", "short": 9, "long": 8})
    for wrong in ({"mode": "scale", "scale": 0.0}, {"mode": "stretch"}, {"mode": "squeeze"}, *short):
        with pytest.raises(OptionError):
            Resize(**wrong)
    with pytest.raises(OptionError, match="std must be above 0"):
        Preprocessing(std=(0.0,))


def test_tensors_and_channels_first_are_taken_as_told():
    array = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    planes = torch.from_numpy(array).permute(2, 0, 1)
    assert np.array_equal(as_image(planes, layout="CHW"), array)
    assert np.array_equal(as_image(planes.float() / 255, layout="CHW"), array)
    near = as_image((planes.float() / 255).bfloat16(), layout="CHW")
    assert np.abs(near.astype(int) - array).max() <= 1
    assert np.array_equal(as_image(planes[0], layout="CHW"), array[..., :1])
    with pytest.raises(ImageError, match=r"\(H, W\) or \(C, H, W\)"):
        as_image(planes[None], layout="CHW")
    with pytest.raises(OptionError, match="layout must be HWC or CHW"):
        as_image(array, layout="chw")


def header(text):
    """Return the start of a .npy file whose header says ``text``."""
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode()


SHAPED = "{{'descr': '|u1', 'fortran_order': False, 'shape': {}}}\n"


@pytest.mark.parametrize("text", ["{'descr': (", SHAPED.format((2**70, 4)), SHAPED.format((10**9, 10**9))])
def test_whatever_a_damaged_array_makes_numpy_raise_names_the_file(tmp_path, text):
    (tmp_path / "a.npy").write_bytes(header(text) + b"1234")
    for reads in (read, open_rows):
        with pytest.raises(ImageError, match=r"a\.npy is not an array"):
            reads(tmp_path / "a.npy")


def test_whatever_damaged_exif_makes_pillow_raise_names_the_file(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0")
    with pytest.raises(ImageError, match=r"a\.png is damaged"):
        read(tmp_path / "a.png")
    with pytest.raises(ImageError, match="the picture is damaged"):
        read_bytes((tmp_path / "a.png").read_bytes(), "the picture")


def test_tensors_of_a_file_may_be_parameters_and_of_16_bits(tmp_path):
    torch.save(torch.nn.Parameter(torch.full((4, 5), 0.5, dtype=torch.bfloat16)), tmp_path / "a.pt")
    assert np.array_equal(read(tmp_path / "a.pt"), np.full((4, 5, 1), np.float32(0.5)))


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_tensor_without_a_number_for_each_pixel_is_refused_by_its_name(tmp_path):
    torch.save(torch.eye(4).to_sparse(), tmp_path / "a.pt")
    with pytest.raises(ImageError, match=r"a\.pt is not a tensor"):
        read(tmp_path / "a.pt")


def test_a_flipped_bit_in_a_tensor_is_damage(tmp_path):
    torch.save(torch.zeros(30, 40, dtype=torch.uint8), tmp_path / "a.pt")
    data = bytearray((tmp_path / "a.pt").read_bytes())
    data[data.index(bytes(1000)) + 500] ^= 4
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.pt is damaged or cut short: Bad CRC-32"):
        read(tmp_path / "a.pt")


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_more_than_a_tensor_is_refused_before_it_takes_memory(zipped, tmp_path):
    spam, file = b"\x80\x02" + b"}" * 1_200_000, tmp_path / "a.pt"
    if zipped:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/data.pkl", spam)
    else:
        file.write_bytes(spam)
    with pytest.raises(ImageError, match=r"a\.pt holds more than a tensor"):
        read(file)
