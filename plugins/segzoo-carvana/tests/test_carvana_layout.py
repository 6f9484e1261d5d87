"""Files of milesial's program of 2017 to March 2020 give the logits that their networks gave."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import segzoo
from segzoo.errors import WeightsError
from segzoo.weights.folder import read_config

W = 4
#: Channels that enter and leave the steps of the decoder, in widths of the first block.
STEPS = ((16, 4), (8, 2), (4, 1), (2, 1))
STAGES = ((1, 2), (2, 4), (4, 8), (8, 8))


def block(before, after):
    """Two convolutions with biases, each with a batch norm and a ReLU."""
    layers = []
    for entering in (before, after):
        layers += [nn.Conv2d(entering, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class Old(nn.Module):
    """A network of that time; its state dict has neutral names, which `renamed` turns into a version's."""

    def __init__(self, *, bilinear, classes, bands=3):
        super().__init__()
        self.inc = block(bands, W)
        self.down = nn.ModuleList(block(a * W, b * W) for a, b in STAGES)
        self.up = nn.ModuleList(block(a * W, b * W) for a, b in STEPS)
        self.twice = nn.ModuleList(
            [] if bilinear else [nn.ConvTranspose2d(a * W // 2, a * W // 2, 2, stride=2) for a, _ in STEPS]
        )
        self.outc = nn.Conv2d(W, classes, 1)

    def forward(self, x):
        features = [self.inc(x)]
        for stage in self.down:
            features.append(stage(F.max_pool2d(features[-1], 2)))
        x = features.pop()
        for index, step in enumerate(self.up):
            skip = features.pop()
            if len(self.twice):
                x = self.twice[index](x)
            else:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            high, wide = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
            x = step(torch.cat([skip, x], dim=1))
        return self.outc(x)


def renamed(network, *, year):
    first = {
        2017: ("inc.conv.conv", "down{}.mpconv.1.conv", "up{}.conv.conv"),
        2019: ("inc.double_conv", "down{}.maxpool_conv.1.double_conv", "up{}.conv.double_conv"),
    }
    inc, down, up = first[year]
    found = {}
    for name, tensor in network.state_dict().items():
        part, rest = name.split(".", 1)
        if part in ("down", "up", "twice"):
            level, rest = rest.split(".", 1)
            pattern = {"down": down, "up": up, "twice": "up{}.up"}[part]
            found[f"{pattern.format(int(level) + 1)}.{rest}"] = tensor
        else:
            found[f"{inc if part == 'inc' else 'outc.conv'}.{rest}"] = tensor
    return found


def trained(**options):
    torch.manual_seed(0)
    network = Old(**options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return network


@pytest.mark.parametrize("size", [(32, 48), (37, 51)])
@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("year", [2017, 2019])
def test_old_files_give_the_logits_of_their_time(year, bilinear, size, tmp_path):
    network = trained(bilinear=bilinear, classes=1)
    torch.save(renamed(network, year=year), tmp_path / "CP5.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "CP5.pth", tmp_path / "out"))
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        expected, got = network(images), model(images)
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


def test_files_of_torch_before_batches_were_counted_are_read(tmp_path):
    tensors = renamed(trained(bilinear=True, classes=1, bands=1), year=2017)
    counted = {name: one for name, one in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(counted, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    config = read_config(segzoo.convert(tmp_path / "a.pth", tmp_path / "out"))
    assert config.architecture.in_channels == 1
    assert config.preprocessing.resize.interpolation == "nearest"


def test_until_october_2019_each_class_had_a_sigmoid(tmp_path):
    for year, overlapping in ((2017, True), (2019, False)):
        torch.save(renamed(trained(bilinear=True, classes=3), year=year), tmp_path / f"{year}.pth")
        config = read_config(segzoo.convert(tmp_path / f"{year}.pth", tmp_path / str(year)))
        assert config.labels.overlapping is overlapping


def test_an_old_file_that_lacks_a_tensor_names_it(tmp_path):
    tensors = renamed(trained(bilinear=True, classes=1), year=2017)
    del tensors["up2.conv.conv.3.bias"], tensors["up3.conv.conv.0.weight"]
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"milesial-2017'.*\n.*missing: up3\.conv\.conv\.0\.weight"):
        segzoo.convert(tmp_path / "a.pth", tmp_path / "out")
