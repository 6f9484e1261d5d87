"""Packages as strangers write them, outside the repository, and a fresh environment to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

from conftest import ROOT, run_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = ["segmentation-zoo"]

[project.entry-points."segzoo.plugins"]
{short} = "{package}"

[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]
"""


def write_package(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write the source tree of a distribution; ``files`` are those of its package, by name."""
    package = name.replace("-", "_")
    source = folder / name / "src" / package
    source.mkdir(parents=True)
    project = _PROJECT.format(name=name, short=name.removeprefix("segzoo-"), package=package)
    (folder / name / "pyproject.toml").write_text(project, encoding="utf-8")
    for file, code in files.items():
        (source / file).write_text(dedent(code), encoding="utf-8")
    return folder / name


def build(package: Path, out: Path) -> Path:
    """Build a wheel with the tools that are installed here, asking no index."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    (wheel,) = out.glob(
        f"{'segmentation_zoo' if package == ROOT else package.name.replace('-', '_')}-[0-9]*.whl"
    )
    return wheel


class Environment:
    """A fresh virtual environment that holds segzoo's dependencies, and nothing of segzoo's yet."""

    def __init__(self, folder: Path, dependencies: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.packages = next(folder.glob("lib/python*/site-packages"))
        (self.packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEGZOO_", "HF_"))}
        self.variables = {**kept, "OMP_NUM_THREADS": "1", "SEGZOO_HOME": str(folder / "cache")}
        self.variables.pop("PYTHONPATH", None)

    def run(self, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, such as ``segzoo`` or ``python``."""
        command = str(self.folder / "bin" / program)
        return run_process(command, *arguments, cwd=self.folder, environment={**self.variables, **variables})

    def pip(self, *arguments: str) -> None:
        """Run pip on the environment, without any index."""
        pip = ("-m", "pip", "--python", str(self.folder / "bin/python"), "--disable-pip-version-check")
        done = run_process(sys.executable, *pip, *arguments, cwd=self.folder, environment=self.variables)
        assert done.returncode == 0, done.stderr

    def install(self, *what: str | Path) -> None:
        """Install wheels or, after ``--editable``, source trees."""
        self.pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", *map(str, what))


#: A model, a dataset and a metric, as somebody who read the documentation would write them.
YOURS = {
    "__init__.py": '''
        """Stripes."""
        from segzoo.hooks import hookimpl
        from segzoo.specs import DatasetSpec, Labels, MetricSpec, ModelSpec

        LABELS = Labels(classes=("ground", "stripe"))

        @hookimpl
        def segzoo_api():
            return 1

        @hookimpl
        def segzoo_models():
            twin = ModelSpec(name="twin", encoder="plain", decoder="unet", encoder_options={"depth": 3})
            return [ModelSpec(name="striped", factory="segzoo_yours.code:Striped"), twin]

        @hookimpl
        def segzoo_datasets():
            return [DatasetSpec(name="stripes", factory="segzoo_yours.code:Stripes", labels=LABELS,
                                splits=("train", "val", "test"))]

        @hookimpl
        def segzoo_metrics():
            return [MetricSpec(name="hits", factory="segzoo_yours.code:Hits")]
    ''',
    "code.py": '''
        """The code of it."""
        import numpy as np
        from torch import nn

        from segzoo.interfaces import Sample

        class Striped(nn.Sequential):
            def __init__(self, *, num_classes, in_channels=3, width=8):
                first = nn.Conv2d(in_channels, width, 3, padding=1)
                super().__init__(first, nn.ReLU(), nn.Conv2d(width, num_classes, 1))

        class Stripes:
            def __init__(self, root, split="train"):
                from segzoo_yours import LABELS
                self.labels, self.first = LABELS, 100 * ("train", "val", "test").index(split)

            def __len__(self):
                return 6

            def __getitem__(self, index):
                if index >= 6:
                    raise IndexError(index)
                random = np.random.default_rng(self.first + index)
                mask = np.zeros((24, 20), np.uint8)
                mask[:, random.integers(0, 14):][:, :6] = 1
                image = np.stack([200 * mask + random.integers(0, 50, mask.shape, np.uint8)] * 3, axis=-1)
                return Sample(image, mask, f"stripe-{self.first + index}")

        class Hits:
            contract = "share of all pixels whose class is right, of all images together; every class counts"

            def __init__(self, *, labels):
                self.right, self.all = 0, 0

            def update(self, prediction, target, *, probabilities=None, instances=None, valid=None):
                counted = np.ones(target.shape, bool) if valid is None else valid
                self.right += int(np.count_nonzero((prediction == target) & counted))
                self.all += int(np.count_nonzero(counted))

            def merge(self, other):
                self.right, self.all = self.right + other.right, self.all + other.all

            def compute(self):
                return {"hits": self.right / self.all if self.all else float("nan")}
    ''',
}

_BRINGS = """
    from segzoo.hooks import hookimpl
    from segzoo.specs import ModelSpec
    {first}

    @hookimpl
    def segzoo_api():
        return {api}

    @hookimpl
    def segzoo_models():
        return [ModelSpec(name="{model}", encoder="plain", decoder="unet")]
"""


def brings(model: str, *, first: str = "", api: int = 1) -> dict[str, str]:
    """Return a package that brings a model; ``first`` is what its module does before all else."""
    return {"__init__.py": _BRINGS.format(model=model, first=first, api=api)}


#: What can go wrong with strangers' packages.
OTHERS = {
    "segzoo-theirs": brings("twin"),
    "segzoo-broken": brings("lost", first="import a_module_that_nobody_has"),
    "segzoo-newer": brings("future", api=99),
    "segzoo-slow": brings("late", first="import time; time.sleep(1.1)"),
}
