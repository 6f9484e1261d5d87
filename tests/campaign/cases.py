"""A case: files in a folder, commands that are run there, and what is expected of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
#: The config that ships with segzoo-medical, which configs are mutations of.
SHIPPED = ROOT / "plugins/segzoo-medical/src/segzoo_medical/weights/unet-nuclei-1/config.json"
#: What a payload of a malicious file writes if it runs.
MARKER = "CODE_HAS_RUN"

Expect = Literal["works", "fails", "either"]


@dataclass(frozen=True)
class Step:
    """A command of a case.

    Attributes:
        words: of the command line, after ``segzoo``.
        expect: exit code 0, another one, or either.
        named: of these one at least must be told where it fails; whatever is named need not be where empty.
        outs: files and folders of the case's folder that it may write.
        whole: whether a failure may leave nothing at all in ``outs``.
        stdin: what standard input holds.
        hidden: what names of outputs may begin with, where an input's own begins with a dot.
    """

    words: tuple[str, ...]
    expect: Expect = "either"
    named: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    whole: bool = False
    stdin: bytes = b""
    hidden: bytes = b""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Case:
    """An input and what is done with it.

    Attributes:
        told: what is odd about it, for people.
        steps: commands, run one after the other.
        prepare: writes the input into the case's folder, which is also the current one.
        check: looks at what came out, and returns what is wrong.
        memory: bytes that a command may take beyond those of an idle program.
        seconds: that a command may take.
    """

    told: str
    steps: Sequence[Step]
    prepare: Callable[[Path], None]
    check: Callable[[Path, Sequence[Ended]], list[str]] | None = None
    memory: int = 400_000_000
    seconds: float = 20.0


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: of the kind.
        count: how many cases the standard campaign tries.
        case: the case of a number and a seed.
        batch: how many cases share a process, where none of them leaves traces in it.
        stock: writes once, into a folder that cases find at ``../../stock``, what they share.
    """

    name: str
    count: int
    case: Callable[[int, int], Case]
    batch: int = 1
    stock: Callable[[Path], None] | None = field(default=None)


def rng(kind: str, seed: int, number: int) -> random.Random:
    """Return the source of chance of one case, which depends on nothing else."""
    return random.Random(f"{kind}/{seed}/{number}")


# ---------------------------------------------------------------------------------------------- pictures


def picture(number: int, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Return an image with a bright disc."""
    noise = np.random.default_rng(number).integers(20, 90, (height, width, 3), np.uint8)
    return np.where(disc(number, height, width)[..., None] > 0, np.uint8(230), noise)


def disc(number: int, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Return 1 in a disc and 0 around it."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows - 6 - number % 11) ** 2 + (columns - 7 - 5 * number % 17) ** 2 <= 25).astype(np.uint8)


def save_data(folder: Path, odd: bytes | str) -> None:
    """Write a dataset without a fault: three pairs in ``train``, one of odd name, and one in ``val``."""
    for number, name in enumerate(("one", "two", odd)):
        save_pair(folder / "train", name, number)
    save_pair(folder / "val", "three", 3)


def save_pair(folder: Path, name: bytes | str, number: int) -> None:
    """Write ``images/NAME.png`` and ``masks/NAME.png``; a name may be any bytes."""
    raw = name if isinstance(name, bytes) else os.fsencode(name)
    for part, pixels in (("images", picture(number)), ("masks", disc(number) * np.uint8(255))):
        (folder / part).mkdir(parents=True, exist_ok=True)
        with open(os.fsencode(folder / part) + b"/" + raw + b".png", "wb") as file:
            Image.fromarray(pixels).save(file, "PNG")


# ------------------------------------------------------------------------------------------------- models


def shipped_config(width: int = 2) -> dict[str, object]:
    """Return the config of unet-nuclei-1 for a narrower network, without its long record of scores."""
    config = json.loads(SHIPPED.read_text(encoding="utf-8"))
    config["architecture"]["options"]["width"] = width
    config["provenance"].pop("test")
    return config


def save_model(folder: Path, width: int = 2) -> None:
    """Write the weights folder of a narrow network like unet-nuclei-1, with fixed weights."""
    import torch

    import segzoo
    from segzoo.files import write_whole

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = segzoo.create("unet", num_classes=1, width=width, upsample="transpose")
        segzoo.save(model, folder)
    # A kill may come here, too.
    write_whole(folder / "config.json", json.dumps(shipped_config(width), indent=2).encode())


# ----------------------------------------------------------------------------------------------- snapshots


class Held(NamedTuple):
    """What lies at a path: its kind, permissions, size, and a hash of what it holds."""

    kind: str
    mode: int
    size: int
    content: str


def held(folder: Path) -> dict[bytes, Held]:
    """Return everything below a folder, by path; links are not followed, pipes and devices not opened."""
    found: dict[bytes, Held] = {}
    base = os.fsencode(folder)
    pending = [base]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                path, content = os.fsencode(entry.path), ""
                if stat.S_ISLNK(status.st_mode):
                    content = repr(os.readlink(path))
                elif stat.S_ISDIR(status.st_mode):
                    pending.append(path)
                elif stat.S_ISREG(status.st_mode):
                    content = _hash(path, status.st_size)
                size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
                kind = {stat.S_IFDIR: "folder", stat.S_IFREG: "file"}.get(
                    stat.S_IFMT(status.st_mode), "other"
                )
                found[path[len(base) + 1 :]] = Held(kind, status.st_mode, size, content)
    return found


def _hash(path: bytes, size: int) -> str:
    if size > 100_000_000:  # sparse, and made so
        return "large"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def contents(tree: Mapping[bytes, Held]) -> dict[bytes, str]:
    """Return what the files of a tree hold, without modes and folders."""
    return {path: one.content for path, one in tree.items() if one.kind == "file"}
