"""Describes a place where nothing is recognised: the kinds of files, and what to do about each."""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segzoo import zoo
from segzoo.data_check.advice import quoted
from segzoo.data_check.report import Finding
from segzoo.datasets.glance import Glance
from segzoo.elsewhere import FORMATS, install
from segzoo.errors import ImageError, MissingExtraError
from segzoo.images import count_pages, has_suffix, searched_suffixes
from segzoo.options import listed, many
from segzoo.recognition import recognise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Maximum number of files that are checked below a folder.
_MOST = 5_000
#: Number of files of one kind whose beginning is read.
_READ = 20
#: Maximum number of inner folders that are checked.
_MOST_INSIDE = 30
_SHOWN = 20


class _Kind(NamedTuple):
    noun: str
    suffixes: tuple[str, ...]
    advice: str


_KINDS = (
    _Kind(
        "NIfTI volume",
        (".nii", ".nii.gz"),
        f"Reading them needs the plug-in segzoo-science: {install('segzoo-science[nifti]')}.",
    ),
    _Kind(
        "DICOM file",
        (".dcm", ".dicom"),
        f"Reading them needs the plug-in segzoo-science: {install('segzoo-science[dicom]')}.",
    ),
    _Kind(
        "archive",
        (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"),
        "Unpack it and check the folder. `segzoo data prepare NAME --source FILE --out DIR` unpacks archives "
        "of datasets that segzoo knows.",
    ),
    _Kind(
        "MATLAB file",
        (".mat",),
        "They are not read. Write their masks as PNG files: scipy.io.loadmat, h5py from version 7.3 on, or "
        "imwrite in MATLAB.",
    ),
    _Kind("HDF5 file", (".h5", ".hdf5", ".hdf"), "They are not read. Save each image and mask with h5py."),
    _Kind(
        "NumPy archive",
        (".npz",),
        "They are not read. Save each image and mask as a separate .npy file.",
    ),
    _Kind(
        "video",
        (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv"),
        "Training does not read videos. Save frames as images (ffmpeg -i FILE frames/%05d.png) and draw "
        "masks.",
    ),
    _Kind(
        "spreadsheet",
        (".xlsx", ".xls", ".ods"),
        "They are not read. Save a list of images and masks as CSV with the columns image and mask.",
    ),
    _Kind(
        "columnar file",
        (".parquet", ".arrow", ".feather", ".tfrecord", ".tfrecords", ".lmdb"),
        "They are not read as files. A dataset on the Hugging Face Hub opens with --data hf:ORG/NAME, a "
        "folder of its Parquet files with --data hf:./FOLDER.",
    ),
    _Kind(
        "drawing file",
        (".psd", ".xcf", ".kra", ".svg", ".ai"),
        "They are not read. Export the image and the mask as PNG.",
    ),
    _Kind(
        "ImageJ region",
        (".roi",),
        "They are not read. In ImageJ, create a mask from the regions (Edit > Selection > Create Mask), and "
        "save it as PNG or TIFF.",
    ),
    _Kind("NRRD file", (".nrrd", ".seg.nrrd"), "They are not read. Save them as NIfTI (.nii.gz)."),
    _Kind(
        "map layer",
        (".shp", ".gpkg", ".kml", ".geojson"),
        "Shapes in map coordinates are not read. Rasterise them to the image's grid (gdal_rasterize, QGIS).",
    ),
)

#: How to identify files of annotation tools: suffixes, and text at their beginnings.
_TOOLS = {
    "COCO": ((".json",), re.compile(r'"(annotations|categories|images)"\s*:\s*\[')),
    "labelme": ((".json",), re.compile(r'"shapes"\s*:\s*\[')),
    "Label Studio": ((".json",), re.compile(r'"(original_width|from_name|brushlabels|polygonlabels)"')),
    "Supervisely": ((".json",), re.compile(r'"classTitle"')),
    "VIA": ((".json", ".csv"), re.compile(r"_via_|shape_attributes")),
    "nnU-Net": (("dataset.json",), re.compile(r'"(numTraining|channel_names|modality)"')),
    "QuPath or GeoJSON": ((".geojson",), re.compile(r"Feature|Polygon")),
    "CVAT or LabelMe": ((".xml",), re.compile(r"<annotations>|<polygon")),
    "YOLO": ((".yaml", ".yml"), re.compile(r"^names\s*:", re.MULTILINE)),
    "YOLO labels": ((".txt",), re.compile(r"\s*\d+(?:\s+[-+.\deE]+){6,}")),
    "Roboflow": (("_classes.csv",), re.compile("Pixel Value")),
    "ImageJ": ((".roi", "roiset.zip"), re.compile("")),
    "the Hugging Face Hub": ((".parquet",), re.compile("")),
}
_BOX = re.compile(r"<bndbox>")
_POLYGON = re.compile(r"<polygon|<points|<mask")
_YOLO_BOX = re.compile(r"\s*\d+(?:\s+[-+.\deE]+){4}\s*")


def unread(path: Path) -> Finding:
    """Return the finding about a folder or a file that nothing recognises: its content, and what to do."""
    if path.is_dir() and not any(path.iterdir()):
        return _finding(f"{path} is empty", "It should hold a folder images and a folder masks.")
    files = [path] if path.is_file() else list(islice(_files(path), _MOST))
    tool = annotation_tool(files)
    told = [tool] if tool else [*_unread_kinds(files), *_boxes(files), *_images(files)]
    if path.is_file():
        what = f"{path} is a file that is not recognised as a dataset"
        told = told or ["Name the folder that holds the images and the masks."]
        return _finding(what, " ".join(told))
    inside = [
        f"{inner.name} is {readings[0].summary}: segzoo data check {quoted(str(inner))}"
        for inner in islice((one for one in sorted(path.iterdir()) if one.is_dir()), _MOST_INSIDE)
        for readings in [recognise(inner)]
        if readings
    ]
    if inside:
        return _finding(
            f"{path} holds no data of its own, but {many(len(inside), 'folder')} with some",
            "Check one of them.",
            inside,
        )
    parts = sorted(inner.name for inner in path.iterdir() if not inner.name.startswith("."))
    kinds = Counter("".join(file.suffixes[-1:]).lower() or "no suffix" for file in files)
    counted = [f"{count:,} {kind}" for kind, count in kinds.most_common(6)]
    if not told:
        told = [
            "Supported are a folder images and a folder masks with the same file names, and the exports of "
            "annotation tools: `segzoo list datasets` shows which."
        ]
    return _finding(
        f"{path} holds no images with masks that are recognised",
        " ".join(told),
        [f"files: {', '.join(counted)}", f"there is: {listed(parts)}"] if counted else [],
    )


def annotation_tool(files: Sequence[Path]) -> str:
    """Return which annotation tool wrote files, and which plug-in reads them; "" if that is installed."""
    missing = zoo.not_installed(FORMATS)
    if not missing or not files:
        return ""
    glance = Glance(files[0].parent)
    looked_at: Counter[str] = Counter()
    for file in files:
        for tool, (endings, sign) in _TOOLS.items():
            if not file.name.lower().endswith(endings):
                continue
            looked_at[tool] += 1
            if looked_at[tool] <= _READ and sign.search(glance.head(file)):
                return f"{file.name} looks like a file of {tool}. Reading it needs {missing}."
    return ""


def _files(path: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))


def _unread_kinds(files: list[Path]) -> list[str]:
    told = []
    left = [file for file in files if not has_suffix(file, searched_suffixes())]
    for kind in _KINDS:
        found = [file for file in left if file.name.lower().endswith(kind.suffixes)]
        left = [file for file in left if not file.name.lower().endswith(kind.suffixes)]
        if found:
            names = listed([file.name for file in found], 3)
            told.append(f"There {_are(len(found), kind.noun)} ({names}). {kind.advice}")
    return told


def _are(count: int, noun: str) -> str:
    return f"is {many(count, noun)}" if count == 1 else f"are {many(count, noun)}"


def _boxes(files: list[Path]) -> list[str]:
    """Report annotations with boxes but without outlines."""
    told = []
    glance = Glance(files[0].parent) if files else None
    xml = [file for file in files if file.suffix.lower() == ".xml"][:_READ]
    heads = [glance.head(file) for file in xml] if glance else []
    if heads and all(_BOX.search(head) and not _POLYGON.search(head) for head in heads):
        told.append(
            "The XML files are Pascal VOC's with boxes only: a box shows where an object is, but not which "
            "pixels it covers. Draw outlines, or create masks from the boxes with a program such as SAM."
        )
    texts = [file for file in files if file.suffix.lower() == ".txt"][: 5 * _READ]
    lines = [
        line for file in texts for line in (glance.head(file) if glance else "").splitlines() if line.strip()
    ]
    if lines and sum(bool(_YOLO_BOX.fullmatch(line)) for line in lines) > len(lines) / 2:
        told.append(
            "The text files are YOLO's with boxes only: a box shows where an object is, but not which pixels "
            "it covers. Export the project for segmentation, or draw outlines."
        )
    return told


def _images(files: list[Path]) -> list[str]:
    images = [file for file in files if has_suffix(file, searched_suffixes())]
    stacks = [file.name for file in images[:_READ] if _pages(file) > 1]
    if stacks:
        return [
            f"{listed(stacks, 2)} {'holds' if len(stacks) == 1 else 'hold'} several pages, like stacks of "
            "slices: put the stack of images into a folder images and the stack of masks into a folder "
            "masks, with the same name."
        ]
    if images and len(images) == len(files):
        return [
            f"There {_are(len(images), 'image')}, but names and folders do not show which are masks. Put "
            "images into a folder images and masks of the same names into a folder masks; to draw masks, use "
            "a tool such as labelme, CVAT or Label Studio."
        ]
    return []


def _pages(path: Path) -> int:
    try:
        return count_pages(path)
    except (ImageError, MissingExtraError):
        return 0


def _finding(what: str, advice: str, examples: list[str] | None = None) -> Finding:
    found = tuple(examples or ())
    return Finding(
        kind="unrecognised",
        severity="error",
        what=what,
        advice=advice,
        count=len(found),
        examples=found[:_SHOWN],
    )
