"""hubconf.py, through torch.hub itself, on a clone, where segzoo is not installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import segzoo

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run, Site

LOAD = "import torch; load = lambda *a, **k: torch.hub.load(CLONE, *a, source='local', **k); "


def script(clone: Path, code: str) -> str:
    return f"CLONE = {str(clone)!r}; {LOAD}{code}"


def test_the_bare_python_of_these_tests_has_torch_and_no_segzoo(bare_python: Run) -> None:
    code = "import importlib.util as u; print(u.find_spec('torch') is not None, u.find_spec('segzoo'))"
    assert bare_python("-c", code).stdout.split() == ["True", "None"]


@pytest.mark.slow
def test_a_clone_gives_networks_and_weights_without_installing_anything(
    bare_python: Run, clone: Path
) -> None:
    code = """
import sys
print(load('unet', width=4)(torch.rand(1, 3, 33, 47)).shape)
print(load('segzoo', 'unet/plain', num_classes=5, in_channels=1, width=4, depth=3).head)
with torch.device('meta'):
    m = load('unet_vgg', num_classes=21)
print(m.head.out_channels, m.encoder.channels)
m, n = load('unet_nuclei'), load('unet_nuclei', pretrained=False)
print(m.training, n.training, m(torch.rand(1, 3, 40, 50)).shape, m.segzoo_config.labels.classes)
load('nested_unet', width=4, depth=3)
from segzoo import zoo
print([p.error for p in zoo.plugins if p.error], sys.modules['segzoo_nested'].__file__)
for name in ('unet', 'nested_unet'):
    try:
        load(name, pretrained=True)
    except Exception as error:
        print(name, error)
"""
    done = bare_python("-c", script(clone, code), HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    small, general, vgg, nuclei, plugins, *without = done.stdout.strip().splitlines()
    assert small == "torch.Size([1, 2, 33, 47])"
    assert "Conv2d(4, 5" in general
    assert vgg == "21 (64, 128, 256, 512, 512)"
    # The second logit tells nuclei apart that touch.
    assert nuclei == "False True torch.Size([1, 2, 40, 50]) ('background', 'nucleus')"
    assert plugins.startswith("[] ")
    assert str(clone) in plugins
    assert [line.split()[0] for line in without] == ["unet", "nested_unet"]
    assert all("has no weights of its own" in line for line in without)


@pytest.mark.slow
def test_what_is_imported_late_still_works_after_the_call(bare_python: Run, clone: Path) -> None:
    code = (
        "m = load('unet', width=4); import sys; assert CLONE not in sys.path; "
        "import segzoo, copy; n = segzoo.create('nested/plain', num_classes=2, width=4); "
        "segzoo.save(m, 'saved'); import segzoo.metrics.scores, segzoo_medical.dsb2018; "
        "print(type(segzoo.load('local-dir:saved')).__name__)"
    )
    done = bare_python("-c", script(clone, code))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Segmenter"


@pytest.mark.slow
def test_weights_that_ship_in_a_clone_s_plugin_load(bare_python: Run, clone: Path) -> None:
    package = clone / "plugins" / "segzoo-dots" / "src" / "segzoo_dots"
    package.mkdir(parents=True)
    (package.parents[1] / "pyproject.toml").write_text(
        '[project]\nname = "segzoo-dots"\nversion = "1"\n'
        '[project.entry-points."segzoo.plugins"]\ndots = "segzoo_dots"\n'
    )
    (package / "__init__.py").write_text(
        "from segzoo.hooks import hookimpl\nfrom segzoo.specs import WeightsSpec\n"
        "@hookimpl\ndef segzoo_weights():\n"
        "    return [WeightsSpec(name='unet-dots', folder='segzoo_dots:weights', model='unet',\n"
        "                        classes=('background', 'dot'))]\n"
    )
    model = segzoo.create("unet", num_classes=2, width=4, depth=3)
    segzoo.save(model, package / "weights")
    code = (
        "m = load('segzoo', 'unet-dots'); print(float(m.head.bias[0]), m.training); "
        "print(load('segzoo', 'unet-dots', weights=None).training)"
    )
    done = bare_python("-c", script(clone, code))
    assert done.returncode == 0, done.stderr
    bias, training, untrained = done.stdout.split()
    assert float(bias) == model.state_dict()["head.bias"][0].item()
    assert (training, untrained) == ("False", "True")


@pytest.mark.slow
def test_another_version_that_is_already_imported_is_named_with_what_to_do(
    bare_python: Run, clone: Path, site: Site
) -> None:
    (site.folder / "segzoo").mkdir()
    (site.folder / "segzoo" / "__init__.py").write_text("__version__ = '99.1'\n__all__ = ['create']\n")
    done = bare_python("-c", script(clone, "import segzoo; load('unet')"), PYTHONPATH=str(site.folder))
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()[-1]
    for part in ("99.1", str(site.folder / "segzoo"), segzoo.__version__, str(clone), "new process"):
        assert part in told


@pytest.mark.slow
@pytest.mark.parametrize("files", [{"__init__.py": ""}, {"main.py": ""}], ids=["package", "namespace"])
def test_another_program_s_package_that_is_already_imported_is_told_apart_from_another_version(
    bare_python: Run, clone: Path, site: Site, files: dict[str, str]
) -> None:
    (site.folder / "segzoo").mkdir()
    for name, text in files.items():
        (site.folder / "segzoo" / name).write_text(text)
    done = bare_python("-c", script(clone, "import segzoo; load('unet')"), PYTHONPATH=str(site.folder))
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()[-1]
    assert "is already imported as segzoo and is another program's" in told
    assert str(site.folder / "segzoo") in told


@pytest.mark.slow
def test_the_same_version_imported_from_elsewhere_is_used_and_gains_the_clone_s_plugins(
    bare_python: Run, clone: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (clone / "segzoo").rename(elsewhere / "segzoo")
    (clone / "segzoo").mkdir()
    (clone / "segzoo" / "__init__.py").write_text(f'__version__ = "{segzoo.__version__}"\n')
    code = "import segzoo; load('nested_unet', width=4, depth=3); print(segzoo.__file__)"
    done = bare_python("-c", script(clone, code), PYTHONPATH=str(elsewhere))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(elsewhere / "segzoo" / "__init__.py")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmentation-zoo", "segzoo"])
def test_a_clone_works_where_another_version_is_installed_and_says_which_is_used(
    bare_python: Run, clone: Path, site: Site, name: str
) -> None:
    site.install(name, "", version="99.1", entry_points="")
    code = "load('unet', width=4); import segzoo; print(segzoo.__version__)"
    done = bare_python("-c", script(clone, code), PYTHONPATH=str(site.folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == segzoo.__version__
    assert re.search(rf"{name} 99\.1 is installed, .* now uses segzoo {segzoo.__version__}", done.stderr)


@pytest.mark.slow
def test_every_entry_point_of_a_repository_is_listed_and_has_help(
    bare_python: Run, clone: Path, tmp_path: Path
) -> None:
    # Where torch.hub unpacks a repository of GitHub, so that it asks nobody.
    cached = tmp_path / "torch" / "hub" / "org_segzoo_main"
    cached.parent.mkdir(parents=True)
    clone.rename(cached)
    code = (
        "import torch; hub, repo = torch.hub, 'org/segzoo:main'; names = hub.list(repo, trust_repo=True); "
        "helps = [hub.help(repo, name, trust_repo=True) for name in names]; print(*names); "
        "print(all('.' in text.splitlines()[0] for text in helps)); "
        "print(type(hub.load(repo, 'unet', width=4, trust_repo=True)).__name__)"
    )
    done = bare_python("-c", code, TORCH_HOME=str(tmp_path / "torch"))
    assert done.returncode == 0, done.stderr
    names, documented, model = done.stdout.strip().splitlines()
    assert {"nested_unet", "segzoo", "unet", "unet_nuclei", "unet_vgg"} <= set(names.split())
    assert (documented, model) == ("True", "Segmenter")
