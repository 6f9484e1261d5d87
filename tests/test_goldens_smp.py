"""Every network of segmentation_models.pytorch computes what the library computed, from its folder on."""

from __future__ import annotations

import pytest
import torch
from goldens.libraries import LibraryGolden, names

import segzoo

pytest.importorskip("segmentation_models_pytorch")


@pytest.mark.parametrize("name", names("smp_"))
@torch.no_grad()
def test_a_folder_of_smp_computes_what_the_library_computed(name, tmp_path):
    golden = LibraryGolden(name)
    folder = golden.write(tmp_path)
    model = segzoo.load(segzoo.convert(folder, tmp_path / "out"))
    error = golden.error(model.eval()(golden.images))
    print(f"{name}: {error:.1e}, {model.segzoo_config.architecture.name}")
    assert error <= golden.tolerance
