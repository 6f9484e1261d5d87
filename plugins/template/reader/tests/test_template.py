"""The reader keeps segzoo's contract, and returns the content of a file."""

from pathlib import Path

import numpy as np

from segzoo.images import read_with_info
from segzoo.testing import check_reader

PIXELS = np.random.default_rng(0).integers(0, 4096, (20, 30, 5), np.uint16)


def written(folder: Path) -> Path:
    """Write an image with five bands."""
    header = "P7\nWIDTH 30\nHEIGHT 20\nDEPTH 5\nMAXVAL 4095\nENDHDR\n"
    (folder / "a.pam").write_bytes(header.encode() + PIXELS.astype(">u2").tobytes())
    return folder / "a.pam"


def test_the_reader_keeps_its_contract():
    check_reader("template", example=written)


def test_values_are_those_of_the_file(tmp_path):
    pixels, info = read_with_info(written(tmp_path))
    assert np.array_equal(pixels, PIXELS)
    assert info.bands[-1] == "band 5"
