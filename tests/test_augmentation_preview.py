"""``segzoo data preview --augment`` draws what training makes of a dataset."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo import cli
from segzoo.data_check.preview import preview

TINT = (230, 159, 0)


@pytest.fixture
def discs(tmp_path):
    """Four images with a bright disc each, of several sizes."""
    for part in ("images", "masks"):
        (tmp_path / "discs" / part).mkdir(parents=True)
    for number, (height, width) in enumerate([(60, 80), (81, 70), (50, 50), (64, 96)]):
        y, x = np.mgrid[:height, :width]
        mask = ((y - 25) ** 2 + (x - 30) ** 2 < 15**2).astype(np.uint8)
        image = np.where(mask, 230, 120).astype(np.uint8)
        Image.fromarray(np.repeat(image[..., None], 3, 2)).save(tmp_path / f"discs/images/{number}.png")
        Image.fromarray(mask * 255).save(tmp_path / f"discs/masks/{number}.png")
    return tmp_path / "discs"


def drawn(discs, *words):
    out = discs.parent / "sheet.png"
    assert cli.run(["data", "preview", str(discs), "--out", str(out), *words]) == 0
    with Image.open(out) as sheet:
        return np.asarray(sheet.convert("RGB"))


@pytest.mark.slow
def test_each_image_has_a_row_of_its_variants(discs):
    short = drawn(discs, "--augment", "--count", "2", "--variants", "2", "crop=32")
    long = drawn(discs, "--augment", "--count", "4", "--variants", "2", "crop=32")
    wide = drawn(discs, "--augment", "--count", "2", "--variants", "5", "crop=32")
    row = (long.shape[0] - short.shape[0]) // 2
    assert row > 200
    assert wide.shape[1] - short.shape[1] == 3 * 260
    assert (short == TINT).all(-1).sum() > 50


@pytest.mark.slow
def test_the_seed_decides_what_is_drawn(discs):
    words = ("--augment", "--count", "2", "crop=40")
    first = drawn(discs, *words)
    assert (drawn(discs, *words) == first).all()
    other = drawn(discs, *words, "--seed", "1")
    assert (other != first).any()


@pytest.mark.medium
def test_a_recipe_and_words_say_what_is_done(discs):
    recipe = discs.parent / "recipe.toml"
    recipe.write_text("[augment.letterbox]\nsize = 48\noutside = 'ignore'\n", encoding="utf-8")
    plain = drawn(discs, "--augment", str(recipe), "--count", "1", "--variants", "2")
    # Nothing is random in a letterbox, so that both variants are alike.
    cells = [plain[:, left : left + 240] for left in (36 + 260, 36 + 520)]
    assert (cells[0][-300:-60] == cells[1][-300:-60]).all()
    turned = drawn(discs, "--augment", str(recipe), "augment.rotate.degrees=90", "--count", "1")
    assert turned.shape != plain.shape


def test_a_wrong_step_or_a_forgotten_flag_is_told(discs, capsys):
    assert cli.run(["data", "preview", str(discs), "--augment", "augment.rotate.degree=3"]) == 2
    assert "did you mean 'degrees'" in capsys.readouterr().err
    assert cli.run(["data", "preview", str(discs), "crop=3"]) == 2
    assert "--augment" in capsys.readouterr().err


def test_variants_are_told_which_value_of_the_mask_is_void(discs):
    told = []

    def vary(image, mask, labels):
        told.append((image.shape[:2] == mask.shape, labels.classes, labels.ignore_index))
        return [(image, mask)]

    preview(str(discs), count=3, out=discs.parent / "sheet.png", vary=vary)
    # Void comes after the classes background and foreground.
    assert told == [(True, ("background", "foreground"), 2)] * 3
