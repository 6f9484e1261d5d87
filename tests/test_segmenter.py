"""Models: any image size, batch of one, copies, compilation, export, precision, side outputs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import segzoo
from segzoo.errors import UsageError
from segzoo.segmenter import border_of
from segzoo.testing import check_export, check_model, check_onnx, check_round_trips, check_trace

SMALL = {
    "bilinear": ("unet", {"width": 2, "upsample": "bilinear"}),
    "transpose": ("unet", {"width": 2}),
    "valid": ("unet", {"width": 2, "padding": "valid", "norm": None}),
    "group": ("unet", {"width": 2, "norm": "group"}),
    "instance": ("unet", {"width": 2, "norm": "instance"}),
    "crop": ("unet/plain", {"width": 2, "join": "crop"}),
    "mixed": ("unet/plain", {"width": 2, "depth": 3, "encoder": {"padding": "valid"}}),
    "coarse": ("unet/plain", {"width": 2, "decoder": {"widths": [4, 4]}}),
    "timm": ("unet/test_resnet", {}),
    "four": ("unet/convnext_atto", {"encoder": {"depth": 2}}),
    "nested": ("nested/plain", {"width": 2, "depth": 4, "deep_supervision": True}),
}
_made: dict[str, torch.nn.Module] = {}


def _model(key: str) -> torch.nn.Module:
    if key not in _made:
        name, options = SMALL[key]
        torch.manual_seed(0)
        _made[key] = segzoo.create(name, num_classes=2, **options)
    return _made[key]


@pytest.mark.parametrize("key", SMALL)
@given(height=st.integers(1, 70), width=st.integers(1, 70), training=st.booleans())
@example(height=1, width=1, training=True)
@example(height=1, width=70, training=False)
@settings(max_examples=12)
def test_any_image_from_one_pixel_gives_logits_of_its_size(key, height, width, training):
    model = _model(key).train(training)
    with torch.no_grad():
        logits = model(torch.rand(1, 3, height, width))
    assert logits.shape == (1, 2, height, width)
    assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet-vgg", "unet-resnet18", "unet-resnet50"])
def test_any_image_gives_logits_of_its_size_from_the_usual_encoders(name):
    model = segzoo.create(name, num_classes=2)
    for height, width in ((1, 1), (17, 70), (33, 47), (64, 65)):
        for training in (True, False):
            with torch.no_grad():
                assert model.train(training)(torch.rand(1, 3, height, width)).shape[2:] == (height, width)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"width": 2, "depth": 4}),
        ("unet", {"width": 2, "depth": 3, "padding": "valid"}),
        ("unet/test_resnet", {}),
        ("nested/plain", {"width": 2, "depth": 3, "deep_supervision": True}),
    ],
    ids=str,
)
def test_models_keep_the_contract(name, options):
    check_model(name, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet-resnet18", "unet/swin_tiny_patch4_window7_224"])
def test_large_models_keep_the_contract(name):
    check_model(name, in_channels=(4,))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_images_may_have_any_number_of_channels(channels):
    model = segzoo.create("unet/test_resnet", num_classes=5, in_channels=channels)
    assert model(torch.rand(1, channels, 20, 30)).shape == (1, 5, 20, 30)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"num_classes": 2}, 31_037_698),
        ({"num_classes": 1, "upsample": "bilinear"}, 17_262_977),
        ({"num_classes": 2, "width": 32, "upsample": "bilinear"}, 4_318_434),
    ],
    ids=str,
)
def test_the_u_net_has_as_many_parameters_as_published(options, count):
    with torch.device("meta"):
        model = segzoo.create("unet", **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.medium
def test_the_papers_network_maps_572_to_388_pixels_without_mirroring():
    bare = segzoo.create("unet", num_classes=2, width=2, padding="valid", mirror=False).eval()
    with torch.no_grad():
        assert bare(torch.rand(1, 3, 572, 572)).shape == (1, 2, 388, 388)
        with pytest.raises(UsageError, match="188x188 or larger, got 187x572: make it with mirror=True"):
            bare(torch.rand(1, 3, 187, 572))
        assert bare(torch.rand(1, 3, 188, 204)).shape == (1, 2, 4, 20)


def test_mirroring_a_valid_network_changes_nothing_where_it_sees_only_the_image():
    whole = segzoo.create("unet", num_classes=2, width=2, depth=3, padding="valid", norm=None).eval()
    bare = segzoo.create("unet", num_classes=2, width=2, depth=3, padding="valid", norm=None, mirror=False)
    bare.load_state_dict(whole.state_dict())
    images = torch.rand(1, 3, 92, 92)
    with torch.no_grad():
        middle = bare(images)
        assert middle.shape[-1] == 52
        assert torch.allclose(whole(images)[..., 20:72, 20:72], middle, atol=1e-6)


def test_a_padded_image_has_the_logits_of_its_mirrored_continuation():
    model = _model("nested").eval()
    image = torch.rand(1, 3, 20, 24)
    continued = torch.nn.functional.pad(image, (0, 0, 0, 4), mode="reflect")
    with torch.no_grad():
        assert torch.allclose(model(image), model(continued)[..., :20, :], atol=1e-6)


def test_deep_supervision_changes_nothing_about_what_forward_returns():
    model = _model("nested").eval()
    images = torch.rand(2, 3, 21, 35)
    with torch.no_grad():
        sides = model.side_logits(images)
        assert [side.shape for side in sides] == [(2, 2, 21, 35)] * 3
        assert torch.equal(sides[-1], model(images))


def test_a_model_without_deep_supervision_has_one_side_output():
    model = _model("bilinear").eval()
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert [torch.equal(side, model(images)) for side in model.side_logits(images)] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in SMALL if key not in ("four", "mixed")])
def test_every_architecture_exports_with_free_sizes(key):
    check_export(_model(key))


@pytest.mark.slow
def test_a_model_exports_with_a_fixed_size():
    check_export(_model("valid"), dynamic=False)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["bilinear", "valid", "group"])
def test_onnx_runtime_computes_the_same_at_sizes_that_were_not_exported(key):
    check_onnx(_model(key))
    check_onnx(_model(key), dynamo=False)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["bilinear", "valid", "group"])
def test_a_trace_holds_for_every_height_and_width(key):
    check_trace(_model(key))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_model_gives_the_models_logits(backend):
    model = segzoo.create("unet", num_classes=2, width=2, depth=2).eval()
    # Generated code takes long to compile: that for any size is enough.
    compiled = torch.compile(model, backend=backend, dynamic=True if backend == "inductor" else None)
    with torch.no_grad():
        for height, width in ((20, 33), (7, 9)):
            images = torch.rand(1, 3, height, width)
            assert torch.allclose(compiled(images), model(images), atol=1e-5)


def test_channels_last_and_float_agree():
    model = segzoo.create("unet", num_classes=2, width=4, depth=3).eval()
    images = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        wanted = model(images)
        given = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    assert torch.allclose(given, wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("key", ["bilinear", "transpose", "valid"])
def test_a_model_computes_in_other_precisions(key, dtype):
    name, options = SMALL[key]
    model = segzoo.create(name, num_classes=2, **options).eval().to(dtype)
    with torch.no_grad():
        logits = model(torch.rand(1, 3, 18, 25, dtype=dtype))
    assert (logits.dtype, logits.shape) == (dtype, (1, 2, 18, 25))
    assert logits.isfinite().all()


def test_a_model_inside_data_parallel_is_the_same_model():
    model = _model("transpose").eval()
    images = torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        assert torch.equal(torch.nn.DataParallel(model)(images), model(images))


@pytest.mark.parametrize("key", ["valid", "instance", "four"])
def test_copies_pickles_and_folders_give_the_same_logits(key):
    check_round_trips(_model(key), torch.rand(1, 3, 19, 22))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (75, 101)])
def test_a_network_that_takes_odd_sizes_is_left_to_do_so(size):
    model = segzoo.create("unet", num_classes=2, width=2, upsample="bilinear").eval()
    images = torch.rand(1, 3, *size)
    assert torch.equal(model(images), model.head(model.decoder(model.encoder(images))))


def test_a_part_that_says_border_by_its_old_name_works_and_is_told_the_new_one():
    part = SimpleNamespace(eats=92)
    with pytest.warns(DeprecationWarning, match="eats is called border now"):
        found = border_of(part)
    assert found == 92
    part.border = 94
    assert border_of(part) == 94
    assert border_of(SimpleNamespace()) == 0


def test_logits_of_fewer_bits_become_float32_before_they_are_resized_where_an_engine_asks():
    small = {"widths": [4, 4], "depths": [1, 1], "heads": [1, 1], "reductions": [1, 1], "expansions": [1, 1]}
    model = segzoo.create("segformer/mit", num_classes=3, encoder=small, decoder={"width": 4})
    model, images = model.eval().bfloat16(), torch.rand(1, 3, 32, 40, dtype=torch.bfloat16)
    with torch.no_grad():
        assert model(images).dtype is torch.bfloat16
        model.float32_logits = True
        assert model(images).dtype is torch.float32
