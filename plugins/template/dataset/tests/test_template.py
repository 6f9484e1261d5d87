"""The dataset keeps segzoo's contract, on small files arranged like the real ones."""

import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError
from segzoo.testing import check_dataset


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val", "test"):
        for folder, mode, pixel in (("images", "RGB", (90, 60, 30)), ("masks", "L", 255)):
            (tmp_path / split / folder).mkdir(parents=True)
            for number in range(3):
                Image.new(mode, (6, 4), pixel).save(tmp_path / split / folder / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_keeps_the_contract(root, split):
    check_dataset("template", root=root, split=split)


def test_white_pixels_are_the_thing(root):
    assert (open_dataset("template", root=root)[0].mask == 1).all()


def test_an_image_without_a_mask_is_named(root):
    (root / "train/masks/1.png").unlink()
    with pytest.raises(FailureError, match=r"1\.png"):
        open_dataset("template", root=root)
