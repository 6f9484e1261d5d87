"""torch.hub as a stranger uses it: the repository comes as GitHub's zip, the weights from a server.

torch.hub builds ``https://github.com/...`` by itself, and a server on loopback has no certificate for that
name. So the one function that builds the archive's address is pointed at loopback; fetching, unpacking,
renaming, trusting and importing are torch.hub's own. Weights come through ``SEGZOO_MIRROR``.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
from file_server import FileServer, serving
from goldens.golden import Golden

from segzoo import zoo
from segzoo.weights import cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run

START = """
import os, torch
torch.hub._git_archive_link = lambda owner, name, ref: f"{os.environ['ARCHIVE']}/{owner}/{name}/zipball/{ref}"
load = lambda *a, **k: torch.hub.load("org/segzoo:v0.1.0", *a, trust_repo=True, skip_validation=True, **k)
"""


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({}) as state:
        yield state


@pytest.fixture
def hub(bare_python: Run, clone: Path, server: FileServer, tmp_path: Path) -> Iterator[Run]:
    """Run code after ``START`` where nothing is installed but torch and the other dependencies."""
    server.files["/org/segzoo/zipball/v0.1.0"] = _zipped(clone)
    homes = {name: str(tmp_path / name) for name in ("TORCH_HOME", "SEGZOO_HOME", "HF_HOME")}

    def run(code: str) -> object:
        return bare_python("-c", START + code, ARCHIVE=server.url, SEGZOO_MIRROR=server.url, **homes)

    return run  # pyright: ignore[reportReturnType]


def _zipped(clone: Path) -> bytes:
    """Return the archive that GitHub makes: everything below ``org-segzoo-<commit>/``."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("org-segzoo-0123abc/", "")
        for file in sorted(clone.rglob("*")):
            archive.write(file, f"org-segzoo-0123abc/{file.relative_to(clone)}")
    return made.getvalue()


def _publish(server: FileServer, name: str, golden: str, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Serve a file of the published shapes under the address of a catalogue's entry."""
    tensors = Golden(golden).tensors
    torch.save(tensors, tmp_path / "made.pth")
    server.files[f"/{cache.mirror_path(zoo.weights.get(name).url)}"] = (tmp_path / "made.pth").read_bytes()
    return tensors


@pytest.mark.slow
def test_a_repository_of_github_gives_models_its_plugins_and_shipped_weights(
    hub: Run, server: FileServer
) -> None:
    code = """
m = load("unet_nuclei")
n = load("nested_unet", width=4, depth=3)
print(m.training, n(torch.rand(1, 3, 9, 9)).shape, torch.hub.get_dir())
import segzoo
assert segzoo.__file__.startswith(os.path.join(torch.hub.get_dir(), "org_segzoo_v0.1.0"))
"""
    done = hub(code)
    assert done.returncode == 0, done.stderr
    assert "False torch.Size([1, 2, 9, 9])" in done.stdout
    assert len(server.requests) == 1


@pytest.mark.slow
def test_carvana_takes_the_scales_that_there_are(hub: Run) -> None:
    code = """
for scale in (0.5, 1.0):
    m = load("unet_carvana", pretrained=False, scale=scale, width=4)
    print(m.segzoo_config.preprocessing.resize.scale, m.training)
load("unet_carvana", pretrained=False, scale=0.25)
"""
    done = hub(code)
    assert [line for line in done.stdout.splitlines() if line.endswith("True")] == ["0.5 True", "1.0 True"]
    assert (
        "ValueError: unet_carvana has weights for scale=0.5 and scale=1.0, not for scale=0.25" in done.stderr
    )


@pytest.mark.slow
def test_carvana_s_published_file_loads_into_a_network_of_the_same_logits(
    hub: Run, server: FileServer, tmp_path: Path
) -> None:
    _publish(server, "unet-carvana-full", "milesial_transpose", tmp_path)
    golden = Golden("milesial_transpose")
    torch.save(golden.images, tmp_path / "images.pt")
    code = f"""
m = load("unet_carvana", scale=1.0)
with torch.inference_mode():
    torch.save(m(torch.load({str(tmp_path / "images.pt")!r})), {str(tmp_path / "logits.pt")!r})
print(m.training, m.segzoo_config.preprocessing.resize.scale, m.segzoo_config.labels.classes)
"""
    done = hub(code)
    assert done.returncode == 0, done.stderr
    assert "False 1.0 ('background', 'car')" in done.stdout
    assert "is recorded next to it and checked from now on" in done.stderr
    assert golden.error(torch.load(tmp_path / "logits.pt")) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "name", "golden"),
    [
        ("unet_vgg_voc", "unet-vgg-voc", "bubbliiiing_vgg"),
        ("nested_unet_nuclei", "nested-nuclei-ascend", "nested_unet"),
    ],
)
def test_published_weights_load_by_their_entry_points(
    hub: Run, server: FileServer, tmp_path: Path, entry: str, name: str, golden: str
) -> None:
    _publish(server, name, golden, tmp_path)
    done = hub(f"m = load({entry!r}); print(m.training, len(m.segzoo_config.labels.classes))")
    assert done.returncode == 0, done.stderr
    assert f"False {len(zoo.weights.get(name).classes)}" in done.stdout


@pytest.mark.slow
def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(hub: Run) -> None:
    done = hub("os.environ['SEGZOO_OFFLINE'] = '1'\nload('unet_vgg_voc')")
    assert done.returncode == 1
    assert "unet_vgg_voc.pth" in done.stderr
    assert "on another machine and put it at" in done.stderr
