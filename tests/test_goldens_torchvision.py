"""torchvision's segmentation networks, converted to segzoo's own, compute what torchvision computed."""

from __future__ import annotations

import pytest
import torch
from goldens.libraries import LibraryGolden, names

import segzoo


@pytest.mark.slow
@pytest.mark.parametrize("name", names("torchvision_"))
@torch.no_grad()
def test_a_state_dict_of_torchvision_computes_what_the_library_computed(name, tmp_path):
    golden = LibraryGolden(name)
    model = segzoo.load(segzoo.convert(golden.write(tmp_path), tmp_path / "out"))
    error = golden.error(model.eval()(golden.images))
    print(f"{name}: {error:.1e}, {model.segzoo_config.architecture.name}")
    assert error <= golden.tolerance
