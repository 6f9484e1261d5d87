"""What every dataset keeps, and how one is opened by name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, OptionError, PluginError, UnknownNameError, UsageError
from segzoo.interfaces import Sample
from segzoo.specs import Archive, Labels
from segzoo.testing import check_dataset


def write(path, height=8, width=10, value=255, *, mask=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.full((height, width) if mask else (height, width, 3), value, np.uint8)
    Image.fromarray(array).save(path)


def write_pair(root, name, value=255):
    write(root / f"images/{name}.png")
    write(root / f"masks/{name}.png", value=value, mask=True)


def test_a_data_set_is_opened_by_name_or_as_a_folder(tmp_path, monkeypatch):
    write_pair(tmp_path / "mine", "a")
    assert len(open_dataset(str(tmp_path / "mine"), split="all")) == 1
    assert len(open_dataset("folder", root=tmp_path / "mine", split="all")) == 1
    monkeypatch.delenv("SEGZOO_DATA", raising=False)
    with pytest.raises(OptionError, match="say where 'folder' lies"):
        open_dataset("folder")
    with pytest.raises(UnknownNameError, match="did you mean 'folder'"):
        open_dataset("foldre")
    with pytest.raises(FailureError, match="there is no"):
        open_dataset("folder", root=tmp_path / "absent")
    with pytest.raises(OptionError, match="colour"):
        open_dataset("folder", root=tmp_path / "mine", colour=1)


@pytest.mark.parametrize("name", zoo.datasets.names())
def test_every_data_set_says_what_it_is_and_how_people_get_it(name):
    spec = zoo.datasets.get(name)
    assert spec.summary
    assert spec.layout
    assert spec.splits
    if spec.labels:  # not the formats, whose files are people's own
        assert spec.licence
        assert spec.homepage.startswith("http")
        assert spec.archives or spec.by_hand


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://host/file.zip"},
        {"url": "kaggle:contest"},
        {"url": "https://host/file.zip", "checksum": "md5:12"},
    ],
)
def test_an_archive_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(UsageError, match="archive"):
        Archive(**wrong)


# -- the contract


class Broken:
    """One sample, of which a test says what is wrong."""

    labels = Labels(classes=("a", "b"))

    def __init__(self, **parts):
        good = {"image": np.zeros((2, 3, 3), np.uint8), "mask": np.zeros((2, 3), np.uint8), "name": "one"}
        self.sample = Sample(**{**good, **parts})

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.sample,)[index]


def test_a_data_set_that_keeps_the_contract_passes(tmp_path):
    for name in "abc":
        write_pair(tmp_path, name)
    check_dataset("folder", root=tmp_path, split="all")
    check_dataset(Broken())


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"image": np.zeros((2, 3, 3))}, "its image is float64"),
        ({"image": np.zeros((2, 4, 3), np.uint8)}, r"its image is \(2, 4, 3\), its mask \(2, 3\)"),
        ({"mask": np.zeros((2, 3), np.int64)}, "its mask is int64"),
        ({"mask": np.full((2, 3), 7, np.uint8)}, r"its mask holds \[7\]"),
        ({"name": ""}, "must have a name"),
        ({"field_of_view": np.zeros((2, 3))}, "field of view must be bool"),
        ({"instances": np.zeros((3, 3), int)}, "instances must be integers of the mask's size"),
    ],
)
def test_a_broken_promise_of_a_data_set_is_told(parts, told):
    with pytest.raises(PluginError, match=told):
        check_dataset(Broken(**parts))


# -- the cache


def test_samples_kept_in_memory_are_decoded_once(tmp_path):
    write_pair(tmp_path, "a")
    dataset = open_dataset(str(tmp_path), split="all", cache=True)
    assert dataset[0] is dataset[0]
    assert len(dataset) == 1


def test_samples_kept_on_disk_come_back_when_the_image_is_gone_from_memory(tmp_path):
    write_pair(tmp_path / "data", "a")

    def opened(**options):
        return open_dataset(str(tmp_path / "data"), split="all", cache=tmp_path / "kept", **options)

    first = opened()[0]
    (kept,) = (tmp_path / "kept").glob("*.npz")
    stamp = kept.stat().st_mtime_ns
    again = opened()[0]
    assert kept.stat().st_mtime_ns == stamp
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert (again.name, again.instances, again.field_of_view) == ("a", None, None)


def test_what_is_kept_on_disk_never_hides_a_changed_file_or_another_option(tmp_path):
    write_pair(tmp_path / "data", "a", value=255)

    def opened(**options):
        return open_dataset(str(tmp_path / "data"), split="all", cache=tmp_path / "kept", **options)[0]

    assert opened().mask.max() == 1
    assert opened(classes=3, values=[0, 1, 255]).mask.max() == 2
    write(tmp_path / "data/masks/a.png", value=0, mask=True)
    assert opened().mask.max() == 0


def test_a_damaged_file_on_disk_is_written_anew(tmp_path):
    write_pair(tmp_path / "data", "a")
    for _ in range(2):
        assert open_dataset(str(tmp_path / "data"), split="all", cache=tmp_path / "kept")[0].mask.all()
        (kept,) = (tmp_path / "kept").glob("*.npz")
        kept.write_bytes(b"PK")


def test_a_folder_that_cannot_hold_the_cache_is_named(tmp_path):
    write_pair(tmp_path / "data", "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match=r"cannot keep a in .*choose another folder"):
        open_dataset(str(tmp_path / "data"), split="all", cache=tmp_path / "file" / "kept")[0]


# -- scale


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_scaled_data_set_is_truncated_to_its_size_in_image_and_mask(tmp_path, suffix):
    write(tmp_path / f"images/a.{suffix}", 41, 31)
    write(tmp_path / "masks/a.png", 41, 31, mask=True)
    sample = FolderDataset(tmp_path, "all", scale=0.5)[0]
    assert sample.image.shape == (20, 15, 3)
    assert sample.mask.shape == (20, 15)
    with pytest.raises(OptionError, match="at most 1"):
        FolderDataset(tmp_path, "all", scale=2)


def test_a_jpeg_at_half_its_size_is_nearly_what_resizing_gives(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    picture = Image.fromarray(np.stack([np.tile(ramp, (48, 1))] * 3, axis=-1))
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images/a.jpg", quality=95)
    write(tmp_path / "masks/a.png", 48, 64, mask=True)
    half = FolderDataset(tmp_path, "all", scale=0.5)[0].image.astype(int)
    wanted = np.asarray(picture.resize((32, 24), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(half - wanted).max() <= 4
