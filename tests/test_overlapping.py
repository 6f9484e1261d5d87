"""Classes that overlap: a sigmoid and a threshold for each, wherever masks are read, decided or written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from goldens import containers
from goldens.golden import Golden
from PIL import Image
from safetensors.torch import save_file

import segzoo
from segzoo import cli
from segzoo.config import ModelConfig, config_of, from_json, to_json
from segzoo.errors import OptionError
from segzoo.images import placed
from segzoo.labels import file_words, read_mask
from segzoo.prediction.decision import Decision
from segzoo.prediction.outputs import OutputOptions, output_files, write_outputs
from segzoo.prediction.outputs.painting import outline
from segzoo.prediction.outputs.writing import output_path
from segzoo.prediction.postprocessing import clean
from segzoo.prediction.predictor import Predictor
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.tiling import ArrayRows
from segzoo.specs import Labels, Preprocessing, Resize

CLASSES = ("vessel", "optic disc", "lesion")
LABELS = Labels(classes=CLASSES, overlapping=True)


def network(classes=CLASSES, *, seed=0, resize=None, threshold=0.5):
    """A small U-Net whose classes overlap, with logits of both signs."""
    torch.manual_seed(seed)
    model = segzoo.create(
        "unet/plain", num_classes=len(classes), encoder={"width": 8}, decoder={"widths": [64, 32, 16, 8]}
    )
    model.segzoo_config = replace(
        config_of(model),
        labels=Labels(classes=tuple(classes), overlapping=True),
        threshold=threshold,
        preprocessing=Preprocessing(resize=resize),
    )
    model.eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
    return model


def picture(height=60, width=84, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


# -- labels


def test_one_class_alone_has_one_logit_and_no_background():
    labels = Labels(classes=("cell",), overlapping=True)
    assert (labels.background, labels.foreground, labels.index_type) == (None, (0,), "uint8")
    assert labels.colours[0] != (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"background": 1}, "no background"),
        ({"values": (0, 1, 2)}, "leave out values"),
        ({"ignore_index": 1}, "ignore_index must"),
        ({"classes": ()}, "at least one class"),
    ],
)
def test_labels_that_overlap_refuse_what_means_nothing_for_them(options, told):
    with pytest.raises(OptionError, match=told):
        Labels(**{"classes": CLASSES, "overlapping": True, **options})


def test_a_config_needs_a_logit_for_each_class_and_comes_back_as_it_was():
    config = config_of(network())
    assert from_json(json.loads(json.dumps(to_json(config))), "it") == config
    with pytest.raises(OptionError, match="each of which needs a logit"):
        ModelConfig(architecture=config.architecture, labels=replace(LABELS, classes=("a",)))


def test_a_config_without_overlap_says_nothing_of_it():
    config = replace(config_of(network()), labels=Labels(classes=CLASSES))
    assert not {"background", "overlapping"} & set(to_json(config)["labels"])


# -- decision


@pytest.mark.parametrize("restore", ["logits", "probabilities", None])
@pytest.mark.parametrize("keeps", [None, torch.float32])
def test_a_class_is_there_where_its_sigmoid_exceeds_its_threshold(restore, keeps):
    resize = restore and Resize(
        mode="stretch", height=24, width=40, interpolation="bilinear", restore=restore
    )
    config = replace(config_of(network(resize=resize)), threshold=0.3)
    size = (48, 56)
    (height, width), place = placed(*size, resize)
    logits = 3 * torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))
    mask, *kept = Decision(config, {1: 0.7}, keeps).whole(logits, place, size)
    if restore == "probabilities":
        chances = torch.nn.functional.interpolate(logits.sigmoid()[None], size, mode="bilinear")[0].numpy()
    elif restore == "logits":
        chances = sigmoid(torch.nn.functional.interpolate(logits[None], size, mode="bilinear")[0].numpy())
    else:
        chances = sigmoid(logits.numpy())
    levels = np.array([0.3, 0.7, 0.3])[:, None, None]
    sure = abs(chances - levels) > 1e-5
    assert mask.dtype == torch.uint8
    assert ((mask.numpy() == (chances > levels)) | ~sure).all()
    for one in kept:
        np.testing.assert_allclose(one.numpy(), chances, atol=1e-5)


def test_logits_that_are_all_negative_are_no_class_at_all():
    config = config_of(network())
    (mask,) = Decision(config).whole(torch.full((3, 4, 5), -1.0), placed(4, 5, None)[1], (4, 5))
    assert not mask.any()


def test_one_class_alone_is_decided_by_its_one_logit():
    model, image = network(["cell"]), picture()
    found = Predictor(model, backend="eager")(image)
    assert found.mask.shape == (1, 60, 84)
    logits = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).detach().numpy()[0]
    np.testing.assert_array_equal(found.mask, logits > 0)


@pytest.mark.slow
@pytest.mark.parametrize("resize", [None, Resize(mode="scale", scale=0.5)])
def test_tiles_find_what_the_whole_image_shows(resize):
    model, image = network(resize=resize), picture(700, 500)
    whole = Predictor(model, backend="eager", thresholds={"lesion": 0.4})(image).mask
    least = "120MB" if resize is None else "80MB"
    predictor = Predictor(model, backend="eager", memory=least, thresholds={"lesion": 0.4})
    prepared = predictor.prepare(image)
    assert prepared.plan is not None
    tiled = predictor.segment_prepared([prepared])[0].mask
    assert whole.shape == tiled.shape == (3, 700, 500)
    assert np.mean(whole != tiled) < 1e-4


def test_views_and_ensembles_average_the_probabilities_of_each_class():
    models, image = [network(seed=seed) for seed in (1, 2)], picture(64, 64)
    alone = [Predictor(one, backend="eager")(image, probabilities=True).probabilities for one in models]
    both = Predictor(models, backend="eager")(image, probabilities=True)
    np.testing.assert_allclose(both.probabilities, np.mean(alone, axis=0), atol=1e-5)
    flipped = Predictor(models[0], backend="eager")(image[:, ::-1].copy(), probabilities=True)
    views = Predictor(models[0], backend="eager", flips=["horizontal"])(image, probabilities=True)
    mean = (alone[0] + flipped.probabilities[..., ::-1]) / 2
    np.testing.assert_allclose(views.probabilities, mean, atol=1e-5)
    np.testing.assert_array_equal(views.mask, views.probabilities > 0.5)


def test_networks_whose_classes_overlap_make_no_ensemble_with_others():
    other = network()
    other.segzoo_config = replace(config_of(other), labels=Labels(classes=CLASSES))
    with pytest.raises(OptionError, match="same kind of classes: the first has classes that overlap"):
        Predictor([network(), other])


# -- checkpoints of other programs


def same_rule(model, golden, logits, threshold=0.5):
    """Whether the masks are those of a sigmoid a class above a threshold, written in plain numpy."""
    config, size = model.segzoo_config, golden.images.shape[-2:]
    decision = Decision(replace(config, preprocessing=Preprocessing()))
    with torch.no_grad():
        (mask,) = decision.whole(model(golden.images)[0], placed(*size, None)[1], tuple(size))
    chances, step = sigmoid(logits), golden.about["output_stride"]
    sure = abs(chances - threshold) > 1e-4
    assert sure.mean() > 0.99
    assert 0 < (chances > threshold).mean() < 1
    return ((mask.numpy()[:, ::step, ::step] == (chances > threshold)) | ~sure).all()


@pytest.mark.slow
@pytest.mark.parametrize("write", [containers.plain, containers.ascend])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_the_unet_plus_plus_program_and_its_port_give_the_masks_of_their_rule(tmp_path, write, threshold):
    golden = Golden("nested_unet")
    tensors, logits = golden.tensors, golden.logits["logits"].numpy()[0]
    shifts = np.float32([0, -np.median(logits), -2 * abs(logits).max()])
    tensors["final.weight"] = tensors["final.weight"].repeat(3, 1, 1, 1)
    tensors["final.bias"] = tensors["final.bias"] + torch.from_numpy(shifts)
    write(tensors, tmp_path / "model.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "model.pth", tmp_path / "out", threshold=threshold))
    assert model.segzoo_config.labels.classes == ("class 1", "class 2", "class 3")
    assert same_rule(model, golden, logits + shifts[:, None, None], threshold)


def test_where_all_logits_are_negative_the_unet_plus_plus_program_sees_nothing(tmp_path):
    tensors = containers.small(Golden("nested_unet"))
    tensors["final.weight"] = 0 * tensors["final.weight"].repeat(3, 1, 1, 1)
    tensors["final.bias"] = torch.tensor([-1.0, -2.0, -3.0])
    containers.plain(tensors, tmp_path / "model.pth")
    out = segzoo.convert(tmp_path / "model.pth", tmp_path / "out")
    assert not segzoo.predict(picture(), model=out).mask.any()


@pytest.mark.slow
def test_a_multi_label_folder_of_smp_gives_the_masks_of_its_rule(tmp_path):
    golden = Golden("smp_resnet18")
    (tmp_path / "smp").mkdir()
    save_file(golden.tensors, tmp_path / "smp/model.safetensors")
    (tmp_path / "smp/config.json").write_text(json.dumps({**golden.about["config"], "activation": "sigmoid"}))
    model = segzoo.load(segzoo.convert(tmp_path / "smp", tmp_path / "out"))
    assert same_rule(model, golden, golden.logits["logits"].numpy()[0])


# -- what is drawn and written


def segmented(height=40, width=56, probabilities=False):
    """Two discs that overlap, and a third class that is nowhere."""
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((3, height, width), np.uint8)
    for plane, x in zip(mask, (20, 32), strict=False):
        plane[(rows - 18) ** 2 + (columns - x) ** 2 < 144] = 1
    chances = np.where(mask, 0.9, 0.2).astype(np.float32)
    return Segmentation(mask, LABELS, picture(height, width), chances if probabilities else None)


def test_areas_count_a_pixel_in_every_class_that_it_has():
    found = segmented()
    assert found.areas == {name: int(plane.sum()) for name, plane in zip(CLASSES, found.mask, strict=True)}
    assert found.shares["vessel"] == found.mask[0].mean()
    assert repr(found).startswith("<Segmentation of 56 x 40 pixels: vessel 19.5 %, optic disc 19.5 %")


def test_one_class_by_itself_is_a_mask_with_a_background():
    found = segmented(probabilities=True).of_class("optic disc")
    np.testing.assert_array_equal(found.mask, segmented().mask[1])
    assert found.labels.classes == ("background", "optic disc")
    assert found.labels.colours[1] == LABELS.colours[1]
    assert found.probabilities.shape == (1, 40, 56)
    with pytest.raises(OptionError, match="do not overlap"):
        found.of_class(1)
    with pytest.raises(OptionError, match="no single index"):
        segmented().index_image()


def test_where_classes_overlap_their_colours_are_mixed_and_each_is_outlined():
    found = segmented()
    colours = np.asarray(found.colour_image())
    both = found.mask[:2].all(axis=0)
    mean = np.rint(np.mean([LABELS.colours[0], LABELS.colours[1]], axis=0))
    assert (colours[both] == mean).all()
    assert (colours[~found.mask.any(axis=0)] == 0).all()
    lines = np.asarray(found.overlay(0, line_width=1))
    for index in (0, 1):
        edge = outline(found.mask[index], found.of_class(index).labels)
        edge &= ~outline(found.mask[1], found.of_class(1).labels) | (index == 1)
        assert (lines[edge] == LABELS.colours[index]).all()


def test_objects_are_found_in_each_class_and_may_overlap():
    found = segmented()
    objects = found.instances()
    assert (objects.classes.tolist(), objects.numbers.max(axis=(1, 2)).tolist()) == ([0, 1], [1, 2, 0])
    assert objects.areas.tolist() == [found.areas[name] for name in CLASSES[:2]]
    assert objects.boxes().tolist() == [[9, 7, 23, 23], [21, 7, 23, 23]]
    assert [index for index, _ in found.polygons()] == [0, 1]


def test_small_objects_and_holes_go_in_each_class_by_itself():
    mask = segmented().mask.copy()
    mask[0, 0, :3], mask[1, 18, 32], mask[0, 18, 20] = 1, 0, 0
    cleaned = clean(mask, LABELS, smallest_object=5, smallest_hole={"optic disc": 5})
    expected = segmented().mask.copy()
    expected[0, 18, 20] = 0
    np.testing.assert_array_equal(cleaned, expected)


def test_a_mask_is_a_file_for_each_class_and_a_stack_where_the_format_holds_one(tmp_path):
    found = segmented()
    written = write_outputs(found, tmp_path / "eye", ["mask", "overlay"])
    names = ["eye_vessel_mask.png", "eye_optic_disc_mask.png", "eye_lesion_mask.png", "eye_overlay.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for path, plane in zip(written, found.mask, strict=False):
        np.testing.assert_array_equal(read_mask(path), plane)
    with Image.open(written[1]) as image:
        assert image.getpalette()[3:6] == list(LABELS.colours[1])
    for suffix in (".tif", ".npy"):
        options = OutputOptions(suffixes={"mask": f"_mask{suffix}"})
        (path,) = write_outputs(found, tmp_path / "eye", ["mask"], options)
        stack = np.load(path) if suffix == ".npy" else tifffile.imread(path)
        np.testing.assert_array_equal(stack, found.mask)
    with Image.open(tmp_path / "eye_mask.tif") as image:
        assert image.n_frames == 3
        image.seek(1)
        np.testing.assert_array_equal(np.asarray(image), found.mask[1])


def test_only_some_classes_may_be_written(tmp_path):
    options = OutputOptions(classes=("optic disc",))
    written = write_outputs(segmented(), tmp_path / "eye", ["mask", "areas"], options)
    assert [path.name for path in written] == ["eye_optic_disc_mask.png", "eye_areas.csv"]
    counts = [line.split(",")[2] for line in written[1].read_text().splitlines()[1:]]
    assert counts == ["0", str(segmented().areas["optic disc"]), "0"]


def test_names_that_files_cannot_have_and_names_that_only_differ_in_these_are_told_apart():
    labels = Labels(classes=("a/b", "a b", "A_b", "../x", "Zähne"), overlapping=True)
    assert file_words(labels) == ["a_b_0", "a_b_1", "A_b_2", "_x", "Zähne"]


def test_objects_of_coco_and_geojson_have_their_class_and_all_their_pixels(tmp_path):
    found = segmented()
    coco, geojson = write_outputs(found, tmp_path / "eye", ["coco", "geojson"])
    told = json.loads(coco.read_text())
    assert [one["name"] for one in told["categories"]] == list(CLASSES)
    for one, name in zip(told["annotations"], CLASSES, strict=False):
        assert (one["category_id"], one["area"]) == (CLASSES.index(name) + 1, found.areas[name])
    shapes = json.loads(geojson.read_text())["features"]
    assert [(one["properties"]["class"], one["properties"]["pixels"]) for one in shapes] == [
        (name, found.areas[name]) for name in CLASSES[:2]
    ]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_by_rows_the_same_files_are_written(tmp_path, suffix):
    found = segmented(150, 90, probabilities=True)
    names = ["mask", "values", "binary", "colour", "overlay", "contours", "areas", "probabilities", "cutout"]
    options = OutputOptions(suffixes={"mask": f"_mask{suffix}"})
    for only in ((), ("vessel", "lesion")):
        look = replace(options, classes=only, overwrite=True)
        whole = write_outputs(found, tmp_path / "whole", names, look)
        paths = {name: output_path(tmp_path / "rows", name, look) for name in names}
        rows = ArrayRows(found.image)
        with output_files(paths, LABELS, found.size, options=look, image=lambda rows=rows: rows) as files:
            for top in range(0, 150, 37):
                files.write(found.mask[:, top : top + 37])
                files.probabilities.write(found.probabilities[:, top : top + 37].astype(np.float16))
            assert files.shares == pytest.approx(found.shares)
        for path in whole:
            other = path.with_name(path.name.replace("whole", "rows"))
            if path.suffix == ".npy":
                np.testing.assert_array_equal(np.load(path), np.load(other))
            elif path.suffix == ".csv":
                assert path.read_text() == other.read_text()
            elif path.suffix == ".tif":
                np.testing.assert_array_equal(tifffile.imread(path), tifffile.imread(other))
            else:
                with Image.open(path) as one, Image.open(other) as two:
                    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_a_notebook_shows_the_mixed_colours_and_shares_of_the_image():
    html = segmented()._repr_html_()
    assert "vessel" in html
    assert "19.51 %" in html


@pytest.mark.slow
def test_a_run_names_resumes_and_replaces_all_files_of_a_class(tmp_path):
    segzoo.save(network(), tmp_path / "weights")
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.fromarray(picture()).save(tmp_path / f"photos/{name}.png")
    asked = [
        "predict",
        str(tmp_path / "photos"),
        "-m",
        str(tmp_path / "weights"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.run(asked) == 0
    files = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    words = ("lesion_mask", "optic_disc_mask", "overlay", "vessel_mask")
    assert files == [f"{name}_{word}.png" for name in "ab" for word in words]
    entry = json.loads((tmp_path / "out/manifest.jsonl").read_text().splitlines()[-1])
    assert len(entry["outputs"]) == 4
    assert cli.run(asked) == 1
    assert cli.run([*asked, "--overwrite"]) == 0
    (tmp_path / "out/b_vessel_mask.png").unlink()
    assert cli.run([*asked, "--resume"]) == 0
    assert (tmp_path / "out/b_vessel_mask.png").exists()


@pytest.mark.slow
def test_a_large_image_goes_by_rows_within_its_budget(tmp_path):
    segzoo.save(network(), tmp_path / "weights")
    Image.fromarray(picture(2000, 1500)).save(tmp_path / "large.png")
    asked = ["predict", str(tmp_path / "large.png"), "-m", str(tmp_path / "weights")]
    assert (
        cli.run([*asked, "--out", str(tmp_path / "rows"), "--outputs", "mask:tif", "--memory", "130MB"]) == 0
    )
    assert cli.run([*asked, "--out", str(tmp_path / "whole"), "--outputs", "mask:npy"]) == 0
    by_rows = tifffile.imread(tmp_path / "rows/large_mask.tif")
    assert np.mean(by_rows != np.load(tmp_path / "whole/large_mask.npy")) < 1e-3
