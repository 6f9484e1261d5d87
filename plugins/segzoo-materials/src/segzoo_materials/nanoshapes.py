"""NanoShapes: nanoparticles in electron microscopy, outlined as cubes, octahedra and spheres.

Roboflow's export holds 35 images of 416x416 pixels, 31 in ``train`` and 4 in ``test``, and two mosaics of
each image in ``train``: a piece of it beside pieces of three others. A mosaic therefore shows images of any
part, and none is used unless the part ``mosaics`` is asked for. Each of five folds tests seven of the 35
images; of the other 28, every seventh from the fourth on validates, and 24 train. So chosen, the images that
validate have all three shapes in every fold. Particles overlap; the smaller one lies on the larger one. The
file's category 0, ``Octohedrons``, is Roboflow's supercategory, and no object has it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from segzoo.build import open_dataset
from segzoo.datasets import AnnotatedImages, check_split, find_root
from segzoo.errors import FailureError, OptionError
from segzoo_materials import SHAPES

if TYPE_CHECKING:
    import os

_FOLDS = 5
#: For each image in ``train``, the first digits of the hash in the name of the version that is no mosaic.
#: Nothing in the files says which version that is: it was seen by eye.
WHOLE = frozenset(
    (
        *("195c2719", "6064be5c", "50629b16", "dedb99a4", "549e1891", "8d336593", "174376ba", "704d8157"),
        *("8ec7e539", "b9eb2949", "a729ce1b", "97c98cbb", "e46e1104", "7b38be6a", "4de1b3e7", "f3fafa80"),
        *("323e9c2c", "7a3af8ce", "cf3bdb39", "6e4dbf5a", "271b920f", "aa36f84c", "64e82814", "d0eefba0"),
        *("35fb96a1", "5e37d32f", "eae701a3", "2b73db9f", "cdce0ae2", "a02eb0c9", "2d3ebe41"),
    )
)


def nanoshapes(root: str | os.PathLike[str], split: str = "train", *, fold: int = 0) -> AnnotatedImages:
    """Open NanoShapes.

    Args:
        root: folder that holds ``train`` and ``test``, each with ``_annotations.coco.json``.
        split: ``train``, ``val``, ``test``, ``all`` (35 images), or ``mosaics``.
        fold: which fifth of the images is the test, from 0.

    Raises:
        FailureError: the root holds no such data, or another version of it, or images are missing.
        OptionError: there is no such fold, or the files lack one of the three shapes.
    """
    check_split("nanoshapes", split, ("train", "val", "test", "all", "mosaics"))
    if fold not in range(_FOLDS):
        raise OptionError(f"fold must lie in 0 to {_FOLDS - 1}, got {fold!r}")
    root = Path(root)
    folder = find_root(root, "train/_annotations.coco.json")
    if folder is None:
        raise FailureError(
            f"{root} holds no NanoShapes: expected train and test, with _annotations.coco.json"
        )
    every = cast(
        "AnnotatedImages",
        open_dataset(
            "segzoo-formats:coco", root=folder, split="all", classes=("Cube", "Octahedron", "Sphere")
        ),
    )
    parts = {"mosaics": [one for one in every.images if not _is_whole(one.name)]}
    whole = sorted((one for one in every.images if _is_whole(one.name)), key=lambda one: one.image.name)
    known = sum(one.part == "train" for one in whole)
    if known != len(WHOLE):
        raise FailureError(
            f"{folder}: train has {known} of the {len(WHOLE)} images that are known to be no mosaics: export"
            " version 20 of NanoShapes, whose files keep their names"
        )
    others = [one for place, one in enumerate(whole) if place % _FOLDS != fold]
    parts |= {"all": whole, "test": whole[fold::_FOLDS], "val": others[3::7]}
    parts["train"] = [one for place, one in enumerate(others) if place % 7 != 3]
    return AnnotatedImages(parts[split], SHAPES, order="area", remarks=partial(getattr, every, "remarks"))


def _is_whole(name: str) -> bool:
    """Return whether an image is no mosaic: one of the test folder, or one that is listed."""
    folder, _, file = name.rpartition("/")
    return folder == "test" or file.partition(".rf.")[2][:8] in WHOLE
