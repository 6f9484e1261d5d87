"""Transfer: what is taken from other weights, what is told of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from goldens import containers
from goldens.golden import Golden
from safetensors.torch import save_file
from timm.models import adapt_input_conv

import segzoo
from segzoo.errors import UnknownNameError, WeightsError
from segzoo.specs import Preprocessing
from segzoo.training.transfer import transfer
from segzoo.weights.encoders import EncoderConfig, encoder_to_json
from segzoo.weights.folder import save, write


def network(seed=0, classes=1, width=2, **options):
    torch.manual_seed(seed)
    return segzoo.create("unet", num_classes=classes, width=width, depth=2, **options)


def tensors(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def learned(model):
    return [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]


@pytest.fixture
def folder(tmp_path):
    """A folder of a network with one class."""
    return str(save(network(seed=1), tmp_path / "source"))


def test_all_but_the_head_of_another_number_of_classes_is_taken(folder):
    model = network(classes=4)
    before, theirs = tensors(model), tensors(segzoo.load(folder))
    report = transfer(model, folder)
    heads = {"head.weight", "head.bias"}
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name] if name in heads else theirs[name], rtol=0, atol=0)
    assert {name for name, *_ in report.shape} == heads
    assert report.total == len(learned(model))
    assert len(report.taken) == report.total - 2
    assert not report.missing
    assert not report.unused
    assert report.text() == (
        f"took {report.total - 2} of {report.total} tensors from {folder}\n"
        "  2 of another shape, which start from scratch: "
        "head.weight (1x2x1x1 there, 4x2x1x1 here), head.bias (1 there, 4 here)"
    )


def test_the_same_network_is_taken_whole_and_its_config_is_told(folder):
    model = network()
    report = transfer(model, folder)
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(model.eval()(image), segzoo.load(folder)(image))
    assert report.config == segzoo.load(folder).segzoo_config
    assert report.text() == f"took {report.total} of {report.total} tensors from {folder}"


def test_the_head_can_be_left_though_it_would_fit(folder):
    model = network()
    before = tensors(model)
    report = transfer(model, folder, head=False)
    assert torch.equal(model.head.weight, before["head.weight"])
    assert report.missing == ("head.weight", "head.bias")
    assert report.total == len(learned(model))


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_weights_for_other_bands_have_their_first_convolution_spread_over_them(folder, bands):
    model = network(in_channels=bands)
    report = transfer(model, folder)
    (stem,) = report.spread
    assert stem in report.taken
    assert not report.shape
    assert f"1 for another number of bands, adapted to yours: {stem}" in report.text()
    # As timm does it, whose rule people know.
    theirs = segzoo.load(folder).state_dict()[stem]
    torch.testing.assert_close(model.state_dict()[stem], adapt_input_conv(bands, theirs))


def test_weights_are_created_for_other_bands_and_say_so_in_their_config(folder):
    model = segzoo.create(f"local-dir:{folder}", in_channels=5)
    config = model.segzoo_config
    assert config.architecture.in_channels == 5
    assert config.preprocessing.channels == "any"
    fresh = network(in_channels=5)
    transfer(fresh, folder)
    image = torch.rand(1, 5, 16, 16)
    torch.testing.assert_close(model(image), fresh.eval()(image))
    with pytest.raises(WeightsError, match=r"head.weight"):
        segzoo.create(f"local-dir:{folder}", in_channels=5, num_classes=4)


@pytest.mark.slow
@pytest.mark.parametrize("bands", [1, 5])
def test_a_trained_encoder_is_spread_over_other_bands(tmp_path, bands):
    state = segzoo.create("unet/vgg11", num_classes=1).encoder.state_dict()
    write(state, encoder_to_json(EncoderConfig(encoder="segzoo:vgg11")), tmp_path / "encoder")
    source = f"local-dir:{tmp_path / 'encoder'}"
    model = segzoo.create("unet/vgg11", num_classes=1, in_channels=bands, weights=source)
    stem = next(iter(state))
    torch.testing.assert_close(model.encoder.state_dict()[stem], adapt_input_conv(bands, state[stem]))
    fresh = segzoo.create("unet/vgg11", num_classes=1, in_channels=bands)
    assert transfer(fresh, source, head=False).spread == (f"encoder.{stem}",)


def test_taking_less_than_half_is_told_in_capitals(folder):
    deeper = segzoo.create("unet", num_classes=1, width=2, depth=4)
    report = transfer(deeper, folder)
    assert 2 * len(report.taken) < report.total
    assert report.text().startswith(f"took ONLY {len(report.taken)} of {report.total} tensors")
    assert "more" in report.text()


def test_what_is_left_of_the_source_is_told(tmp_path, folder):
    source = save(segzoo.create("unet", num_classes=1, width=2, depth=4), tmp_path / "deep")
    report = transfer(network(), str(source))
    assert report.unused
    assert "there but not needed" in report.text()


def test_an_encoders_folder_fills_the_encoder_alone(tmp_path):
    theirs = network(seed=1).encoder
    config = encoder_to_json(EncoderConfig(encoder="segzoo:unet"))
    write(theirs.state_dict(), config, tmp_path / "encoder")
    model = network()
    head = model.head.weight.clone()
    report = transfer(model, f"local-dir:{tmp_path / 'encoder'}")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor)
    assert torch.equal(model.head.weight, head)
    assert report.config is None
    assert len(report.taken) == len(learned(theirs))


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_a_file_of_a_state_dict_is_taken_by_its_names(tmp_path, form):
    theirs = network(seed=1)
    file = tmp_path / f"weights.{form}"
    if form == "pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, file)
    else:
        save_file(theirs.state_dict(), file)
    model = network(classes=3)
    report = transfer(model, str(file))
    assert len(report.taken) == report.total - 2
    assert torch.equal(
        model.encoder.state_dict()[report.taken[0].removeprefix("encoder.")], tensors(theirs)[report.taken[0]]
    )


def test_weights_in_half_precision_are_widened(tmp_path):
    save(network(seed=1), tmp_path / "half", dtype=torch.float16)
    model = network()
    transfer(model, str(tmp_path / "half"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_parameter_that_the_optimizer_holds_is_filled_in_place(folder):
    model = network()
    held = model.head.weight
    transfer(model, folder)
    assert held is model.head.weight
    assert held.requires_grad
    assert torch.equal(held, segzoo.load(folder).head.weight)


def test_a_network_of_another_width_takes_nothing_and_says_why(folder):
    with pytest.raises(
        WeightsError,
        match=r"(?s)no tensor of .*: \d+ tensors have its names.* there.*segzoo:unet with width=2, depth=2",
    ):
        transfer(network(width=3), folder)


def test_a_network_of_other_names_takes_nothing_and_says_why(folder):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1))
    with pytest.raises(WeightsError, match=r"no tensor has one of its names\. There: .* Here: 0\.weight"):
        transfer(model, folder)


def test_nothing_is_changed_where_nothing_fits(folder):
    model = network(width=3)
    before = tensors(model)
    with pytest.raises(WeightsError):
        transfer(model, folder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_name_of_no_weights_is_refused_with_close_ones():
    with pytest.raises(UnknownNameError, match="unet-nuclei"):
        transfer(network(), "unet-nuclie")


def test_batches_that_norms_have_counted_go_along(tmp_path):
    theirs = network(seed=1)
    theirs(torch.rand(2, 3, 8, 8))
    model = network()
    transfer(model, str(save(theirs, tmp_path / "source")))
    counted = [value for name, value in model.state_dict().items() if name not in learned(model)]
    assert {int(value) for value in counted} == {1}


@pytest.mark.medium
def test_a_file_of_another_program_is_converted_once_where_its_layout_is_known(tmp_path, home, caplog):
    theirs = containers.small(Golden("milesial_transpose"))
    torch.save(theirs, tmp_path / "unet.pth")
    width = len(theirs["inc.double_conv.0.weight"])
    model = segzoo.create("unet", num_classes=7, width=width)
    report = transfer(model, str(tmp_path / "unet.pth"))
    assert {name for name, *_ in report.shape} == {"head.weight", "head.bias"}
    assert not report.missing
    torch.testing.assert_close(model.encoder.stages[0].first.conv.weight, theirs["inc.double_conv.0.weight"])
    assert transfer(model, str(tmp_path / "unet.pth")) == report
    assert sum("converted by layout" in line for line in caplog.messages) == 1


def test_a_last_layer_that_told_other_classes_apart_is_taken_and_that_is_said(tmp_path):
    theirs, ours = network(seed=1, classes=3), network(classes=3)
    config = theirs.segzoo_config

    def named(*classes):
        return replace(config, labels=replace(config.labels, classes=classes))

    theirs.segzoo_config = named("background", "cell", "debris")
    source = str(save(theirs, tmp_path / "source"))
    for classes, told in {
        ("background", "cell", "debris"): "",
        ("background", "debris", "cell"): "the same classes in another order: 'debris' was 'cell'",
        ("sky", "cell", "debris"): "other classes: 'sky' was 'background'",
    }.items():
        ours.segzoo_config = named(*classes)
        report = transfer(ours, source)
        assert "head.weight" in report.taken
        assert told in report.text()
        assert bool(report.classes) == bool(told)
        assert not transfer(ours, source, head=False).classes
    # Who never named the classes says nothing that could differ.
    theirs.segzoo_config = config
    assert not transfer(ours, str(save(theirs, tmp_path / "unnamed"))).classes


def test_images_of_another_scale_than_the_weights_learnt_from_are_told(tmp_path):
    theirs, ours = network(seed=1), network()
    config = theirs.segzoo_config
    theirs.segzoo_config = replace(
        config, preprocessing=replace(config.preprocessing, mean=(0.5,), std=(0.25,))
    )
    source = str(save(theirs, tmp_path / "source"))
    told = (
        "they were trained on images with mean=[0.5] and std=[0.25], "
        "and get images with mean=[0.0] and std=[1.0] here"
    )
    assert told in transfer(ours, source).text()
    ours.segzoo_config = theirs.segzoo_config
    assert not transfer(ours, source).scale


@pytest.mark.parametrize(("bands", "mean"), [(3, (0.4, 0.5, 0.6)), (1, (0.0,))])
def test_a_model_on_a_trained_encoder_has_the_scale_of_the_encoders_images(tmp_path, bands, mean):
    prepared = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))
    config = encoder_to_json(EncoderConfig(encoder="segzoo:plain", preprocessing=prepared))
    theirs = segzoo.create("unet/plain", num_classes=1, encoder={"width": 2, "depth": 2})
    write(theirs.encoder.state_dict(), config, tmp_path / "encoder")
    source, options = f"local-dir:{tmp_path / 'encoder'}", {"width": 2, "depth": 2}
    model = segzoo.create("unet/plain", num_classes=1, in_channels=bands, encoder=options, weights=source)
    assert model.segzoo_config.preprocessing.mean == mean
    plain = segzoo.create("unet/plain", num_classes=1, encoder=options)
    assert ("mean=[0.4, 0.5, 0.6]" in transfer(plain, source).text()) is True
