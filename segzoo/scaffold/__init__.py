"""Writes a new plug-in: a package that can be installed and passes its tests unchanged.

The files are in ``templates``: those of every package at the top, those of one kind in its folder.
`string.Template` fills in words with a dollar sign. The result is kept in ``plugins/template`` for readers,
and ``python -m segzoo.scaffold plugins/template`` writes it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from segzoo import __version__, zoo
from segzoo.discovery import normalise
from segzoo.errors import UsageError
from segzoo.files import whole_folder, writing
from segzoo.hooks import API_VERSION
from segzoo.registry import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

#: Every kind of plug-in that can be generated: the file with its part, and what the part does.
KINDS = {
    "encoder": ("encoder.py", "the encoder: maps images to features at several strides"),
    "decoder": ("decoder.py", "the decoder: maps features to one feature map"),
    "model": ("network.py", "the network: maps images to logits"),
    "dataset": ("dataset.py", "the dataset: finds images and their masks"),
    "metric": ("metric.py", "the metric: counts pixels, and computes a number from the counts"),
    "loss": ("loss.py", "the loss: computes one number from logits and ground truth"),
    "augmentation": ("augmentation.py", "the step: changes image and mask"),
    "optimizer": ("optimizer.py", "the optimizer: updates weights from gradients"),
    "schedule": ("schedule.py", "the schedule: maps training progress to a factor of the learning rate"),
    "tracker": ("tracker.py", "the tracker: stores numbers where people can see them"),
    "reader": ("reader.py", "the reader: reads pixels and metadata from a file"),
    "output": ("output.py", "the output: draws the content of a file"),
    "engine": ("engine.py", "the engine: prepares a network for fast prediction"),
    "cluster": ("cluster.py", "the cluster: runs tasks and returns their results"),
    "export": ("export.py", "the format: writes a network to a file, and opens that file"),
    "weights": ("train.py", "the program that trained the weights in the folder `weights/`"),
    "layout": ("layout.py", "the layout: assigns each tensor of a checkpoint"),
    "recipe": ("recipe.toml", "the recipe: settings for training, without code"),
}

_LONGEST = 40
_RESERVED = {"segzoo", "builtin", "timm", "hf-hub", "local-dir"}


@dataclass(frozen=True)
class Naming:
    """The names of a new package.

    Attributes:
        distribution: name for installing: ``segzoo-my-net``.
        package: name for importing: ``segzoo_my_net``.
        name: name of the part in segzoo: ``my-net``.
    """

    distribution: str
    package: str
    name: str


def naming(name: str) -> Naming:
    """Return the names of a package requested as ``my-net`` or ``segzoo-my-net``.

    Raises:
        UsageError: a distribution must not have that name.
    """
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise UsageError(f"{name!r} cannot name a package: use letters and digits, separated by - . or _")
    short = normalise(name).removeprefix("segzoo-")
    if short in _RESERVED:
        raise UsageError(f"{name!r} is the name of a part of segzoo: choose another name")
    if len(short) > _LONGEST:
        raise UsageError(f"{name!r} has {len(short)} characters; the maximum is {_LONGEST}")
    return Naming(f"segzoo-{short}", f"segzoo_{short.replace('-', '_')}", short)


def check_free(names: Naming, kind: str) -> None:
    """Raise `UsageError` if an installed plug-in already has the distribution's name or the part's."""
    owners = {record.distribution for record in zoo.plugins}
    if names.distribution in owners:
        raise UsageError(f"{names.distribution} is installed already: choose another name")
    # `segzoo.create` accepts names of both models and weights.
    for one in ("model", "weights") if kind in ("model", "weights") else (kind,):
        for entry in zoo.registry(plural(one)).find(names.name):
            raise UsageError(
                f"{entry.owner} already has {_article(one)} named {names.name!r}, so users would have to "
                f"write {names.distribution}:{names.name}: choose another name"
            )


def write(names: Naming, kind: str, folder: Path) -> list[Path]:
    """Write the package into ``folder``, either completely or not at all; return its files.

    Raises:
        UsageError: the folder exists and is not empty.
        FailureError: the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already: choose another name, or another place with --dir")
    rendered = render(names, kind)
    with writing(folder), whole_folder(folder) as part:
        for path, content in rendered.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_bytes(content)
    return [folder / path for path in rendered]


def render(names: Naming, kind: str) -> dict[str, bytes]:
    """Return the content of every file of a package, by its path."""
    code, role = KINDS[kind]
    words = {
        "distribution": names.distribution,
        "package": names.package,
        "name": names.name,
        "entry": names.package.removeprefix("segzoo_"),
        "kind": kind,
        "code": code,
        "role": role,
        "api": str(API_VERSION),
        "version": __version__,
    }
    common = files(__name__) / "templates"
    own, source = common / kind, f"src/{names.package}"
    words["usage"] = _fill(own / "usage.md", words).strip()
    places = {
        "pyproject.toml": common / "pyproject.toml.txt",
        "README.md": common / "README.md.txt",
        "LICENSE": common / "LICENSE.txt",
        f"{source}/__init__.py": own / "specs.py.txt",
        f"{source}/{code}": own / f"code{Path(code).suffix}.txt",
        f"tests/test_{words['entry']}.py": own / "tests.py.txt",
    }
    rendered = {path: _fill(template, words).encode() for path, template in places.items()}
    rendered[f"{source}/py.typed"] = b""
    # Weights are data: the contents of a model's folder are copied unchanged.
    return rendered | {f"{source}/weights/{one.name}": one.read_bytes() for one in _folder(own / "weights")}


def _fill(template: Traversable, words: dict[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _folder(folder: Traversable) -> Iterator[Traversable]:
    if folder.is_dir():
        yield from sorted(folder.iterdir(), key=lambda one: one.name)


def _article(kind: str) -> str:
    return kind if kind == "weights" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
