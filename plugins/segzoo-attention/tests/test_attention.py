"""Attention gates and residual units compute what their papers say, on any encoder, at any size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import segzoo
from segzoo import zoo
from segzoo.errors import OptionError
from segzoo_attention.attention import AttentionGate
from segzoo_attention.residual import ResidualUnit

SNAPSHOT = Path(__file__).parent / "state_dicts.json"
VARIANTS = {
    "attention": {},
    "attention, all gated": {"gate_finest": True, "upsample": "transpose"},
    "residual": {},
    "residual, transposed": {"upsample": "transpose"},
}


def made(variant: str) -> torch.nn.Module:
    with torch.device("meta"):
        return segzoo.create(variant.partition(",")[0], num_classes=1, **VARIANTS[variant])


def tensors(variant: str) -> dict[str, str]:
    return {name: "x".join(map(str, t.shape)) for name, t in made(variant).state_dict().items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tensors_of_every_variant_keep_their_names_and_shapes(variant):
    """Renaming one breaks people's weights; running this file as a program adds a new variant."""
    assert tensors(variant) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))[variant]


def test_the_parameters_are_those_of_the_papers():
    counted = {name: sum(p.numel() for p in made(name).parameters()) for name in ("attention", "residual")}
    assert counted == {"attention": 31_901_828, "residual": 8_216_769}
    convolutions = sum(p.numel() for p in made("residual").parameters() if p.shape[-2:] == (3, 3))
    assert round(convolutions / 1e6, 1) == 7.8  # Zhang et al., section II-B


@pytest.mark.parametrize(
    ("alias", "name"),
    [("attention-unet", "attention"), ("attunet", "attention"), ("resunet", "residual")],
)
def test_every_name_of_it_means_the_same_network(alias, name):
    assert zoo.find_model(alias) == zoo.find_model(name)


def test_a_decoder_named_alone_comes_with_the_encoder_of_its_paper():
    with torch.device("meta"):
        assert len(segzoo.create("segzoo-attention:residual", num_classes=1).encoder.units) == 4


def slow_gate(gate: AttentionGate, skip: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Return the weights on the signal's grid, one pixel after the other."""
    w_x, w_g = (layer.weight[:, :, 0, 0].detach().numpy() for layer in (gate.skip, gate.signal))
    psi, b_g = gate.score.weight[0, :, 0, 0].detach().numpy(), gate.signal.bias.detach().numpy()
    weights = np.zeros(signal.shape[1:])
    for y in range(weights.shape[0]):
        for x in range(weights.shape[1]):
            seen = skip[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(1, 2))
            added = np.maximum(w_x @ seen + w_g @ signal[:, y, x] + b_g, 0)
            weights[y, x] = 1 / (1 + np.exp(-(psi @ added + gate.score.bias.item())))
    return weights


def test_a_gate_is_additive_attention_steered_by_the_coarser_level():
    torch.manual_seed(0)
    gate = AttentionGate(4, 6)
    skip, signal = torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)
    with torch.no_grad():
        weights = gate.weights(skip, signal)
        assert torch.equal(gate(skip, signal), skip * weights)
    expected = slow_gate(gate, skip[0].numpy(), signal[0].numpy())
    assert weights.shape == (1, 1, 8, 12)
    # The resampled grid: a quarter of the way from one value to the next.
    row = 0.75 * expected[0, 1] + 0.25 * expected[0, 0]
    assert weights[0, 0, 0, 2].item() == pytest.approx(row, abs=1e-5)
    assert weights[0, 0, 0, 0].item() == pytest.approx(expected[0, 0], abs=1e-5)


def test_gates_begin_open_and_the_finest_skip_has_none():
    model = segzoo.create("attention", num_classes=1, width=4, depth=4).eval()
    gates = [step.gate for step in model.decoder.steps]
    assert [gate is not None for gate in gates] == [True, True, False]
    features = model.encoder(torch.rand(1, 3, 33, 50))
    assert gates[0].weights(features[-2], features[-1]).min() > 0.8


def test_a_closed_gate_keeps_its_skip_from_the_result():
    model = segzoo.create("attention", num_classes=1, width=4, depth=3, gate_finest=True).eval()
    features = [f.detach() for f in model.encoder(torch.rand(1, 3, 16, 24))]
    for step in model.decoder.steps:
        torch.nn.init.constant_(step.gate.score.bias, -1e4)
    other = [torch.rand_like(feature) for feature in features[:-1]]
    assert torch.equal(model.decoder(features), model.decoder([*other, features[-1]]))


def test_a_residual_unit_is_its_input_where_its_convolutions_are_nothing():
    unit, x = ResidualUnit(3, 3), torch.randn(2, 3, 5, 7)
    torch.nn.init.zeros_(unit.second.weight)
    assert torch.equal(unit(x), x)


def test_a_residual_unit_leaves_its_input_as_it_is():
    x = torch.randn(2, 3, 5, 7)
    before = x.clone()
    ResidualUnit(3, 4, stride=2, norm=None)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["attention", "residual"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 50)])
def test_logits_have_the_size_of_the_image(name, size):
    model = segzoo.create(name, num_classes=2, width=2, depth=3).eval()
    assert model(torch.rand(1, 3, *size)).shape == (1, 2, *size)


def test_halves_of_different_networks_go_together():
    for name in ("attention/residual", "residual/plain", "unet/residual"):
        model = segzoo.create(name, num_classes=1, width=2, depth=3).eval()
        assert model(torch.rand(1, 3, 13, 22)).shape == (1, 1, 13, 22)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["attention", "residual"])
@pytest.mark.parametrize("encoder", ["resnet18", "convnext_atto"])
def test_they_decode_the_features_of_other_encoders(decoder, encoder):
    model = segzoo.create(f"{decoder}/{encoder}", num_classes=2, widths=[8] * 3).eval()
    assert model(torch.rand(1, 3, 45, 70)).shape == (1, 2, 45, 70)


@pytest.mark.parametrize("widths", [[], [8, 8, 8], [0]])
@pytest.mark.parametrize("decoder", ["attention", "residual"])
def test_widths_that_make_no_sense_are_refused(decoder, widths):
    with pytest.raises(OptionError, match="widths"):
        segzoo.create(f"{decoder}/plain", num_classes=1, width=4, depth=3, decoder={"widths": widths})


def test_an_encoder_deeper_than_images_can_be_is_refused():
    with pytest.raises(OptionError, match="a depth above 12"):
        segzoo.create("residual", num_classes=1, width=1, depth=40)


if __name__ == "__main__":
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    added = {variant: tensors(variant) for variant in VARIANTS if variant not in stored}
    SNAPSHOT.write_text(json.dumps({**stored, **added}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
