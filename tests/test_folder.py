"""A model as a folder: nothing computed twice, nothing fetched, nothing run, every defect named."""

from __future__ import annotations

import copy
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import segzoo
from segzoo.errors import FailureError, OptionError, UnknownNameError, UsageError, WeightsError
from segzoo.specs import ModelSpec
from segzoo.testing import isolated_zoo
from segzoo.weights.folder import CONFIG, TENSORS, empty, fill, read_config

IMAGES = torch.rand(1, 3, 13, 18, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=2, depth=3).eval()


@pytest.fixture
def folder(model, tmp_path):
    return segzoo.save(model, tmp_path / "model")


def _edit(folder, **changes):
    data = json.loads((folder / CONFIG).read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    (folder / CONFIG).write_text(json.dumps(data))


def test_a_loaded_model_gives_the_saved_ones_logits(model, folder):
    loaded = segzoo.load(folder)
    assert not loaded.training
    assert torch.equal(loaded(IMAGES), model(IMAGES))
    assert loaded.segzoo_config == model.segzoo_config


def test_loading_computes_no_initialisation_and_leaves_the_seed_alone(folder, monkeypatch):
    computed = []
    for name in ("kaiming_uniform_", "kaiming_normal_", "uniform_", "normal_", "trunc_normal_", "constant_"):
        original = getattr(nn.init, name)

        def watched(tensor, *args, _original=original, **options):
            if not tensor.is_meta:
                computed.append(tensor.shape)
            return _original(tensor, *args, **options)

        monkeypatch.setattr(nn.init, name, watched)
    before = torch.get_rng_state()
    segzoo.load(folder)
    assert computed == []
    assert torch.equal(torch.get_rng_state(), before)


def test_parameters_are_mapped_from_the_file(folder):
    """Mapped tensors lie apart by what they lie apart in the file, padding included."""
    model = segzoo.load(folder)
    header = json.loads((folder / TENSORS).read_bytes()[8 : 8 + _header_size(folder)])
    names = [name for name, tensor in model.state_dict().items() if tensor.numel()]
    first = names[0]
    for name in names:
        apart = model.state_dict()[name].data_ptr() - model.state_dict()[first].data_ptr()
        assert apart == header[name]["data_offsets"][0] - header[first]["data_offsets"][0]


def _header_size(folder):
    return struct.unpack("<Q", (folder / TENSORS).read_bytes()[:8])[0]


def test_editing_a_mapped_model_and_saving_it_where_it_came_from_keeps_both_right(folder):
    model, witness = segzoo.load(folder), segzoo.load(folder)
    before = witness(IMAGES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert torch.equal(segzoo.load(folder)(IMAGES), before), "editing must not reach the file"
    wanted = model(IMAGES)
    for _ in range(2):
        segzoo.save(model, folder)
    assert torch.equal(segzoo.load(folder)(IMAGES), wanted)
    assert torch.equal(witness(IMAGES), before), "a model that is in use must not change"
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, TENSORS]


def test_a_loaded_model_trains_and_deep_copies(folder):
    model = copy.deepcopy(segzoo.load(folder)).train()
    model(IMAGES).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_half_precision_halves_the_file_and_is_widened_again(model, folder, tmp_path):
    half = segzoo.save(model, tmp_path / "half", dtype=torch.float16)
    stored = load_file(half / TENSORS)
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}
    loaded = segzoo.load(half)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.allclose(loaded(IMAGES), model(IMAGES), atol=1e-2)
    again = segzoo.save(loaded, tmp_path / "again", dtype=torch.float16)
    assert (again / TENSORS).read_bytes() == (half / TENSORS).read_bytes()


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_tied_parameters_are_saved_and_stay_tied(model, tmp_path, dtype):
    folder = segzoo.save(model.to(dtype or torch.float32), tmp_path / "tied", dtype=dtype)
    network = empty(model.segzoo_config)
    first, second = network.encoder.stages[0].second, network.encoder.stages[0].first
    second.norm.weight = first.norm.weight
    model.encoder.stages[0].first.norm.weight = model.encoder.stages[0].second.norm.weight
    segzoo.save(model, folder, dtype=dtype)
    fill(network, folder / TENSORS)
    assert network.encoder.stages[0].first.norm.weight is network.encoder.stages[0].second.norm.weight
    assert not network.encoder.stages[0].first.norm.weight.is_meta


def test_wrappers_are_taken_off_before_saving(model, tmp_path):
    wrapped = torch.compile(nn.DataParallel(torch.compile(model, backend="eager")), backend="eager")
    loaded = segzoo.load(segzoo.save(wrapped, tmp_path / "model"))
    assert torch.equal(loaded(IMAGES), model(IMAGES))


@pytest.mark.slow
def test_a_network_that_the_meta_device_cannot_hold_is_loaded_all_the_same(tmp_path):
    swin = segzoo.create("unet/swin_tiny_patch4_window7_224", num_classes=2, encoder={"depth": 2}).eval()
    folder = segzoo.save(swin, tmp_path / "swin")
    before = torch.get_rng_state()
    loaded = segzoo.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(buffer.is_meta for buffer in loaded.buffers())
    with torch.no_grad():
        assert torch.equal(loaded(IMAGES), swin(IMAGES))


class Computing(nn.Module):
    """A network that computes while it is built, which the meta device cannot."""

    def __init__(self, *, num_classes: int, in_channels: int = 3, width: int = 4) -> None:
        super().__init__()
        self.scale = torch.linspace(0, 1, 3)[1].item()
        self.wide = nn.Conv2d(in_channels, width, 1)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images):
        return self.head(self.wide(images) * self.scale)


def test_a_network_that_the_meta_device_cannot_build_is_held_to_its_weights(tmp_path):
    spec = ModelSpec(name="computing", factory=f"{__name__}:Computing")
    with isolated_zoo(spec):
        folder = segzoo.save(segzoo.create("computing", num_classes=2), tmp_path / "model")
        assert segzoo.load(folder)(IMAGES).shape[1] == 2
        _edit(folder, architecture__options={"width": 10**8})
        with pytest.raises(WeightsError, match=r"width=100000000 cannot be built: it needs more than"):
            segzoo.load(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part", "options"),
    [
        ("fcn/plain", "decoder", {"num_convs": 10**9, "width": 1}),
        ("unet/mit", "encoder", {"depths": [10**9] * 4}),
    ],
)
def test_a_folder_that_asks_for_a_billion_layers_is_refused(tmp_path, name, part, options):
    folder = segzoo.save(segzoo.create(name, num_classes=2), tmp_path / "model")
    _edit(folder, **{f"architecture__{part}": options})
    with pytest.raises(WeightsError, match="cannot be built: it has more than 20,000 tensors"):
        segzoo.load(folder)


@pytest.mark.medium
def test_a_network_larger_than_the_machine_is_refused_before_it_is_allocated():
    with pytest.raises(
        OptionError, match=r"'segzoo:unet' with .*width=1000000 cannot be built: it needs more"
    ):
        segzoo.create("unet", num_classes=2, width=10**6)


def test_a_folder_that_asks_for_pretraining_fetches_nothing(folder, monkeypatch):
    import timm

    path = segzoo.save(segzoo.create("unet/test_resnet", num_classes=2), folder)
    _edit(path, architecture__encoder={"pretrained": True})
    original, asked = timm.create_model, []
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **o: asked.append(o["pretrained"]) or original(*a, **o)
    )
    segzoo.load(path)
    assert asked
    assert not any(asked)


def test_a_network_of_valid_convolutions_loads_bare(tmp_path):
    model = segzoo.create("unet", num_classes=2, width=2, depth=2, padding="valid")
    bare = segzoo.load(segzoo.save(model, tmp_path / "valid"), mirror=False)
    assert bare(torch.rand(1, 3, 36, 36)).shape == (1, 2, 20, 20)
    assert bare.segzoo_config.architecture.options["mirror"] is False


def test_a_model_that_segzoo_did_not_make_is_not_saved(tmp_path):
    with pytest.raises(UsageError, match="Conv2d was not made by segzoo"):
        segzoo.save(nn.Conv2d(1, 1, 1), tmp_path / "foreign")


def test_a_folder_that_cannot_be_written_is_a_failure(model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FailureError, match="cannot write the model to"):
        segzoo.save(model, tmp_path / "file" / "model")


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(WeightsError, match="there is no folder"):
        segzoo.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [CONFIG, TENSORS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        segzoo.load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_half_a_file_is_refused(folder, keep):
    content = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(content[:keep])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        segzoo.load(folder)


@pytest.mark.parametrize(
    ("head", "told"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"<!DOCTYPE html>", "web page")],
)
def test_what_came_in_place_of_the_tensors_is_called_what_it_is(folder, head, told):
    (folder / TENSORS).write_bytes(head)
    with pytest.raises(WeightsError, match=f"{TENSORS} cannot be read as safetensors: .*{told}"):
        segzoo.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensor: tensor.index_fill(0, torch.tensor(0), float("nan")), "holds NaN or infinity"),
        (lambda tensor: tensor + float("inf"), "holds NaN or infinity"),
        (lambda tensor: (tensor * 127).to(torch.int8), "is of type torch.int8"),
        (lambda tensor: tensor.to(torch.complex64), "is of type torch.complex64"),
    ],
)
def test_tensors_of_which_no_mask_could_be_made_are_named(folder, change, told):
    tensors = load_file(folder / TENSORS)
    save_file({**tensors, "head.weight": change(tensors["head.weight"])}, folder / TENSORS)
    with pytest.raises(WeightsError, match=f"{TENSORS} .*1 tensor:\n  head.weight {told}"):
        segzoo.load(folder)


def test_a_file_that_somebody_halved_as_a_whole_is_widened_again(model, folder):
    save_file({name: one.half() for name, one in load_file(folder / TENSORS).items()}, folder / TENSORS)
    assert torch.allclose(segzoo.load(folder)(IMAGES), model(IMAGES), atol=0.05)


@pytest.mark.parametrize("name", ["unet-carvana", "segzoo:unet/resnet18"])
def test_an_architecture_that_cannot_be_built_names_the_config(folder, name):
    _edit(folder, architecture__name=name)
    with pytest.raises(WeightsError, match=f"{CONFIG}: "):
        segzoo.load(folder)


@pytest.mark.parametrize("lie", ["length", "offsets", "shape", "dtype", "pickle"])
def test_a_header_that_lies_is_refused(folder, lie):
    content = (folder / TENSORS).read_bytes()
    size = _header_size(folder)
    header = json.loads(content[8 : 8 + size])
    entry = header["head.weight"]
    if lie == "offsets":
        entry["data_offsets"] = [10**12, 10**12 + 16]
    elif lie == "shape":
        entry["shape"] = [10**6, 10**6]
    elif lie == "dtype":
        entry["dtype"] = "F64"
    text = json.dumps(header).encode()
    length = 2**63 - 1 if lie == "length" else len(text)
    lying = struct.pack("<Q", length) + text + content[8 + size :]
    (folder / TENSORS).write_bytes(b"\x80\x04cos\nsystem\n." if lie == "pickle" else lying)
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        segzoo.load(folder)


def test_every_tensor_that_does_not_fit_is_listed(folder):
    tensors = load_file(folder / TENSORS)
    del tensors["head.bias"]
    tensors["head.weight"] = torch.zeros(5, 2, 1, 1)
    tensors["tail.weight"] = torch.zeros(1)
    save_file(tensors, folder / TENSORS)
    with pytest.raises(WeightsError) as caught:
        segzoo.load(folder)
    told = str(caught.value)
    assert "in 3 tensors" in told
    assert "missing: head.bias (2,)" in told
    assert "not in the network: tail.weight (1,)" in told
    assert "head.weight is (5, 2, 1, 1), the network has (2, 2, 1, 1)" in told


def test_a_long_list_of_tensors_is_cut(folder):
    save_file({f"x{index}": torch.zeros(1) for index in range(40)}, folder / TENSORS)
    with pytest.raises(WeightsError, match=r"and \d+ more"):
        segzoo.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture__factory": "os:system"}, "unknown key 'architecture.factory'"),
        ({"architecture__options": {"factory": "os:system"}}, "has no option 'factory'"),
        ({"architecture__options": {"widht": 4}}, "no option 'widht'; did you mean 'width'"),
        ({"architecture__options": {"width": "__import__('os')"}}, "width must be an integer"),
        ({"architecture__options": {"num_classes": 4}}, "has no option 'num_classes'"),
        ({"architecture__encoder": {"backbone": "hf-hub:a/b"}}, "takes no options for an encoder"),
        ({"architecture__num_classes": 0, "labels__classes": ["a", "b"]}, "num_classes must be"),
        ({"architecture__options": {"width": 10**12}}, "width=1000000000000 cannot be built: "),
        ({"architecture__in_channels": 10**30}, "in_channels must be an integer from 1 to 65,535"),
    ],
    ids=str,
)
def test_a_config_that_asks_for_what_no_part_offers_is_refused(folder, changes, message):
    _edit(folder, **changes)
    with pytest.raises(WeightsError, match=message):
        segzoo.load(folder)


def test_a_config_cannot_choose_what_a_spec_has_fixed(tmp_path):
    folder = segzoo.save(segzoo.create("unet/test_resnet", num_classes=2), tmp_path / "model")
    _edit(folder, architecture__encoder={"backbone": "hf-hub:someone/else"})
    with pytest.raises(WeightsError, match="encoder 'timm:test_resnet' has no option 'backbone'"):
        segzoo.load(folder)


@pytest.mark.parametrize("name", ["os:system", "local-dir:.", "hf-hub:a/b", "segzoo.models.unet:unet", ""])
def test_an_architecture_is_a_registered_name_and_nothing_else(folder, name):
    _edit(folder, architecture__name=name)
    with pytest.raises(UnknownNameError, match=CONFIG):
        segzoo.load(folder)


def test_a_plugin_that_is_not_installed_is_named_with_the_command_to_install_it(folder):
    _edit(folder, architecture__name="segzoo-tiny:tiny", architecture__requires={"segzoo-tiny": "1.2"})
    with pytest.raises(UnknownNameError, match=r"pip install 'segzoo-tiny>=1.2'"):
        segzoo.load(folder)


@pytest.mark.parametrize("name", ["segzoo", "segmentation-zoo"])
@pytest.mark.parametrize(("made", "older"), [("999.1", True), ("0.0.0", False), ("9" * 5000, False)])
def test_a_folder_that_does_not_load_tells_of_plugins_older_than_it(folder, made, older, name):
    _edit(folder, architecture__requires={name: made})
    segzoo.load(folder)
    (folder / TENSORS).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="cannot be read as safetensors") as caught:
        segzoo.load(folder)
    told = f"the folder was made with segzoo {made}, but {segzoo.__version__} is installed: "
    told += f"pip install 'segmentation-zoo>={made}'"
    assert (told in str(caught.value)) == older


def test_a_folder_cannot_put_words_into_the_command_to_install(folder):
    _edit(folder, architecture__name="x:y", architecture__requires={"y": "1", "x' ; reboot '": "1"})
    with pytest.raises(WeightsError, match="requires must name distributions") as caught:
        segzoo.load(folder)
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"segzoo_format": ' + "9" * 5000 + "}", "\xff"]
)
def test_a_config_that_is_not_one_is_refused(folder, text):
    (folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=CONFIG):
        read_config(folder)


def test_a_value_of_mirror_that_makes_no_sense_is_the_callers_mistake_not_the_files(folder):
    with pytest.raises(OptionError, match="mirror must be True or False"):
        segzoo.load(folder, mirror="no")
