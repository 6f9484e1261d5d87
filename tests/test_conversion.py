"""Converting: a layout is recognised, or refused with the tensors that differ; the folder says it all."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from goldens import containers
from goldens.golden import Golden
from safetensors.torch import save_file

import segzoo
from segzoo import cli
from segzoo.errors import FailureError, OptionError, UnknownNameError, WeightsError
from segzoo.specs import Labels, Preprocessing, Resize
from segzoo.weights.checkpoints import Checkpoint
from segzoo.weights.folder import read_config
from segzoo.weights.layouts.smp import smp_unet


def milesial(**changes):
    """A small checkpoint of milesial's transposed U-Net; `changes` replaces tensors, None removes one."""
    tensors = {**containers.small(Golden("milesial_transpose")), **changes}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@pytest.fixture
def checkpoint(tmp_path):
    file = tmp_path / "unet.pth"
    torch.save(milesial(), file)
    return file


def config(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_the_folder_says_where_its_weights_come_from(checkpoint, tmp_path):
    told = config(segzoo.convert(checkpoint, tmp_path / "out", scale=1.0))
    origin = told["provenance"]
    assert origin["file"] == "unet.pth"
    assert origin["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert origin["layout"] == "segzoo-carvana:milesial"
    assert origin["layout_options"] == {"scale": 1.0}
    assert origin["program"] == "https://github.com/milesial/Pytorch-UNet"
    # What people train with a program is not under its licence.
    assert (origin["program_licence"], told["licence"]) == ("GPL-3.0-only", "")
    assert told["architecture"]["requires"].keys() == {"segzoo"}


def test_settings_of_the_training_are_recorded_but_no_paths_of_whoever_trained(tmp_path):
    containers.with_training_state(containers.small(Golden("wzmiaomiao_unet")), tmp_path / "a.pth")
    origin = config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))["provenance"]
    assert origin["beside_the_tensors"] == {"epoch": 7, "args": {"lr": 0.01, "amp": False, "resume": ""}}
    assert origin["left_out"] == ["optimizer"]


def test_a_converted_model_is_loaded_without_the_file_that_it_came_from(checkpoint, tmp_path):
    out = segzoo.convert(checkpoint, tmp_path / "out")
    checkpoint.unlink()
    model = segzoo.load(out)
    assert model(torch.rand(1, 3, 33, 50)).shape == (1, 2, 33, 50)


def test_mask_values_become_the_values_of_the_labels(tmp_path):
    torch.save({**milesial(), "mask_values": [0, 255]}, tmp_path / "a.pth")
    labels = read_config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out")).labels
    assert labels == Labels(classes=("background", "class 1"), values=(0, 255))


def test_mask_values_that_are_colours_become_the_palette(tmp_path):
    torch.save({**milesial(), "mask_values": [[0, 0, 0], [255, 0, 10]]}, tmp_path / "a.pth")
    labels = read_config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out")).labels
    assert labels.palette == ((0, 0, 0), (255, 0, 10))


def test_mask_values_that_fit_no_classes_are_refused(tmp_path):
    torch.save({**milesial(), "mask_values": [0, 1, 2]}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="mask_values must hold 2 numbers or colours"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


_IMAGENET = (0.485, 0.456, 0.406)
_BGR = Preprocessing(
    channels="bgr",
    mean=_IMAGENET,
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
    resize=Resize(mode="stretch", height=96, width=96, interpolation="bilinear", antialias=False),
)


@pytest.mark.parametrize(
    ("golden", "expected"),
    [
        ("milesial_bilinear", Preprocessing(resize=Resize(mode="scale", scale=0.5))),
        ("nested_unet", _BGR),
        ("nested_plain_unet", _BGR),
        ("wzmiaomiao_unet", Preprocessing(mean=(0.709, 0.381, 0.224), std=(0.127, 0.079, 0.043))),
        (
            "mindspore_medical",
            Preprocessing(
                channels="grey",
                mean=(0.5,),
                std=(0.5,),
                resize=Resize(
                    mode="stretch", height=388, width=388, interpolation="bilinear", antialias=False
                ),
            ),
        ),
        ("mindspore_simple", Preprocessing(channels="grey", mean=(0.5,), std=(0.5,))),
        ("mindspore_nested", Preprocessing(channels="grey", mean=(0.5,), std=(0.5,))),
    ],
)
def test_what_each_program_does_to_an_image_is_recorded(golden, expected, tmp_path):
    write = containers.mindspore if "mindspore" in golden else containers.plain
    write(containers.small(Golden(golden), 4), tmp_path / "a.pth")
    assert read_config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out")).preprocessing == expected


@pytest.mark.slow
def test_the_classes_of_pascal_voc_are_known_by_their_number(tmp_path):
    containers.plain(Golden("bubbliiiing_vgg").tensors, tmp_path / "a.pth")
    told = read_config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert (told.labels.classes[15], told.labels.colours[15]) == ("person", (192, 128, 128))
    assert told.preprocessing.resize == Resize(
        mode="letterbox", height=512, width=512, restore="probabilities"
    )


def test_what_the_caller_knows_better_is_recorded_instead(checkpoint, tmp_path):
    labels = Labels(classes=("background", "car"))
    out = segzoo.convert(
        checkpoint,
        tmp_path / "out",
        labels=labels,
        preprocessing=Preprocessing(channels="bgr"),
        licence="CC0-1.0",
        provenance={"data": "my own"},
    )
    told = read_config(out)
    assert (told.labels, told.preprocessing.channels, told.licence) == (labels, "bgr", "CC0-1.0")
    assert told.provenance["data"] == "my own"


def test_a_checkpoint_in_half_precision_computes_nearly_the_same(checkpoint, tmp_path):
    torch.save(
        {name: t.half() if t.is_floating_point() else t for name, t in milesial().items()}, tmp_path / "h.pth"
    )
    full = segzoo.load(segzoo.convert(checkpoint, tmp_path / "full"))
    half = segzoo.load(segzoo.convert(tmp_path / "h.pth", tmp_path / "half"))
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = full(images)
        assert (half(images) - expected).abs().max() / expected.abs().max() < 0.01


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"up1.up.bias": None, "down1.maxpool_conv.1.double_conv.0.weight": None},
            ["missing: down1.maxpool_conv"],
        ),
        ({"up5.up.weight": torch.ones(1, 1, 2, 2)}, ["not in the network: up5.up.weight (1, 1, 2, 2)"]),
        (
            {"up1.up.weight": torch.ones(3, 3, 2, 2)},
            ["up1.up.weight is (3, 3, 2, 2), the network has (32, 16, 2, 2)"],
        ),
        (
            {"inc.double_conv.1.bias": torch.ones(3), "inc.double_conv.4.running_var": torch.ones(2, 2)},
            [
                "inc.double_conv.1.bias is (3,), the network has (2,)",
                "inc.double_conv.4.running_var is (2, 2)",
            ],
        ),
        (
            {"inc.double_conv.0.bias": torch.ones(5)},
            ["inc.double_conv.0.bias is (1, 5), the network has (2,)"],
        ),
    ],
)
def test_every_tensor_that_differs_is_listed(changes, told, tmp_path):
    torch.save(milesial(**changes), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="does not fit layout 'segzoo-carvana:milesial'") as caught:
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
    for line in told:
        assert line in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_sizes_that_no_network_has_are_refused(tmp_path):
    for name, shape in (("zero", (0, 3, 3, 3)), ("flat", (64,)), ("huge", (30_000_000, 1, 1, 1))):
        torch.save(milesial(**{"inc.double_conv.0.weight": torch.zeros(shape)}), tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match=f"{name}.pth"):
            segzoo.convert(tmp_path / f"{name}.pth", tmp_path / "out")


def test_tensors_of_another_type_are_listed(tmp_path):
    torch.save(milesial(**{"outc.conv.bias": torch.zeros(2, dtype=torch.int32)}), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"outc\.conv\.bias is of type torch\.int32"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


def test_a_checkpoint_of_a_training_that_diverged_is_refused_by_the_tensor(tmp_path):
    torch.save(milesial(**{"outc.conv.bias": torch.tensor([0.0, float("nan")])}), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth does not fit .*1 tensor:\n  head\.bias holds NaN"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_double_precision_becomes_single(tmp_path):
    doubled = {name: t.double() if t.is_floating_point() else t for name, t in milesial().items()}
    torch.save(doubled, tmp_path / "a.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_folder_is_not_converted_onto_itself(tmp_path):
    with pytest.raises(OptionError, match="choose another folder for the result"):
        segzoo.convert(tmp_path, tmp_path)


def test_a_link_that_leads_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.pth").symlink_to("a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth cannot be read"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


@pytest.mark.slow
def test_a_file_of_another_network_is_told_its_first_differences_from_the_closest_layout(tmp_path):
    from torchvision.models import resnet50

    # With its last layer it would be called a classifier.
    away = ("fc.weight", "fc.bias", "layer1.0.conv3.weight")
    tensors = {name: one for name, one in resnet50().state_dict().items() if name not in away}
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"no layout has the tensors of a\.pth: 317, such as conv1\.weight"
    ) as caught:
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
    assert "the closest is 'segzoo:torchvision-resnet50'" in str(caught.value)
    assert "missing: the tensor for backbone.layer1.0.conv3.weight" in str(caught.value)


def test_a_milesial_file_without_one_of_its_marks_is_compared_with_milesial(tmp_path):
    torch.save(milesial(**{"outc.conv.weight": None}), tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"closest is 'segzoo-carvana:milesial'.*\n.*missing: outc\.conv\.weight"
    ):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


def test_tensors_like_no_layouts_are_shown(tmp_path):
    torch.save({"xyz": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"1, such as xyz \(2,\); `segzoo list layouts`"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")


def test_a_forced_layout_that_does_not_fit_lists_what_differs(checkpoint, tmp_path):
    with pytest.raises(WeightsError, match=r"missing: conv0_0\.conv1\.weight"):
        segzoo.convert(checkpoint, tmp_path / "out", layout="4uiiurz1")


def test_an_unknown_layout_or_option_is_refused_with_what_there_is(checkpoint, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'milesial'"):
        segzoo.convert(checkpoint, tmp_path / "out", layout="milesail")
    with pytest.raises(OptionError, match="no option 'scal'; did you mean 'scale'"):
        segzoo.convert(checkpoint, tmp_path / "out", scal=1.0)


@pytest.mark.parametrize("value", [0, -1.0, "half"])
def test_an_impossible_scale_is_refused(value, checkpoint, tmp_path):
    with pytest.raises(OptionError, match="scale"):
        segzoo.convert(checkpoint, tmp_path / "out", scale=value)


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(checkpoint, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FailureError, match="cannot write the model"):
        segzoo.convert(checkpoint, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "unet.pth"]


def test_files_are_as_readable_as_their_neighbours(checkpoint, tmp_path):
    out = segzoo.convert(checkpoint, tmp_path / "out")
    assert (out / "model.safetensors").stat().st_mode == (out / "config.json").stat().st_mode


def test_a_segzoo_folder_is_not_converted_again(checkpoint, tmp_path):
    out = segzoo.convert(checkpoint, tmp_path / "out")
    with pytest.raises(WeightsError, match="is already a segzoo folder"):
        segzoo.convert(out, tmp_path / "again")


@pytest.mark.medium
def test_a_stranger_brings_a_layout_for_networks_of_segzoo(site, tmp_path):
    site.install(
        "segzoo-stranger",
        """
        from segzoo.hooks import hookimpl
        from segzoo.specs import LayoutSpec

        def layout(checkpoint, *, loud: bool = False):
            from segzoo.weights.layouts import Conversion, Transfer, plan
            moves = Transfer(checkpoint)
            moves.copy("my_", "")
            architecture = plan("unet", num_classes=2, options={"width": 2})
            return Conversion(architecture=architecture, transfer=moves)

        @hookimpl
        def segzoo_layouts():
            return [
                LayoutSpec(name="strange", factory="segzoo_stranger:layout", signature=("my_head.weight",))
            ]
        """,
    )
    model = segzoo.create("unet", num_classes=2, width=2).eval()
    torch.save({f"my_{name}": tensor for name, tensor in model.state_dict().items()}, tmp_path / "a.pth")
    twin = segzoo.load(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(twin(images), model(images))


@pytest.mark.medium
def test_two_layouts_that_fit_one_file_are_both_named(site, checkpoint, tmp_path):
    site.install(
        "segzoo-twin",
        """
        from segzoo.hooks import hookimpl
        from segzoo.specs import LayoutSpec

        @hookimpl
        def segzoo_layouts():
            factory = "segzoo_carvana.layout:milesial"
            return [LayoutSpec(name="twin", factory=factory, signature=("outc.conv.weight",))]
        """,
    )
    with pytest.raises(WeightsError, match="pass layout='segzoo-carvana:milesial' or 'segzoo-twin:twin'"):
        segzoo.convert(checkpoint, tmp_path / "out")
    assert segzoo.convert(checkpoint, tmp_path / "out", layout="twin").is_dir()


def test_the_command_converts_and_says_what_to_do_next(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.run(["convert", str(checkpoint), "--out", str(out), "--option", "scale=0.25"]) == 0
    told = capsys.readouterr().out
    assert "segzoo:unet with 2 logits, from layout segzoo-carvana:milesial" in told
    assert f"segzoo predict IMAGES --model {out}" in told
    assert read_config(out).preprocessing.resize.scale == 0.25


def test_the_command_names_the_classes_and_says_which_is_background(checkpoint, tmp_path):
    words = ["convert", str(checkpoint), "--out", str(tmp_path / "out"), "--option", "scale=0.25"]
    assert cli.run([*words, "--classes", "sky,road", "--background", "none"]) == 0
    labels = read_config(tmp_path / "out").labels
    assert (labels.classes, labels.background) == (("sky", "road"), None)
    assert cli.run([*words, "--classes", "sky,road", "--background", "road", "--overwrite"]) == 0
    assert read_config(tmp_path / "out").labels.background == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--option", "scale"], 2, "is not KEY=VALUE"),
        (["--option", "layout=milesial"], 2, "is not an option of a layout"),
        (["--option", "scal=1"], 2, "no option 'scal'"),
        (["--from", "nobody"], 2, "no layout is named 'nobody'"),
        (["--background", "none"], 2, "give both"),
        (["--classes", "sky,road,car"], 2, "labels name 3 classes"),
        (["--classes", "sky,road", "--background", "sea"], 2, "background: there is no class 'sea'"),
        (["--from", "bubbliiiing"], 1, "missing: final.weight"),
    ],
)
def test_the_command_refuses_with_one_message_and_the_right_code(
    arguments, code, told, checkpoint, tmp_path, capsys
):
    assert cli.run(["convert", str(checkpoint), "--out", str(tmp_path / "out"), *arguments]) == code
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_tells_of_an_encoder_that_it_fills_a_model(tmp_path, capsys):
    from torchvision.models import mobilenet_v3_large

    torch.save(mobilenet_v3_large().state_dict(), tmp_path / "a.pth")
    assert cli.run(["convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out")]) == 0
    assert "encoder timm:mobilenetv3_large_100" in capsys.readouterr().out


# -- tensors as programs leave them


def test_tensors_that_share_memory_or_lie_in_another_order_are_converted(tmp_path):
    state = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in milesial().items()
    }
    norms = [name for name in state if name.endswith("running_var")]
    state[norms[1].replace("running_var", "weight")] = state[norms[1]]
    torch.save(state, tmp_path / "a.pth")
    torch.save({name: tensor.clone().contiguous() for name, tensor in state.items()}, tmp_path / "b.pth")
    first, second = (segzoo.load(segzoo.convert(tmp_path / f"{n}.pth", tmp_path / n)) for n in "ab")
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_numbers_beside_the_tensors_that_json_lacks_are_left_out(tmp_path):
    state = {
        **milesial(),
        "lr": float("nan"),
        "best": float("inf"),
        "epoch": 3,
        "mask_values": [0, float("nan")],
    }
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: mask_values must hold 2 numbers"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
    torch.save({**state, "mask_values": [0, 255]}, tmp_path / "a.pth")
    told = config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert told["provenance"]["beside_the_tensors"] == {"epoch": 3, "mask_values": [0, 255]}


# -- programs with a sigmoid for each class


def nested(classes):
    """A small checkpoint of 4uiiurz1's UNet++, trained with `--num_classes`."""
    tensors = containers.small(Golden("nested_unet"))
    for name in ("final.weight", "final.bias"):
        tensors[name] = torch.cat([tensors[name] - 10 * n for n in range(classes)])
    return tensors


@pytest.mark.medium
def test_a_network_with_a_sigmoid_for_each_class_has_classes_that_overlap_unless_told_otherwise(
    tmp_path, capsys, recwarn
):
    torch.save(nested(3), tmp_path / "a.pth")
    asked = ["convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out")]
    assert cli.run(asked) == 0
    assert "note" not in capsys.readouterr().out
    labels = read_config(tmp_path / "out").labels
    assert labels == Labels(classes=("class 1", "class 2", "class 3"), overlapping=True)
    segzoo.load(tmp_path / "out")
    assert not [one for one in recwarn if "sigmoid" in str(one.message)]
    assert cli.run([*asked, "--option", "multilabel=argmax", "--overwrite"]) == 0
    assert "note: the program applies a sigmoid to each class" in capsys.readouterr().out
    origin = config(tmp_path / "out")["provenance"]
    assert origin["layout_options"] == {"multilabel": "argmax"}
    assert not read_config(tmp_path / "out").labels.overlapping
    with pytest.raises(OptionError, match="multilabel must be None or 'overlapping' or 'argmax'"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out", multilabel="or")


def test_one_class_and_one_class_a_pixel_need_no_such_word(checkpoint, tmp_path):
    torch.save(nested(1), tmp_path / "a.pth")
    told = config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert "notes" not in told["provenance"]
    assert len(told["labels"]["classes"]) == 2
    segzoo.convert(checkpoint, tmp_path / "other", multilabel="argmax")  # it is so already


@pytest.mark.medium
def test_a_folder_that_an_older_version_made_of_one_is_told_apart(tmp_path, recwarn):
    torch.save(nested(2), tmp_path / "a.pth")
    out = segzoo.convert(tmp_path / "a.pth", tmp_path / "out", multilabel="argmax")
    segzoo.load(out)
    assert not [one for one in recwarn if "sigmoid" in str(one.message)]
    told = config(out)
    del told["provenance"]["layout_options"], told["provenance"]["notes"]
    (out / "config.json").write_text(json.dumps(told))
    with pytest.warns(
        UserWarning, match="converted by an older segzoo from a network with a sigmoid for each"
    ):
        segzoo.load(out)


@pytest.fixture(scope="module")
def smp():
    return Golden("smp_resnet18")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("extras", "rule"),
    [
        ({"config": {"activation": "sigmoid"}}, "sigmoids"),
        ({"config": {"activation": "softmax2d"}}, "softmax"),
        ({"config": {"activation": None}}, "unknown"),
        ({"config": {"mode": "multilabel"}}, "sigmoids"),
        ({"hyper_parameters": {"loss_mode": "MULTILABEL_MODE"}}, "sigmoids"),
        ({"mode": "multiclass"}, "softmax"),
        ({"mode": 5, "args": {"task": None}}, "unknown"),
    ],
)
def test_how_a_network_of_smp_was_trained_is_read_where_it_is_said(smp, extras, rule):
    checkpoint = Checkpoint(tensors=smp.tensors, extras=extras, file="a.pth")
    assert smp_unet(checkpoint, encoder="resnet18").rule == rule


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "options", "overlapping", "told"),
    [
        (None, {}, False, "does not say how its 3 classes are decided"),
        (None, {"multilabel": "overlapping"}, True, ""),
        ("sigmoid", {}, True, "the program applies 'sigmoid' to the logits"),
        ("sigmoid", {"multilabel": "argmax"}, False, "the program applies 'sigmoid' to the logits"),
        ("softmax2d", {}, False, "the program applies 'softmax2d' to the logits"),
    ],
)
def test_a_folder_of_smp_decides_as_it_says_or_as_is_asked(
    smp, tmp_path, activation, options, overlapping, told
):
    (tmp_path / "smp").mkdir()
    save_file(smp.tensors, tmp_path / "smp/model.safetensors")
    (tmp_path / "smp/config.json").write_text(json.dumps({**smp.about["config"], "activation": activation}))
    out = segzoo.convert(tmp_path / "smp", tmp_path / "out", **options)
    assert read_config(out).labels.overlapping == overlapping
    assert told in str(config(out)["provenance"].get("notes", [""]))


def test_a_file_with_the_names_of_two_programs_is_asked_for_the_one_that_is_meant(tmp_path):
    both = {**milesial(), **containers.small(Golden("nested_plain_unet"))}
    torch.save(both, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="has the tensor names of 2 layouts and fits none") as caught:
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
    assert "pass layout='segzoo-carvana:milesial' or 'segzoo-nested:pytorch-nested-unet'" in str(caught.value)
