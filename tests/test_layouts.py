"""Checkpoints of other programs compute, converted, the logits that those programs computed."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from goldens import containers
from goldens.golden import FOLDER, Golden, filled
from safetensors.torch import save_file

import segzoo
from segzoo import zoo
from segzoo.weights.layouts import Checkpoint, Transfer

#: The most that logits may differ, relative to the largest of them.
TOLERANCE = 1e-5

GOLDENS = [
    ("milesial_transpose", containers.plain, "milesial"),
    ("milesial_bilinear", containers.legacy, "milesial"),
    ("bubbliiiing_vgg", containers.plain, "bubbliiiing"),
    ("bubbliiiing_resnet50", containers.plain, "bubbliiiing"),
    ("nested_unet", containers.plain, "pytorch-nested-unet"),
    ("nested_unet", containers.ascend, "pytorch-nested-unet"),
    ("nested_unet_deep", containers.plain, "pytorch-nested-unet"),
    ("nested_plain_unet", containers.plain, "pytorch-nested-unet"),
    ("wzmiaomiao_unet", containers.with_training_state, "wzmiaomiao-unet"),
    ("wzmiaomiao_vgg16", containers.with_training_state, "wzmiaomiao-vgg16"),
    ("wzmiaomiao_mobilenet", containers.with_training_state, "wzmiaomiao-mobilenet"),
    ("mindspore_simple", containers.mindspore_in_training, "mindspore-unet-simple"),
    ("mindspore_nested", containers.mindspore, "mindspore-unet-nested"),
]


def converted(tensors, write, folder, **options):
    """Write a checkpoint, convert it, load what came out."""
    file = folder / "original.pth"
    write(tensors, file)
    out = segzoo.convert(file, folder / "converted", **options)
    file.unlink()
    return segzoo.load(out)


def errors(model, golden):
    """The relative error of every output that a golden has."""
    with torch.no_grad():
        outputs = model.side_logits(golden.images) if len(golden.logits) > 1 else [model(golden.images)]
    return [golden.error(one, which) for one, which in zip(outputs, sorted(golden.logits), strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write", "layout"), GOLDENS)
def test_a_converted_checkpoint_computes_the_logits_of_its_program(name, write, layout, tmp_path):
    golden = Golden(name)
    model = converted(golden.tensors, write, tmp_path)
    assert max(errors(model, golden)) <= TOLERANCE
    assert model.segzoo_config.provenance["layout"].endswith(f":{layout}")


@pytest.mark.slow
def test_with_deep_supervision_forward_returns_the_last_output(tmp_path):
    golden = Golden("nested_unet_deep")
    model = converted(golden.tensors, containers.plain, tmp_path)
    with torch.no_grad():
        assert golden.error(model(golden.images), "logits4") <= TOLERANCE


@pytest.mark.slow
def test_the_network_of_valid_convolutions_computes_its_388_pixels_bare_and_every_pixel_mirrored(tmp_path):
    golden = Golden("mindspore_medical")
    model = converted(golden.tensors, containers.mindspore, tmp_path)
    bare = segzoo.load(tmp_path / "converted", mirror=False)
    assert max(errors(bare, golden)) <= TOLERANCE
    with torch.no_grad():
        assert bare(golden.images).shape == (1, 2, 388, 388)
        assert model(golden.images[..., :70, :50]).shape == (1, 2, 70, 50)


@pytest.mark.medium
def test_the_convolution_biases_of_milesial_1_and_2_fold_into_the_means(tmp_path):
    # Any bias that is added to a running mean as well changes no logit: the golden's must come out.
    golden = Golden("wzmiaomiao_unet")
    tensors = _as_milesial(golden.tensors)
    for name in [name for name in tensors if name.endswith(("double_conv.0.weight", "double_conv.3.weight"))]:
        bias = name.replace("weight", "bias")
        mean = name.replace(".0.weight", ".1.running_mean").replace(".3.weight", ".4.running_mean")
        tensors[bias] = filled(bias, "shift", (tensors[name].shape[0],))
        tensors[mean] = tensors[mean] + tensors[bias]
    model = converted(tensors, containers.plain, tmp_path, scale=1.0)
    assert model.segzoo_config.provenance["layout"] == "segzoo-carvana:milesial"
    assert max(errors(model, golden)) <= TOLERANCE


def _as_milesial(tensors):
    """The same network under milesial's names."""
    renamed = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] == "in_conv":
            parts = ["inc", "double_conv", *parts[1:]]
        elif parts[0].startswith("down"):
            parts = [parts[0], "maxpool_conv", "1", "double_conv", *parts[2:]]
        elif parts[0].startswith("up"):
            parts = [parts[0], "conv", "double_conv", *parts[2:]]
        else:
            parts = ["outc", "conv", parts[-1]]
        renamed[".".join(parts)] = tensor
    return renamed


@pytest.mark.slow
def test_the_older_decoder_of_bubbliiiing_has_no_relus(tmp_path):
    golden = Golden("bubbliiiing_vgg")
    tensors = golden.tensors
    model = converted(tensors, containers.plain, tmp_path, activation="none")
    images = golden.images[..., :32, :32]
    with torch.no_grad():
        expected, actual = _older_bubbliiiing(tensors, images), model(images)
    assert (actual - expected).abs().max() / expected.abs().max() <= TOLERANCE


def _older_bubbliiiing(tensors, x):
    def conv(name, x):
        return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    features, index = [], 0
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        x = F.max_pool2d(x, 2) if features else x
        for index in block:
            x = F.relu(conv(f"vgg.features.{index}", x))
        features.append(x)
    for level in (4, 3, 2, 1):
        up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = torch.cat((features[level - 1], up), dim=1)
        x = conv(f"up_concat{level}.conv2", conv(f"up_concat{level}.conv1", x))
    return F.conv2d(x, tensors["final.weight"], tensors["final.bias"])


def test_a_file_that_mindspore_wrote_is_read_and_converted(tmp_path):
    out = segzoo.convert(FOLDER / "mindspore_simple_tiny.ckpt", tmp_path / "out")
    model = segzoo.load(out)
    assert model.segzoo_config.architecture.encoder["width"] == 2
    assert model(torch.rand(1, 1, 40, 56)).shape == (1, 2, 40, 56)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smp_resnet18", "smp_vgg11_bn"])
def test_a_folder_of_segmentation_models_pytorch_computes_its_logits(name, tmp_path):
    golden = Golden(name)
    folder = tmp_path / "smp"
    folder.mkdir()
    save_file(golden.tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(golden.about["config"]))
    model = segzoo.load(segzoo.convert(folder, tmp_path / "out"))
    assert max(errors(model, golden)) <= TOLERANCE


@pytest.mark.slow
def test_a_bare_file_of_segmentation_models_pytorch_needs_to_be_told_its_encoder(tmp_path):
    golden, file = Golden("smp_resnet18"), tmp_path / "unet.pth"
    containers.plain(golden.tensors, file)
    with pytest.raises(segzoo.errors.WeightsError, match="does not name its encoder: pass encoder="):
        segzoo.convert(file, tmp_path / "out", layout="segzoo:smp-unet")  # segzoo-smp finds it by trying
    model = segzoo.load(segzoo.convert(file, tmp_path / "out", encoder="resnet18"))
    assert max(errors(model, golden)) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "encoder"),
    [
        ("mobilenet_v3_large", "mobilenetv3_large_100"),
        ("resnet50", "resnet50"),
        ("vgg16", "vgg16"),
        ("vgg16_bn", "vgg16_bn"),
    ],
)
def test_a_classifier_of_torchvision_becomes_an_encoder_with_its_features(network, encoder, tmp_path):
    from torchvision import models

    original = getattr(models, network)(num_classes=2).eval()
    if "vgg" in network:  # two layers of its classifier are most of the file
        original.classifier = torch.nn.ModuleDict({"6": torch.nn.Linear(2, 2)})
    original.load_state_dict(
        {name: filled(name, *_kind(name, t)) for name, t in original.state_dict().items()}
    )
    torch.save(original.state_dict(), tmp_path / "imagenet.pth")
    out = segzoo.convert(tmp_path / "imagenet.pth", tmp_path / "out")
    model = segzoo.create(f"unet/{encoder}", num_classes=3, weights=f"local-dir:{out}").eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        actual, expected = model.encoder(images)[-1], _deepest(original, images)
    assert (actual - expected).abs().max() / expected.abs().max() <= TOLERANCE


def _kind(name, tensor):
    if tensor.ndim != 1:
        return ("conv" if tensor.ndim else "count"), tuple(tensor.shape)
    ending = name.rpartition(".")[2]
    return {"running_mean": "mean", "running_var": "var", "weight": "scale"}.get(
        ending, "shift"
    ), tensor.shape


def _deepest(network, x):
    if hasattr(network, "layer4"):
        stem = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        return network.layer4(network.layer3(network.layer2(network.layer1(stem))))
    pooled = isinstance(network.features[-1], torch.nn.MaxPool2d)
    return (network.features[:-1] if pooled else network.features)(x)


@pytest.mark.slow
def test_an_encoder_fills_no_other_encoder(tmp_path):
    from torchvision import models

    torch.save(models.mobilenet_v3_large().state_dict(), tmp_path / "imagenet.pth")
    out = segzoo.convert(tmp_path / "imagenet.pth", tmp_path / "out")
    with pytest.raises(segzoo.errors.WeightsError, match="missing: backbone"):
        segzoo.create("unet/resnet18", num_classes=2, weights=f"local-dir:{out}")
    with pytest.raises(segzoo.errors.WeightsError, match="belongs to an encoder, not to a model"):
        segzoo.load(out)


def test_every_layout_says_what_it_is_and_where_its_program_lives():
    for _, entry in zoo.registry("layouts").items():
        assert entry.spec.summary
        assert entry.spec.homepage.startswith("https://")
        assert entry.spec.signature or entry.spec.beside


def test_a_tensor_may_become_several_of_equal_parts():
    joined = torch.arange(12.0).reshape(6, 2)
    moves = Transfer(Checkpoint(tensors={"in_proj": joined}, file="made-up.pth"))
    moves.split("in_proj", ("query", "key", "value"))
    assert [moves.tensors[name].tolist() for name in ("query", "key", "value")] == joined.reshape(
        3, 2, 2
    ).tolist()
    assert moves.troubles(moves.tensors) == ([], [], [])


def test_a_tensor_that_cannot_be_divided_is_told():
    moves = Transfer(Checkpoint(tensors={"in_proj": torch.zeros(5, 2)}, file="made-up.pth"))
    moves.split("in_proj", ("query", "key", "value"))
    _, _, wrong = moves.troubles({name: torch.zeros(2, 2) for name in ("query", "key", "value")})
    assert wrong == ["in_proj is (5, 2), the network has (2, 2)"]


def test_a_linear_layer_and_a_convolution_of_single_pixels_become_one_another():
    tensors = {
        "a.weight": torch.ones(3, 2),
        "a.bias": torch.ones(3),
        "b.weight": torch.ones(3, 2, 1, 1),
        "b.bias": torch.ones(3),
    }
    moves = Transfer(Checkpoint(tensors=tensors, file="made-up.pth"))
    moves.pointwise("a", "conv", rank=4)
    moves.pointwise("b", "linear", rank=2)
    assert moves.tensors["conv.weight"].shape == (3, 2, 1, 1)
    assert moves.tensors["linear.weight"].shape == (3, 2)
    assert moves.troubles(moves.tensors) == ([], [], [])


def test_a_convolution_of_3x3_becomes_no_linear_layer():
    tensors = {"a.weight": torch.ones(3, 2, 3, 3), "a.bias": torch.ones(3)}
    moves = Transfer(Checkpoint(tensors=tensors, file="made-up.pth"))
    moves.pointwise("a", "linear", rank=2)
    _, _, wrong = moves.troubles({"linear.weight": torch.ones(3, 2), "linear.bias": torch.ones(3)})
    assert wrong == ["a.weight is (3, 2, 3, 3), the network has (3, 2)"]


def test_parts_of_names_may_change_and_an_epsilon_is_made_up_for():
    tensors = {
        "back.a.bn.running_var": torch.ones(2),
        "back.a.bn.weight": torch.ones(2),
        "rest": torch.ones(1),
    }
    moves = Transfer(Checkpoint(tensors=tensors, file="made-up.pth"))
    moves.copy("back.", "encoder.", renamed={r"\bbn\.": "norm."}, eps=1e-3)
    assert sorted(moves.tensors) == ["encoder.a.norm.running_var", "encoder.a.norm.weight"]
    expected = torch.full((2,), 1 + 1e-3 - 1e-5)
    assert torch.allclose(moves.tensors["encoder.a.norm.running_var"], expected, atol=1e-7)


def test_several_tensors_may_become_one_and_channels_change_their_order():
    tensors = {"q": torch.zeros(2, 3), "k": torch.ones(2, 3), "scale": torch.arange(3.0)}
    moves = Transfer(Checkpoint(tensors=tensors, file="made-up.pth"))
    moves.join(["q", "k"], "qk")
    moves.reorder("scale", "scale", [2, 0, 1])
    assert moves.tensors["qk"].tolist() == [[0, 0, 0]] * 2 + [[1, 1, 1]] * 2
    assert moves.tensors["scale"].tolist() == [2, 0, 1]
    assert moves.troubles(moves.tensors) == ([], [], [])


def test_what_cannot_be_joined_or_reordered_is_told():
    tensors = {"q": torch.zeros(2, 3), "k": torch.ones(2, 4), "scale": torch.arange(4.0)}
    moves = Transfer(Checkpoint(tensors=tensors, file="made-up.pth"))
    moves.join(["q", "k"], "qk")
    moves.join(["q", "v"], "qv")
    moves.reorder("scale", "scale", [2, 0, 1])
    missing, _, wrong = moves.troubles({"qk": torch.zeros(4, 3), "scale": torch.zeros(3)})
    assert missing == ["missing: v"]
    assert wrong == ["q is (1, 2, 3), the network has (4, 3)", "scale is (4,), the network has (3,)"]
