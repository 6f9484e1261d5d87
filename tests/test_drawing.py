"""Drawings of architectures: shapes and parameters are those of the network, and the file is a sound SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import segzoo
from segzoo import cli, zoo
from segzoo.drawing.draw import _built
from segzoo.drawing.figure import drawn
from segzoo.drawing.tracing import traced
from segzoo.errors import OptionError, UnknownNameError, UsageError
from segzoo.specs import ModelSpec
from segzoo.testing import isolated_zoo

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.drawing.tracing import Traced

SVG = "{http://www.w3.org/2000/svg}"
#: Most bytes of a drawing.
MOST = 16_000


def grids(found: Traced, part: str) -> list[tuple[int, ...]]:
    """Return channels, height, width and stride of a part's boxes, finest first."""
    return [tuple(box.grid) for box in found.boxes if box.part == part]


def hooked(model: nn.Module, part: str, size: int) -> list[tuple[int, ...]]:
    """Return the shapes of the maps that a part returns, as torch sees them."""
    seen: list[tuple[int, ...]] = []

    def hook(_: nn.Module, __: object, output: list[torch.Tensor]) -> None:
        seen.extend(tuple(one.shape[1:]) for one in output)

    handle = model.get_submodule(part).register_forward_hook(hook)
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    handle.remove()
    return seen


@pytest.mark.medium
@pytest.mark.parametrize("name", ["unet", "unet/resnet18", "fpn/resnet18", "linear/convnext_atto"])
def test_shapes_of_the_encoder_are_those_that_it_returns(name: str) -> None:
    model = segzoo.create(name, num_classes=3, weights=None).eval()
    found = traced(model, (64, 64))
    assert [grid[:3] for grid in grids(found, "encoder")] == hooked(model, "encoder", 64)
    assert found.logits == (3, 64, 64)


def test_a_u_net_has_a_box_for_each_level() -> None:
    found = traced(segzoo.create("unet", num_classes=2, width=8), (64, 96))
    assert grids(found, "encoder") == [
        (8, 64, 96, 1),
        (16, 32, 48, 2),
        (32, 16, 24, 4),
        (64, 8, 12, 8),
        (128, 4, 6, 16),
    ]
    assert grids(found, "decoder") == [(8, 64, 96, 1), (16, 32, 48, 2), (32, 16, 24, 4), (64, 8, 12, 8)]
    assert grids(found, "head") == [(2, 64, 96, 1)]


@pytest.mark.medium
@pytest.mark.parametrize("name", ["unet", "smp-dpt", "smp-fpn"])
def test_nothing_but_the_logits_comes_after_the_head(name: str) -> None:
    found = traced(_built(name), (128, 128))
    assert [source for source, _ in found.edges if source[0] == "head"] == []


def test_skips_of_a_u_net_are_its_edges() -> None:
    found = traced(segzoo.create("unet", num_classes=2, width=8), (64, 64))
    skips = {(("encoder", stride), ("decoder", stride)) for stride in (1, 2, 4, 8)}
    down = {(("encoder", stride), ("encoder", 2 * stride)) for stride in (1, 2, 4, 8)}
    up = {(("decoder", 2 * stride), ("decoder", stride)) for stride in (1, 2, 4)}
    ends = {
        (("image", 1), ("encoder", 1)),
        (("encoder", 16), ("decoder", 8)),
        (("decoder", 1), ("head", 1)),
    }
    assert found.edges == skips | down | up | ends


def test_valid_convolutions_shrink_maps_and_keep_strides() -> None:
    model = segzoo.create("unet", num_classes=2, width=8, padding="valid", mirror=False)
    found = traced(model, (572, 572))
    assert grids(found, "encoder")[-1] == (128, 28, 28, 16)
    assert grids(found, "decoder")[0] == (8, 388, 388, 1)
    assert found.logits == (2, 388, 388)


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", ["unet", "unet/vgg11", "deeplabv3plus/resnet18", "segformer-b0", "nested/resnet18", "smp-unet"]
)
def test_every_parameter_is_in_one_box(name: str) -> None:
    found = traced(_built(name), (128, 128))
    assert found.unused == 0
    assert sum(box.parameters for box in found.boxes) == found.parameters
    model = segzoo.create(name, num_classes=2, weights=None)
    assert found.parameters == sum(one.numel() for one in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(zoo.registry("models").names()))
def test_every_model_can_be_drawn(name: str) -> None:
    found = traced(_built(name), (256, 256))
    assert sum(box.parameters for box in found.boxes) + found.unused == found.parameters
    assert {"encoder", "decoder"} <= {box.part for box in found.boxes}
    svg = drawn(name, found)
    ElementTree.fromstring(svg)
    assert len(svg) < MOST


@pytest.mark.medium
def test_heads_that_take_no_part_in_prediction_are_told_apart() -> None:
    model = segzoo.create("nested/resnet18", num_classes=2, deep_supervision=True)
    found = traced(model, (64, 64))
    assert found.unused > 0
    assert sum(box.parameters for box in found.boxes) + found.unused == found.parameters
    assert "take no part in prediction" in segzoo.draw(model).svg


def test_a_model_of_someone_else_is_drawn_too() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 2, 2, stride=2)
    )
    drawing = segzoo.draw(model, size=(32, 32))
    assert drawing.parameters == sum(one.numel() for one in model.parameters())
    assert "4 x 32 x 32" in drawing.description


@pytest.mark.medium
def test_a_wrapped_model_is_drawn_as_the_model_inside() -> None:
    model = segzoo.create("unet", num_classes=2, width=8)
    expected = segzoo.draw(model, size=(64, 64))
    assert segzoo.draw(torch.compile(model), size=(64, 64)) == expected
    assert segzoo.draw(nn.DataParallel(model), size=(64, 64)) == expected


@pytest.mark.medium
def test_a_drawing_leaves_the_model_as_it_was() -> None:
    model = segzoo.create("unet", num_classes=2, width=8).train()
    model.get_submodule("head").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    segzoo.draw(model, size=(64, 64))
    assert model.training
    assert not model.get_submodule("head").training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.medium
def test_a_drawing_is_the_same_each_time_and_says_what_it_shows() -> None:
    drawing = segzoo.draw("unet", size=(64, 64))
    assert drawing == segzoo.draw("unet", size=(64, 64))
    root = ElementTree.fromstring(drawing.svg)
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "unet"
    assert description is not None
    assert description.text == drawing.description
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "prefers-color-scheme:dark" in drawing.svg
    assert "stride 16: 1024 x 4 x 4, 14,159,872 parameters" in drawing.description


@pytest.mark.medium
def test_boxes_do_not_overlap_and_lie_inside() -> None:
    root = ElementTree.fromstring(segzoo.draw("unet/resnet18", size=(64, 64)).svg)
    width, height = (float(root.get(name, "0")) for name in ("width", "height"))
    boxes = [
        [float(one.get(name, "0")) for name in ("x", "y", "width", "height")]
        for one in root.iter(f"{SVG}rect")
        if one.get("class")
    ]
    for index, (x, y, wide, tall) in enumerate(boxes):
        assert x >= 0 <= y
        assert x + wide <= width
        assert y + tall <= height
        for other_x, other_y, other_wide, other_tall in boxes[:index]:
            apart_x = x + wide <= other_x or other_x + other_wide <= x
            assert apart_x or y + tall <= other_y or other_y + other_tall <= y


def test_notebooks_show_a_picture_with_alternative_text() -> None:
    drawing = segzoo.draw("unet", size=(64, 64))
    assert drawing._repr_html_().startswith('<img src="data:image/svg+xml;base64,')
    assert f'alt="{drawing.description}"' in drawing._repr_html_()


def test_a_folder_of_weights_is_drawn_without_its_weights(tmp_path: Path) -> None:
    model = segzoo.create("unet", num_classes=5, in_channels=2, width=8)
    folder = segzoo.save(model, tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"damaged")
    drawing = segzoo.draw(folder, size=(64, 64))
    assert "The image has 2 x 64 x 64 values" in drawing.description
    assert "The logits have 5 x 64 x 64 values." in drawing.description


class Computing(nn.Module):
    """A network that computes while it is built, which the meta device cannot."""

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.scale = torch.linspace(0, 1, 3)[1].item()
        self.head = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images) * self.scale


def test_a_network_that_computes_while_it_is_built_is_drawn_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with isolated_zoo(ModelSpec(name="computing", factory=f"{__name__}:Computing")):
        assert segzoo.draw("computing", size=(64, 64)).parameters == 8
        assert cli.run(["info", "computing", "--json"]) == 0
    assert '"parameters": 8' in capsys.readouterr().out


# -- errors


def test_a_wrong_name_or_size_gets_the_usual_message(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'unet'"):
        segzoo.draw("unett")
    with pytest.raises(OptionError, match="the height of size must be"):
        segzoo.draw("unet", size=(0, 64))
    with pytest.raises(OptionError, match="size must be height and width"):
        segzoo.draw("unet", size=(64,))
    model = segzoo.create("unet", num_classes=2, width=8, padding="valid", mirror=False)
    with pytest.raises(UsageError, match="without mirroring"):
        segzoo.draw(model, size=(64, 64))


# -- the command


@pytest.mark.medium
def test_the_command_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["draw", "unet/resnet18", "--size", "64x96"]) == 0
    assert capsys.readouterr().out.startswith("unet-resnet18.svg (")
    assert "3 x 64 x 96" in (tmp_path / "unet-resnet18.svg").read_text()
    assert cli.run(["draw", "unet/resnet18"]) == 1
    assert "unet-resnet18.svg exists" in capsys.readouterr().err
    assert cli.run(["draw", "unet/resnet18", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["unett"], "did you mean 'unet'"),
        (["unet", "--size", "big"], "size must be such as 480x640, height x width, got 'big'"),
        (["unet", "--size", "0"], "the height of size must be"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["draw", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.medium
def test_a_drawing_is_written_to_a_name_that_ends_in_svg(tmp_path: Path) -> None:
    drawing = segzoo.draw("unet/resnet18")
    with pytest.raises(OptionError, match=r"must end in \.svg, got .*unet\.png"):
        drawing.save(tmp_path / "unet.png")
    assert not list(tmp_path.iterdir())
    assert drawing.save(tmp_path / "unet.SVG").is_file()
