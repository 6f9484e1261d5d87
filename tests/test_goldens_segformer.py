"""SegFormer of transformers: the checkpoints become networks of segzoo with the library's own logits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from goldens.libraries import LibraryGolden, names
from safetensors.torch import save_file

import segzoo
from segzoo.errors import WeightsError
from segzoo.weights.checkpoints import Checkpoint
from segzoo.weights.conversion import convert
from segzoo_decoders.layouts import segformer

TINY = "transformers_segformer_tiny"


def checkpoint(name=TINY, **config):
    """The folder as a layout is given it; `config` replaces keys of config.json, or removes them if None."""
    golden = LibraryGolden(name)
    files = golden.about["files"]
    told = {key: value for key, value in {**files["config.json"], **config}.items() if value is not None}
    extras = {"config": told, "preprocessor_config": files["preprocessor_config.json"]}
    return Checkpoint(tensors=golden.tensors, extras=extras, file=f"{name}/model.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != TINY))
        for name in names("transformers_segformer")
    ],
)
def test_the_logits_are_the_library_s(name, tmp_path):
    golden = LibraryGolden(name)
    model = segzoo.load(
        convert(golden.write(tmp_path), tmp_path / "out", layout="transformers-segformer")
    ).eval()
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= golden.tolerance


@pytest.mark.medium
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_engines_give_the_library_s_logits(precision, tmp_path):
    from segzoo.prediction.engines import make_engine

    golden = LibraryGolden(TINY)
    model = segzoo.load(
        convert(golden.write(tmp_path), tmp_path / "out", layout="transformers-segformer")
    ).eval()
    engine = make_engine(model, precision=precision)
    assert golden.error(engine(golden.images)) <= (golden.tolerance if precision == "exact" else 0.05)


def test_a_known_size_is_named_and_an_unknown_one_is_described():
    known = segformer.segmentation(checkpoint("transformers_segformer_b0_150")).architecture
    assert known.name == "segzoo-decoders:segformer/segzoo:mit_b0"
    assert known.encoder == {"eps": 1e-5, "embed_eps": 1e-5, "drop_path": 0.1}
    other = segformer.segmentation(checkpoint()).architecture
    assert other.name == "segzoo-decoders:segformer/segzoo:mit"
    assert other.encoder["heads"] == (1, 2, 3, 4)


def test_classes_preprocessing_and_licence_are_taken_from_beside_the_tensors():
    names = {str(index): f"thing {index}" for index in reversed(range(5))}
    found = segformer.segmentation(checkpoint(id2label=names, semantic_loss_ignore_index=254))
    assert found.labels is not None
    assert found.labels.classes == tuple(f"thing {index}" for index in range(5))
    assert found.labels.ignore_index == 254
    assert found.preprocessing.resize is not None
    assert (found.preprocessing.resize.height, found.preprocessing.resize.width) == (64, 96)
    assert found.preprocessing.mean == (0.485, 0.456, 0.406)
    assert any("not for commercial use" in note for note in found.notes)
    reduced = segformer.segmentation(checkpoint("transformers_segformer_b0_150"))
    assert any("do_reduce_labels" in note for note in reduced.notes)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "names 2 classes .* its head has 5"),
        ({"model_type": "upernet"}, "model_type 'upernet'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"strides": [4, 2, 2, 1]}, "strides"),
        ({"num_attention_heads": None}, r"pass heads=\[1, 2, 5, 8\]"),
        ({"num_attention_heads": [1, 2]}, "how many attention heads its 4 stages have"),
        ({"num_attention_heads": "abc"}, "attention heads"),
        ({"architectures": ["NoSuchModel"]}, "names NoSuchModel .* for SegformerForSemanticSegmentation"),
        ({"architectures": ["SegformerForImageClassification"]}, "names SegformerForImageClassification"),
    ],
    ids=str,
)
def test_a_config_that_is_another_network_s_is_refused(config, told):
    with pytest.raises(WeightsError, match=told):
        segformer.segmentation(checkpoint(**config))


def test_heads_that_do_not_divide_their_stage_are_refused_when_converting(tmp_path):
    folder = LibraryGolden(TINY).write(tmp_path, num_attention_heads=[3, 2, 3, 4])
    with pytest.raises(WeightsError, match="do not divide the width 8"):
        convert(folder, tmp_path / "out", layout="transformers-segformer")


@pytest.mark.parametrize(
    "lost", ["decode_head.linear_c.2.proj.weight", "segformer.encoder.layer_norm.3.bias"]
)
def test_a_missing_tensor_is_named(lost, tmp_path):
    folder = LibraryGolden(TINY).write(tmp_path)
    tensors = LibraryGolden(TINY).tensors
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=lost):
        convert(folder, tmp_path / "out", layout="transformers-segformer")


def test_a_tensor_too_many_is_named(tmp_path):
    folder = LibraryGolden(TINY).write(tmp_path)
    tensors = {
        **LibraryGolden(TINY).tensors,
        "segformer.encoder.block.0.9.layer_norm_1.weight": torch.ones(8),
    }
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"block\.0\.9"):
        convert(folder, tmp_path / "out", layout="transformers-segformer")


def test_a_bare_state_dict_is_told_its_heads(tmp_path):
    golden = LibraryGolden(TINY)
    torch.save(golden.tensors, tmp_path / "tiny.pth")
    with pytest.raises(WeightsError, match="does not say how many attention heads"):
        convert(tmp_path / "tiny.pth", tmp_path / "out")
    model = segzoo.load(convert(tmp_path / "tiny.pth", tmp_path / "out", heads=[1, 2, 3, 4])).eval()
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= golden.tolerance


def test_the_classifier_of_images_becomes_an_encoder(tmp_path):
    golden = LibraryGolden(TINY)
    folder = golden.write(tmp_path, architectures=["SegformerForImageClassification"])
    tensors = {name: t for name, t in golden.tensors.items() if not name.startswith("decode_head.")}
    tensors |= {"classifier.weight": torch.zeros(10, 32), "classifier.bias": torch.zeros(10)}
    save_file(tensors, folder / "model.safetensors")
    out = convert(folder, tmp_path / "out")
    told = json.loads((out / "config.json").read_text())
    assert told["encoder"] == "segzoo:mit"
    whole = segformer.segmentation(checkpoint()).transfer.tensors
    encoder = {name.removeprefix("encoder."): t for name, t in whole.items() if name.startswith("encoder.")}
    classifier = checkpoint(architectures=["SegformerForImageClassification"])
    made = segformer.classification(replace(classifier, tensors=tensors)).transfer.tensors
    assert made.keys() == encoder.keys()
    assert all(made[name].equal(encoder[name]) for name in made)
    with pytest.raises(WeightsError, match=r"names NoSuchModel .* for SegformerForImageClassification"):
        segformer.classification(replace(checkpoint(architectures=["NoSuchModel"]), tensors=tensors))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (67, 131)], ids=str)
def test_a_state_dict_saved_from_the_library_has_the_library_s_logits(size, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], num_attention_heads=[1, 2, 3, 4],
        sr_ratios=[4, 2, 1, 1], mlp_ratios=[2, 3, 4, 4], decoder_hidden_size=20, num_channels=4, num_labels=3,
    )  # fmt: skip
    theirs = transformers.SegformerForSemanticSegmentation(config).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = segzoo.load(convert(tmp_path / "theirs.pth", tmp_path / "out", heads=[1, 2, 3, 4])).eval()
    images = torch.rand(2, 4, *size)
    with torch.no_grad():
        wanted = torch.nn.functional.interpolate(theirs(images).logits, size, mode="bilinear")
        assert (ours(images) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.slow
def test_what_is_amiss_for_two_layouts_is_told_once(tmp_path):
    golden = LibraryGolden(TINY)
    few = golden.write(tmp_path, id2label={"0": "road", "1": "sky"})
    with pytest.raises(WeightsError, match=r"^config\.json names 2 classes .*each channel of the head$"):
        convert(few, tmp_path / "out")
    folder, tensors = golden.write(tmp_path), golden.tensors
    del tensors["segformer.encoder.block.0.0.attention.output.dense.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"segformer' in 1 tensor:\n  missing: \S*dense\.bias$"):
        convert(folder, tmp_path / "out")
