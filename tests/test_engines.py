"""Engines of torch: what comes out is what the network itself gives, and the network stays as it was."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import segzoo
from segzoo import machine
from segzoo.encoders.plain import PlainEncoder
from segzoo.errors import OptionError
from segzoo.prediction.engines import make_engine, native, packing
from segzoo.prediction.engines.folding import fold
from segzoo.prediction.engines.joining import SplitConv
from segzoo.prediction.engines.packing import PackedConv, PackedPointwise
from segzoo.prediction.engines.probing import deviation
from segzoo.prediction.engines.recording import Chain, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.interfaces import Split
    from segzoo.prediction.engines import Engine

NETWORKS: dict[str, dict[str, Any]] = {
    "transposed": {"model": "unet", "width": 4, "depth": 3},
    "bilinear": {"model": "unet", "width": 4, "depth": 3, "upsample": "bilinear"},
    "valid": {"model": "unet", "width": 4, "depth": 2, "padding": "valid"},
    "group": {"model": "unet", "width": 4, "depth": 2, "norm": "group"},
    "no norm": {"model": "unet", "width": 4, "depth": 2, "norm": None, "upsample_relu": True},
    "nested": {"model": "nested", "encoder": {"width": 2}},
    "attention": {"model": "attention-unet", "encoder": {"width": 2}},
}
LARGE: dict[str, dict[str, Any]] = {
    "vgg": {"model": "unet-vgg"},
    "resnet": {"model": "unet/resnet18"},
    "mobilenet": {"model": "unet/mobilenetv3_small_050"},
    "smp": {"model": "smp-unet", "backbone": "resnet18"},
}


def made(num_classes: int = 2, **options: Any) -> nn.Module:
    """Return a network whose batch norms do something."""
    torch.manual_seed(0)
    network = segzoo.create(options.pop("model"), num_classes=num_classes, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.7, 1.4)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def away(network: nn.Module, run: Engine, *size: int) -> float:
    """Return by how much an engine differs from its network, relative to the largest logit."""
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(images)
    found = run(images)
    assert found.dtype is torch.float32
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exact_engine_gives_the_network_s_logits_for_odd_and_tiny_images(name: str) -> None:
    told: list[str] = []
    network = made(**NETWORKS[name])
    engine = make_engine(network, on_message=told.append)
    assert max(away(network, engine, *size) for size in ((37, 50), (32, 32), (1, 7))) < 1e-4
    assert told == []
    assert "weights packed, skips added instead of joined" in engine.description


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_an_exact_engine_of_a_large_encoder_gives_the_network_s_logits(name: str) -> None:
    told: list[str] = []
    network = made(**LARGE[name])
    engine = make_engine(network, on_message=told.append)
    assert away(network, engine, 45, 70) < 1e-4
    assert told == []


@pytest.mark.parametrize("num_classes", [1, 3])
def test_engines_of_one_logit_and_of_several_classes(num_classes: int) -> None:
    network = made(num_classes, **NETWORKS["transposed"])
    assert away(network, make_engine(network), 20, 33) < 1e-4


@pytest.mark.parametrize("name", ["transposed", "bilinear", "group"])
def test_half_the_bits_stay_near_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(machine, "_bfloat16_gain", lambda: 2.0)
    network = made(**NETWORKS[name])
    engine = make_engine(network, precision="fast")
    assert 1e-4 < away(network, engine, 37, 50) < 0.1
    assert "bfloat16" in engine.description


def test_a_cpu_without_bfloat16_computes_exactly_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_capabilities", lambda: {"avx512_bf16": False})
    told: list[str] = []
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network, precision="fast", on_message=told.append)
    assert away(network, engine, 16, 16) < 1e-4
    assert "no instructions for bfloat16" in told[0]
    assert "float32" in engine.description


def test_a_cpu_that_is_slower_with_bfloat16_computes_exactly_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_cpu_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(machine, "_bfloat16_gain", lambda: 0.5)
    told: list[str] = []
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network, precision="fast", on_message=told.append)
    assert away(network, engine, 16, 16) < 1e-4
    assert "more slowly than float32" in told[0]
    assert "float32" in engine.description


def test_what_bfloat16_gains_is_measured_once_and_a_number() -> None:
    gain = machine._bfloat16_gain()
    assert 0 < gain < 100
    assert machine._bfloat16_gain() == gain


def test_the_given_network_keeps_its_mode_weights_and_gradients() -> None:
    network = made(**NETWORKS["transposed"]).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modules = [type(module) for module in network.modules()]
    for precision in ("exact", "fast"):
        make_engine(network, precision=precision)(torch.randn(1, 3, 16, 16))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert [type(module) for module in network.modules()] == modules
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_an_engine_does_not_see_later_changes_of_its_network() -> None:
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network)
    images = torch.randn(1, 3, 16, 16)
    before = engine(images)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(engine(images), before)


def test_logits_can_be_changed_in_place() -> None:
    logits = make_engine(made(**NETWORKS["transposed"]))(torch.randn(1, 3, 16, 16))
    logits += 1
    assert not logits.requires_grad


class Twice(nn.Module):
    """What follows its convolution is used twice, a batch norm stands alone, a convolution runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner, self.inner_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv(images)
        shortcut = self.norm(x) - x
        y = self.inner_norm(self.inner(shortcut))
        y += shortcut
        return self.head(self.relu(y)) + self.head(y)


def test_only_what_alone_follows_a_convolution_is_folded_into_it() -> None:
    network = Twice().eval()
    chains = record(network, torch.randn(1, 3, 8, 8)).chains
    assert chains == (Chain("conv"), Chain("inner", "inner_norm"))
    assert fold(network, chains) == [Chain("conv"), Chain("inner")]
    plain = Twice().eval()
    assert away(plain, make_engine(plain), 9, 11) < 1e-4


def test_skips_are_added_instead_of_joined() -> None:
    engine = make_engine(made(**NETWORKS["transposed"]))
    kinds = [type(module) for module in engine.network.modules()]  # pyright: ignore[reportAttributeAccessIssue]
    assert kinds.count(SplitConv) == 2
    assert nn.BatchNorm2d not in kinds
    assert nn.Conv2d not in kinds
    assert {PackedConv, PackedPointwise} <= set(kinds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"stride": 2}, {"stride": (1, 3), "dilation": 2}])
def test_a_product_of_matrices_is_a_convolution_of_1x1(
    options: dict[str, Any], relu: bool, dtype: torch.dtype
) -> None:
    conv = nn.Conv2d(7, 5, 1, **options).to(dtype).requires_grad_(False)
    limit = 1e-6 if dtype is torch.float32 else 2e-2
    after = torch.relu if relu else torch.nn.Identity()
    for size in ((1, 1), (1, 9), (10, 13)):
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(2, 7, *size).to(dtype).contiguous(memory_format=layout)
            expected = conv(x)
            packed = packing.packed_directly(conv, relu=relu)
            assert type(packed) is PackedPointwise
            assert deviation(packed(x), after(expected)) < limit
            total = torch.randn_like(expected)
            assert deviation(packed.add_to(total.clone(), x), after(expected + total)) < limit
            halves = [
                packing.packed_directly(conv, relu=relu and last, channels=part, bias=last)
                for part, last in (((0, 4), False), ((4, 7), True))
            ]
            assert deviation(halves[1].add_to(halves[0](x[:, :4]), x[:, 4:]), after(expected)) < limit


@pytest.mark.parametrize("options", [{"padding": 1}, {"groups": 2}])
def test_a_convolution_of_1x1_that_is_no_product_of_matrices_stays_as_it_is(options: dict[str, Any]) -> None:
    assert not packing.can_pack(nn.Conv2d(4, 4, 1, **options))


class Columns(nn.Module):
    """A stranger's decoder: all features at the finest size, side by side, convolved at once."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.out_channels, self.stride, self.any_size = channels, 6, strides[0], True
        self.mix = nn.Conv2d(sum(channels), 6, 3, padding=1)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        size = features[0].shape[-2:]
        return self.mix(torch.cat([F.interpolate(one, size) for one in features], dim=1)).relu()


class AddedColumns(Columns):
    """That decoder with its offer."""

    def fused_form(self, split: Split) -> nn.Module:
        ends = [*accumulate(self.channels, initial=0)]
        split(self.mix, *(range(*pair) for pair in pairwise(ends)))
        return Summed(self.mix)


class Summed(nn.Module):
    def __init__(self, mix: nn.Module, *, relu: bool = True) -> None:
        super().__init__()
        self.mix, self.relu = mix, relu

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        size = features[0].shape[-2:]
        x = self.mix(F.interpolate(one, size) for one in features)
        return x.relu() if self.relu else x


class Overridden(AddedColumns):
    """A subclass that computes something else, and so withdraws the offer."""

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        return super().forward([2 * one for one in features])


class Unrectified(AddedColumns):
    """A wrong offer: the last step is left out, so that other logits come out."""

    def fused_form(self, split: Split) -> nn.Module:
        super().fused_form(split)
        return Summed(self.mix, relu=False)


class Half(AddedColumns):
    """A wrong offer: some channels of the convolution are nobody's."""

    def fused_form(self, split: Split) -> nn.Module:
        split(self.mix, range(self.channels[0]))
        return Summed(self.mix)


def with_decoder(kind: type[Columns]) -> nn.Module:
    """Return a network with a stranger's decoder."""
    torch.manual_seed(0)
    encoder = PlainEncoder(width=4, depth=2)
    return segzoo.Segmenter(encoder, kind(encoder.channels, encoder.strides), num_classes=2).eval()


@pytest.mark.parametrize(("kind", "count"), [(Columns, 0), (AddedColumns, 1), (Overridden, 0)])
def test_a_stranger_s_decoder_is_fused_if_it_offers_it(kind: type[Columns], count: int) -> None:
    told: list[str] = []
    network = with_decoder(kind)
    engine = make_engine(network, on_message=told.append)
    assert max(away(network, engine, *size) for size in ((37, 50), (32, 32))) < 1e-4
    assert told == []
    kinds = [type(module) for module in engine.network.modules()]  # pyright: ignore[reportAttributeAccessIssue]
    assert kinds.count(SplitConv) == count
    assert ("skips added" in engine.description) == bool(count)


@pytest.mark.parametrize(
    ("kind", "why"), [(Unrectified, "logits differ by"), (Half, "input channels, each once")]
)
def test_a_wrong_offer_is_told_and_the_decoder_runs_as_it_is(kind: type[Columns], why: str) -> None:
    told: list[str] = []
    network = with_decoder(kind)
    engine = make_engine(network, on_message=told.append)
    assert away(network, engine, 37, 50) < 1e-4
    assert "weights packed" in engine.description
    assert "skips added" not in engine.description
    assert all(why in line and f"fused form of {__name__}.{kind.__name__}" in line for line in told)
    assert told


def test_where_torch_has_no_packed_convolutions_less_is_made_of_the_network_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_convolution_pointwise'")

    monkeypatch.setattr(packing.PackedConv, "forward", missing)
    told: list[str] = []
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network, on_message=told.append)
    assert away(network, engine, 16, 16) < 1e-4
    assert "batch norms folded" in engine.description
    assert "packed" not in engine.description
    assert "_convolution_pointwise" in told[0]


def test_what_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: nn.Module, chains: list[Chain]) -> list[Chain]:
        kept = fold(network, chains)
        next(network.parameters()).data.mul_(1.001)
        return kept

    monkeypatch.setattr(native, "fold", wrong)
    told: list[str] = []
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network, precision="fast", on_message=told.append)
    assert away(network, engine, 16, 16) < 0.1
    assert "batch norms folded" not in engine.description or "bfloat16" in engine.description
    assert any("logits differ by" in line for line in told)


@pytest.mark.medium
def test_where_nothing_can_be_compiled_torch_runs_the_network_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_compiler(_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler was found")

    monkeypatch.setattr(torch, "compile", no_compiler)
    told: list[str] = []
    network = made(**NETWORKS["transposed"])
    engine = make_engine(network, backend="compile", on_message=told.append)
    assert away(network, engine, 16, 16) < 1e-4
    assert "no C++ compiler" in told[0]


@pytest.mark.parametrize("wrong", [{"precision": "exat"}, {"backend": "tensorrt"}, {"device": "gpu9"}])
def test_unknown_precisions_backends_and_devices_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        make_engine(made(**NETWORKS["transposed"]), **wrong)
