"""`segzoo train auto` looks at the data, plans by rules that give reasons, and leaves an ordinary recipe."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo.options import many
from segzoo.training.planning import rules
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.writing import to_toml

TINY = ["model=unet", "model.width=2", "model.depth=2", "crop=32", "device=cpu", "precision=no"]


def write(root, images, masks):
    """Write images with masks, numbered; TIFF where they are no pictures."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if (image.dtype == np.uint8 and image.ndim == 2) or image.shape[2:] == (3,):
            Image.fromarray(image).save(root / f"images/{number:02}.png")
        else:
            axes = {"axes": "YX" if image.ndim == 2 else "CYX"}
            pages = image if image.ndim == 2 else np.moveaxis(image, 2, 0)
            tifffile.imwrite(root / f"images/{number:02}.tif", pages, photometric="minisblack", metadata=axes)
        Image.fromarray(mask.astype(np.uint8)).save(root / f"masks/{number:02}.png")
    return root


def spots(count, size=64, seed=0):
    """Return grey images with bright spots anywhere, and their masks of 0 and 1."""
    random, images, masks = np.random.default_rng(seed), [], []
    rows, columns = np.mgrid[:size, :size]
    for _ in range(count):
        mask = np.zeros((size, size), bool)
        for row, column in random.integers(6, size - 6, (4, 2)):
            mask |= (rows - row) ** 2 + (columns - column) ** 2 < 25
        images.append((60 + 120 * mask + random.integers(0, 30, mask.shape)).astype(np.uint8))
        masks.append(mask)
    return images, masks


def streets(count, size=64, seed=0):
    """Return photographs with a blue sky, a road at the bottom (2), and cars on it (1)."""
    random, images, masks = np.random.default_rng(seed), [], []
    for _ in range(count):
        horizon, left = random.integers(20, 40), random.integers(0, size - 12)
        image, mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
        image[:horizon], image[horizon:], mask[horizon:] = (90, 140, 230), (90, 90, 80), 2
        image[horizon : horizon + 9, left : left + 12], mask[horizon : horizon + 9, left : left + 12] = 200, 1
        images.append(image + random.integers(0, 20, image.shape).astype(np.uint8))
        masks.append(mask)
    return images, masks


@pytest.fixture
def cells(tmp_path):
    """Twelve grey images of spots."""
    return write(tmp_path / "cells", *spots(12))


def planned(data, *words, **values):
    return read_recipe("auto", ["steps=40", *words], data=str(data), **values)


@pytest.mark.medium
def test_a_plan_is_the_same_every_time_and_an_ordinary_recipe(cells, tmp_path):
    one, other = planned(cells), planned(cells)
    assert one == other
    assert to_toml(one) == to_toml(other)
    (tmp_path / "plan.toml").write_text(to_toml(one), encoding="utf-8")
    kept = read_recipe(tmp_path / "plan.toml")
    assert kept == one
    assert kept.comments == one.comments


def test_every_line_that_a_rule_chose_says_why(cells):
    text = to_toml(planned(cells)).splitlines()
    for key in ("size = ", "horizontal = ", "strength = ", "name = ", "lr = ", "batch_size = ", "average = "):
        (line, *_) = [number for number, line in enumerate(text) if line.startswith(key)]
        assert text[line - 1].startswith("# "), text[line]
    assert not any(line.startswith("#") and len(line) > 110 for line in text)


@pytest.mark.medium
def test_an_override_stays_and_later_rules_follow_it(cells):
    free, said = (
        planned(cells),
        planned(cells, "model=unet", "model.width=8", "augment.turn=false", "lr=5e-3"),
    )
    assert (said.model, said.model_options["width"], said.learning_rate) == ("unet", 8, 5e-3)
    assert "turn" in free.augment
    assert "turn" not in said.augment
    assert "elastic" not in said.augment, "what is not turned is not bent"
    assert said.encoder_rate == 1.0, "a network from nothing has no encoder to spare"
    assert not {"learning_rate", "model.width"} & {*said.comments}, "what somebody said has no reason of ours"
    assert planned(cells, "augment.flip.vertical=0.1").augment["flip"] == {"vertical": 0.1, "horizontal": 0.5}
    assert planned(cells, "model.in_channels=1").model_options["in_channels"] == 1
    assert planned(cells, "optimizer=sgd", "optimizer.momentum=0.9").optimizer_options == {"momentum": 0.9}
    values = read_recipe("auto", data=str(cells), steps=40, model_options={"width": 4}, schedule="constant")
    assert (values.model, values.model_options["width"], values.schedule) == ("unet", 4, "constant")


def test_a_file_may_start_from_auto_and_what_it_says_stays(cells, tmp_path):
    (tmp_path / "mine.toml").write_text('base = "auto"\nbatch_size = 3\nsteps = 40\n', encoding="utf-8")
    recipe = read_recipe(tmp_path / "mine.toml", data=str(cells))
    assert (recipe.batch_size, recipe.steps, recipe.out) == (3, 40, "runs/mine")
    assert "augment.crop.size" in recipe.comments


def test_photographs_stay_upright_where_something_lies_at_the_bottom(tmp_path):
    recipe = planned(write(tmp_path / "streets", *streets(12)), "data.classes=3")
    assert recipe.augment["flip"] == {"horizontal": 0.5, "vertical": 0.0}
    assert "turn" not in recipe.augment
    assert "upright" in recipe.comments["augment.flip.vertical"]
    assert recipe.metrics == ("miou", "dice")


def test_what_has_no_up_is_turned(cells):
    recipe = planned(cells)
    assert recipe.augment["flip"] == {"horizontal": 0.5, "vertical": 0.5}
    assert recipe.augment["turn"] == {"probability": 1.0}
    assert recipe.metrics == ("dice", "iou")


@pytest.mark.medium
def test_deep_images_and_bands_are_taken_as_they_are(tmp_path):
    images, masks = spots(6)
    deep = [image.astype(np.uint16) * 3 + 900 for image in images]
    assert planned(write(tmp_path / "deep", deep, masks)).intensity == "percentiles:1,99.8"
    assert planned(write(tmp_path / "bytes", images, masks)).intensity == ""
    bands = [np.stack([image] * 5, axis=2) for image in images]
    recipe = planned(write(tmp_path / "bands", bands, masks), "model=unet")
    assert recipe.model_options["in_channels"] == 5


@pytest.mark.medium
def test_lines_have_crops_of_their_own_and_large_objects_smaller_images(tmp_path):
    rows, columns = np.mgrid[:256, :256]
    lines = (rows % 40 < 3) | (columns % 40 < 3)
    recipe = planned(write(tmp_path / "lines", [lines * np.uint8(200)] * 4, [lines] * 4))
    assert "lines of 3" in recipe.comments["augment.crop.size"]
    disc = (rows.repeat(4, 0).repeat(4, 1) - 128) ** 2 + (
        columns.repeat(4, 0).repeat(4, 1) - 128
    ) ** 2 < 100**2
    recipe = planned(write(tmp_path / "large", [disc * np.uint8(200)] * 4, [disc] * 4))
    assert recipe.resize == {"mode": "scale", "scale": 0.25}
    assert recipe.augment["crop"]["scale"] == (0.175, 0.35)


@pytest.mark.medium
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_are_trained_on(count, tmp_path):
    data = write(tmp_path / "few", *spots(count))
    words = [*TINY, "steps=2", "--data", str(data), "--out", str(tmp_path / "run")]
    assert run(["train", "auto", *words, "--no-progress"]) == 0
    recipe = read_recipe(tmp_path / "run")
    assert recipe.split == ({"same": True, "of": "train"} if count == 1 else {})
    assert (tmp_path / "run/model.safetensors").is_file()


def test_objects_that_touch_are_told_apart(tmp_path):
    images, _ = spots(4)
    rows, columns = np.mgrid[:64, :64]
    touching = (1 + rows // 16 * 4 + columns // 16) * ((rows % 16 > 1) & (rows % 16 < 14))
    apart = touching * ((columns % 16 > 1) & (columns % 16 < 14))
    recipe = planned(write(tmp_path / "touching", images, [touching] * 4), "data.instances=true")
    assert recipe.separator == {"kind": "boundary"}
    assert "touch another of their class" in recipe.comments["separator.kind"]
    assert not planned(write(tmp_path / "apart", images, [apart] * 4), "data.instances=true").separator
    assert not planned(tmp_path / "touching", "data.instances=true", "separator={}").separator


def test_seeds_are_chosen_for_a_separator_where_scipy_scores_them(tmp_path, monkeypatch):
    images, _ = spots(4)
    rows, columns = np.mgrid[:64, :64]
    touching = (1 + rows // 16 * 4 + columns // 16) * (rows % 16 > 1)
    for part in ("train", "val"):
        write(tmp_path / "parts" / part, images, [touching] * 4)
    assert "separator" in planned(tmp_path / "parts", "data.instances=true").choose
    monkeypatch.setitem(sys.modules, "scipy", None)
    recipe = planned(tmp_path / "parts", "data.instances=true")
    assert recipe.separator
    assert recipe.choose == ("temperature", "threshold", "smallest_object")


def test_images_that_are_dim_beside_others_are_stretched(tmp_path):
    images, masks = spots(12)
    dim = [image // 8 if number % 2 else image for number, image in enumerate(images)]
    assert planned(write(tmp_path / "uneven", dim, masks)).intensity == "percentiles:1,99.8"


def test_thresholds_are_chosen_where_enough_images_validate(tmp_path, cells):
    for seed, part in enumerate(("train", "val")):
        write(tmp_path / "parts" / part, *spots(4, seed=seed))
    assert planned(tmp_path / "parts").choose == ("temperature", "threshold", "smallest_object")
    assert planned(cells).choose == (), "one image says too little"


@pytest.mark.medium
def test_very_many_classes_take_small_batches(tmp_path):
    images, _ = spots(12)
    random = np.random.default_rng(0)
    root = write(tmp_path / "many", images, [np.zeros((64, 64))] * 12)
    for number in range(12):
        (root / f"masks/{number:02}.png").unlink()
        mask = random.integers(0, 3000, (64, 64)).astype(np.uint16)
        tifffile.imwrite(root / f"masks/{number:02}.tif", mask)
    recipe = planned(root, "data.classes=3000")
    assert recipe.batch_size == 5
    assert "3,000 classes" in recipe.comments["batch_size"]


def test_classes_that_overlap_are_planned_for(tmp_path):
    images, masks = spots(6)
    root = write(tmp_path / "both", images, masks)
    for number, mask in enumerate(masks):
        for name, layer in (("cell", mask), ("core", np.roll(mask, 3, 0))):
            (root / "masks" / name).mkdir(exist_ok=True)
            Image.fromarray(layer.astype(np.uint8) * 255).save(root / "masks" / name / f"{number:02}.png")
        (root / f"masks/{number:02}.png").unlink()
    recipe = planned(root, "data.overlapping=true", "data.classes=cell,core", *TINY)
    assert recipe.metrics == ("miou", "dice")


def test_a_test_part_is_not_looked_at(tmp_path):
    for seed, part in enumerate(("train", "val", "test")):
        write(tmp_path / "parts" / part, *spots(4, seed=seed))
    (tmp_path / "parts/test/images/00.png").write_bytes(b"no image")
    assert planned(tmp_path / "parts").data


@pytest.mark.medium
def test_the_run_keeps_the_reasons_and_goes_on_with_them(cells, tmp_path):
    out = tmp_path / "run"
    words = ["train", "auto", *TINY, "steps=4", "--data", str(cells), "--out", str(out), "--no-progress"]
    assert run(words) == 0
    reason = "# no class lies mostly on the left or on the right"
    assert reason in (out / "recipe.toml").read_text(encoding="utf-8")
    assert reason.removeprefix("# ") in (out / "report.html").read_text(encoding="utf-8")
    assert run(["train", "--resume", str(out), "--no-progress"]) == 0
    assert reason in (out / "recipe.toml").read_text(encoding="utf-8")
    assert "comments" not in json.loads((out / "config.json").read_text())["provenance"]["recipe"]


@pytest.mark.medium
def test_the_recipe_that_a_plan_leaves_trains_the_same_weights(cells, tmp_path):
    done = segzoo.train("auto", data=str(cells), out=str(tmp_path / "one"), steps=3, progress=False, **tiny())
    again = segzoo.train(read_recipe(tmp_path / "one", out=str(tmp_path / "two")), progress=False)
    one, two = (folder / "model.safetensors" for folder in (done.folder, again.folder))
    assert one.read_bytes() == two.read_bytes()


def tiny():
    """Return `TINY` as Python's values."""
    return {
        "model": "unet",
        "model_options": {"width": 2, "depth": 2},
        "crop": 32,
        "device": "cpu",
        "precision": "no",
    }


@pytest.mark.medium
def test_minutes_become_steps_that_the_recipe_records(cells):
    told = []
    recipe = read_recipe("auto", TINY, minutes=0.5, data=str(cells), on_message=told.append)
    assert recipe.steps > rules._LEAST
    assert "measured" in recipe.comments["steps"]
    assert any("a step of unet of width 2 takes" in line for line in told)
    assert any("looks at 10 training images and 1 validation image" in line for line in told)


@pytest.mark.medium
def test_minutes_fit_any_recipe_and_change_nothing_else(cells):
    plain = read_recipe("default", TINY, data=str(cells))
    fitted = read_recipe("default", TINY, minutes=0.2, data=str(cells))
    assert fitted.steps > 0
    timed = {name: getattr(fitted, name) for name in ("steps", "validate_every", "save_every")}
    assert replace(plain, **timed) == fitted


@pytest.mark.parametrize(
    ("words", "values", "told"),
    [
        ([], {"minutes": 0.0001}, r"minutes leave time for 0 steps .* use --minutes"),
        ([], {"minutes": -1}, "minutes must be a number above 0"),
        ([], {"minutes": float("nan")}, "minutes must be a number above 0"),
        (["steps=3"], {"minutes": 1}, "minutes = 1 and steps exclude each other"),
        (["epochs=3"], {"minutes": 1}, "minutes = 1 and epochs exclude each other"),
        (["augment.flop=true"], {}, "flop"),
        (["steps=3", "split.share=0.1", "split.same=true"], {}, "exclude each other"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_to_do(words, values, told, cells):
    with pytest.raises(OptionError, match=told):
        read_recipe("auto", [*TINY, *words], data=str(cells), **values)


def test_data_that_nothing_can_be_learnt_from_is_refused(tmp_path):
    images, masks = spots(6)
    with pytest.raises(OptionError, match="all training pixels are 'background'"):
        planned(write(tmp_path / "empty", images, [mask & False for mask in masks]))
    alone = tmp_path / "alone/images"
    alone.mkdir(parents=True)
    Image.fromarray(images[0]).save(alone / "a.png")
    with pytest.raises((OptionError, FailureError), match="mask"):
        planned(tmp_path / "alone")
    broken = write(tmp_path / "broken", images, masks)
    (broken / "images/01.png").write_bytes((broken / "images/01.png").read_bytes()[:90])
    with pytest.raises(FailureError, match=r"1 image with masks cannot be read .*01\.png"):
        planned(broken)
    with pytest.raises(FailureError, match="holds the values 7, which stand for none of the 3 classes"):
        planned(write(tmp_path / "seven", images, [mask * 7 for mask in masks]), "data.classes=3")


def test_what_no_image_shows_is_told(tmp_path):
    images, masks = spots(6)
    told = []
    planned(write(tmp_path / "some", images, masks), "data.classes=4", on_message=told.append)
    assert any("no training image has class 2 and class 3" in line or "class 2" in line for line in told)


def test_several_processes_do_not_plan_each_by_its_own_clock(cells, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="plan in one"):
        planned(cells)


def test_a_planned_training_is_gone_on_with_by_its_folder(cells, capsys):
    assert run(["train", "auto", "--data", str(cells), "--resume"]) == 2
    assert "--resume runs/auto" in capsys.readouterr().err


def test_a_planned_recipe_does_not_resume_in_python_either():
    with pytest.raises(OptionError, match=r"'auto' is planned again each time: .*'runs/auto', resume=True"):
        segzoo.train("auto", data="photos", resume=True)


def test_a_dry_run_prints_the_plan_and_trains_nothing(cells, tmp_path, capsys):
    words = [
        "train",
        "auto",
        *TINY,
        "steps=4",
        "--data",
        str(cells),
        "--out",
        str(tmp_path / "run"),
        "--dry-run",
    ]
    assert run(words) == 0
    told = capsys.readouterr()
    (tmp_path / "plan.toml").write_text(told.out, encoding="utf-8")
    assert read_recipe(tmp_path / "plan.toml").comments["augment.flip.horizontal"]
    assert not (tmp_path / "run").exists()


def test_a_plan_counts_epochs_as_people_write_them():
    assert many(23, "epoch") == "23 epochs"
    assert many(2, "patch") == "2 patches"
