"""Writes a new plug-in: a package that installs and passes its own tests as it is.

The files lie in ``templates``: those of every package at the top, those of one kind in its folder.
Words with a dollar sign in them are filled in by `string.Template`. What comes out is kept in
``plugins/template`` to be read, and ``python -m segzoo.scaffold plugins/template`` writes it anew.
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

#: Every kind of plug-in that can be written: the file of what it brings, and what that is.
KINDS = {
    "encoder": ("encoder.py", "the encoder: images in, features of several strides out"),
    "decoder": ("decoder.py", "the decoder: features in, one map out"),
    "model": ("network.py", "the network: images in, logits out"),
    "dataset": ("dataset.py", "the data set: it finds images and their masks"),
    "metric": ("metric.py", "the metric: it counts pixels, and makes a number of them"),
    "loss": ("loss.py", "the loss: logits and the truth in, one number out"),
    "augmentation": ("augmentation.py", "the step: image and mask in, both changed out"),
    "optimizer": ("optimizer.py", "the optimizer: gradients in, weights changed"),
    "schedule": ("schedule.py", "the schedule: where the training stands in, a share of the rate out"),
    "tracker": ("tracker.py", "the tracker: numbers in, kept where people look at them"),
    "reader": ("reader.py", "the reader: a file in, pixels and the file's metadata out"),
    "output": ("output.py", "the output: it draws what a file holds"),
    "engine": ("engine.py", "the engine: a network in, something that runs it out"),
    "cluster": ("cluster.py", "the cluster: tasks in, their answers out"),
    "export": ("export.py", "the format: a network in, a file out; and what opens that file"),
    "weights": ("train.py", "the program that trained the weights, which lie in `weights/` beside it"),
    "layout": ("layout.py", "the layout: it says where each tensor of a checkpoint goes"),
    "recipe": ("recipe.toml", "the recipe: how to train, and nothing that runs"),
}

_LONGEST = 40
_RESERVED = {"segzoo", "builtin", "timm", "hf-hub", "local-dir"}


@dataclass(frozen=True)
class Naming:
    """What a new package and the things in it are called.

    Attributes:
        distribution: what people install: ``segzoo-my-net``.
        package: what they import: ``segzoo_my_net``.
        name: what they tell segzoo: ``my-net``.
    """

    distribution: str
    package: str
    name: str


def naming(name: str) -> Naming:
    """Return the names of a package that is asked for as ``my-net`` or ``segzoo-my-net``.

    Raises:
        UsageError: no distribution may have that name.
    """
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise UsageError(
            f"{name!r} cannot name a package: use letters and digits, with - . or _ between them"
        )
    short = normalise(name).removeprefix("segzoo-")
    if short in _RESERVED:
        raise UsageError(f"{name!r} stands for a part of segzoo itself: choose another name")
    if len(short) > _LONGEST:
        raise UsageError(f"{name!r} has {len(short)} characters: {_LONGEST} are the most")
    return Naming(f"segzoo-{short}", f"segzoo_{short.replace('-', '_')}", short)


def check_free(names: Naming, kind: str) -> None:
    """Raise `UsageError` if a plug-in that is installed has the distribution's name or the part's."""
    owners = {record.distribution for record in zoo.plugins}
    if names.distribution in owners:
        raise UsageError(f"{names.distribution} is installed already: choose another name")
    # A model and weights are both what `segzoo.create` is told.
    for one in ("model", "weights") if kind in ("model", "weights") else (kind,):
        for entry in zoo.registry(plural(one)).find(names.name):
            raise UsageError(
                f"{entry.owner} has {_article(one)} named {names.name!r} already, and people would have to "
                f"say {names.distribution}:{names.name}: choose another name"
            )


def write(names: Naming, kind: str, folder: Path) -> list[Path]:
    """Write the package into ``folder``, which appears complete or not at all; return its files.

    Raises:
        UsageError: the folder exists and is not empty.
        FailureError: it cannot be written.
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
    """Return the content of every file of a package by its path."""
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
    # Weights are data: what a model's folder holds is copied as it is.
    return rendered | {f"{source}/weights/{one.name}": one.read_bytes() for one in _folder(own / "weights")}


def _fill(template: Traversable, words: dict[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _folder(folder: Traversable) -> Iterator[Traversable]:
    if folder.is_dir():
        yield from sorted(folder.iterdir(), key=lambda one: one.name)


def _article(kind: str) -> str:
    return kind if kind == "weights" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
