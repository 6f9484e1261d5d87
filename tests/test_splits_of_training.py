"""What trains and what validates: shares, folds, files and groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segzoo.build import open_dataset
from segzoo.datasets.subset import Subset
from segzoo.errors import FailureError, OptionError
from segzoo.training import Recipe
from segzoo.training.data.splits import open_splits, validating_fold, validating_share
from segzoo.training.recipe.schema import DataSource

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset

SLICES = [f"{patient}_{number}" for patient in ("ann", "bob", "cem", "dan", "eva") for number in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 20 images, four of each of five patients."""
    return pictures(tmp_path / "data", SLICES)


def pictures(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        for kind, value in (("images", number), ("masks", number % 2)):
            path = root / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)
    return root


def names(dataset: Dataset) -> list[str]:
    return [dataset[index].name for index in range(len(dataset))]


def split(data: Path, **options: Any) -> tuple[list[str], list[str]]:
    training, validation = open_splits(DataSource(str(data)), options)
    return names(training), names(validation)


def test_without_a_split_the_data_sets_own_parts_train_and_validate(tmp_path: Path) -> None:
    pictures(tmp_path / "train", ["a", "b"]), pictures(tmp_path / "val", ["c"])
    assert split(tmp_path) == (["train/a", "train/b"], ["val/c"])


def test_a_share_is_taken_exactly_and_the_same_each_time(folder: Path) -> None:
    training, validation = split(folder, share=0.25)
    assert len(validation) == 5
    assert sorted(training + validation) == SLICES
    assert split(folder, share=0.25) == (training, validation)
    assert split(folder, share=0.25, seed=1)[1] != validation


def test_a_share_by_hash_moves_no_sample_when_others_come(folder: Path) -> None:
    before = set(split(folder, share=0.3, order="hash")[1])
    pictures(folder, [f"new_{number}" for number in range(10)])
    assert {name for name in split(folder, share=0.3, order="hash")[1] if name in SLICES} == before


def test_a_contiguous_share_is_the_end(folder: Path) -> None:
    assert split(folder, share=0.2, order="contiguous")[1] == SLICES[-4:]


def test_the_division_is_the_one_that_other_machines_find() -> None:
    def chosen(validates: list[bool]) -> list[str]:
        return [name for name, one in zip(SLICES, validates, strict=True) if one]

    assert chosen(validating_share(SLICES, 0.2, "shuffled", 0)) == ["cem_2", "eva_0", "eva_1", "eva_2"]
    assert chosen(validating_fold(SLICES, 5, 2, "shuffled", 7)) == ["bob_2", "cem_1", "cem_3", "dan_0"]


def test_folds_are_contiguous_unless_told_otherwise(folder: Path) -> None:
    assert split(folder, folds=5, fold=1)[1] == SLICES[4:8]
    assert split(folder, folds=5)[1] == SLICES[:4]
    assert split(folder, folds=5, fold=1, order="shuffled")[1] != SLICES[4:8]


@settings(max_examples=15)
@given(st.integers(2, 9), st.lists(st.integers(1, 6), min_size=9, max_size=14), st.booleans())
def test_every_sample_validates_in_one_fold_and_no_group_is_divided(
    folds: int, sizes: list[int], shuffled: bool
) -> None:
    groups = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    order = "shuffled" if shuffled else "contiguous"
    each = [validating_fold(groups, folds, fold, order, 0) for fold in range(folds)]
    assert (np.sum(each, axis=0) == 1).all()
    assert all(any(validates) for validates in each)
    for validates in each:
        inside = {group for group, one in zip(groups, validates, strict=True) if one}
        assert inside.isdisjoint(group for group, one in zip(groups, validates, strict=True) if not one)


@settings(max_examples=15)
@given(st.integers(2, 7), st.integers(7, 40))
def test_folds_without_groups_have_the_sizes_of_numpys_array_split(folds: int, count: int) -> None:
    alone = [str(number) for number in range(count)]
    sizes = [sum(validating_fold(alone, folds, fold, "contiguous", 0)) for fold in range(folds)]
    assert sizes == [len(part) for part in np.array_split(np.arange(count), folds)]


def test_samples_of_a_group_stay_together(folder: Path, tmp_path: Path) -> None:
    _, validation = split(folder, folds=3, fold=1, order="shuffled", group="^(.*)_")
    patients = {name[:3] for name in validation}
    assert len(validation) == 4 * len(patients)
    lines = ["name,group", *(f"{name}.png,{name[:3]}" for name in SLICES)]
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    by_file = split(folder, folds=3, fold=1, order="shuffled", group=str(tmp_path / "groups.csv"))
    assert by_file[1] == validation


@pytest.mark.parametrize("form", ["csv", "lists", "splits", "rows", "texts"])
def test_a_file_says_what_trains_and_what_validates(folder: Path, tmp_path: Path, form: str) -> None:
    sides = {name: "train" if name < "c" else "valid" if name < "d" else "test" for name in SLICES}
    by_side = {side: [name for name in SLICES if sides[name] == side] for side in ("train", "valid", "test")}
    file: Any = str(tmp_path / ("split.csv" if form == "csv" else "split.json"))
    if form == "csv":
        Path(file).write_text(
            "\n".join(["name,split", *(f"{name}.png,{side}" for name, side in sides.items())])
        )
    elif form == "texts":
        file = [str(tmp_path / "train.txt"), str(tmp_path / "val.txt")]
        for path, side in zip(file, ("train", "valid"), strict=True):
            Path(path).write_text("\n".join(by_side[side]) + "\n")
    else:
        rows = [{"name": name, "split": side} for name, side in sides.items()]
        Path(file).write_text(json.dumps({"lists": by_side, "splits": sides, "rows": rows}[form]))
    assert split(folder, file=file) == (by_side["train"], by_side["valid"])
    if form == "texts":
        assert split(folder, file=", ".join(file)) == (by_side["train"], by_side["valid"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,split\nzoe_0,train\n", "'zoe_0' (1 of 1), which the data does not have"),
        ("name,split\nann_0,train\nbob_0,val\n", "leaves out 'ann_1', 'ann_2', 'ann_3', ... (18 of 20)"),
        ("name,split\nann_0,train\nann_0,val\n", "has two values for 'ann_0'"),
        ("file;part\nann_0;train\n", "columns name and split"),
        ("", "it is empty"),
    ],
)
def test_a_file_that_does_not_fit_the_data_says_where(
    folder: Path, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(FailureError) as caught:
        split(folder, file=str(tmp_path / "split.csv"))
    assert told in str(caught.value)


def test_a_split_that_nobody_knows_is_told_with_its_sample(folder: Path, tmp_path: Path) -> None:
    lines = ["name,split", *(f"{name},{'trian' if name == 'bob_2' else 'train'}" for name in SLICES)]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    with pytest.raises(FailureError, match="'bob_2' has the split 'trian'"):
        split(folder, file=str(tmp_path / "split.csv"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shar": 0.1}, "split.shar is unknown; did you mean 'share'"),
        ({"share": 1.0}, "split.share must be a number between 0 and 1"),
        ({"share": "0.1"}, "split.share must be a number"),
        ({"share": 0.1, "folds": 5}, "split.share and split.folds exclude each other"),
        ({"share": 0.1, "fold": 1}, "split.fold does not go with split.share"),
        ({"fold": 1}, "split.fold has no effect without split.folds"),
        ({"folds": 1}, "split.folds must be a whole number of 2 or more"),
        ({"folds": 5, "fold": 5}, "split.fold must be one of 0 to 4, as split.folds is 5, got 5"),
        ({"folds": 21}, "split.folds=21 is too many: there are 20 samples"),
        ({"folds": 6, "group": "^(.*)_"}, "split.folds=6 is too many: there are 5 groups, of 20 samples"),
        ({"folds": 5, "seed": 3}, "split.seed has no effect if split.order is 'contiguous'"),
        ({"folds": 5, "order": "hash"}, "split.order must be 'contiguous' or 'shuffled'"),
        ({"folds": 5, "group": "^.*_"}, "has 0 groups in parentheses"),
        ({"folds": 5, "group": "("}, "is not a regular expression"),
        ({"folds": 5, "group": "^(a.*)_"}, "is not found in 'bob_0', 'bob_1', 'bob_2', ... (16 of 20)"),
        ({"share": 0.5, "group": "(_)"}, "leaves nothing for training, of 20 samples in 1 groups"),
        ({"share": 0.001, "order": "hash"}, "leaves nothing for validation, of 20 samples; hash decides"),
        ({"file": "split.xlsx"}, "split.file must be a CSV"),
        ({"file": 3}, "split.file must be a CSV"),
        ({"share": 0.1, "of": "trian"}, "not 'trian'"),
        ({"share": 0.1, "val": "test"}, "split.share and split.val exclude each other"),
        ({"train": "train,val"}, "split.train and split.val both name 'val'"),
        ({"train": 3}, "split.train must be a split of the dataset"),
    ],
)
def test_what_cannot_be_is_told_with_its_key(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        split(folder, **options)
    assert told in str(caught.value)


def test_a_folder_that_nobody_has_divided_is_divided_as_a_whole(folder: Path) -> None:
    training, validation = split(folder, share=0.5)
    assert len(training) == len(validation) == 10


def test_a_folders_own_test_part_stays_unseen_unless_it_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "train", SLICES[:8]), pictures(tmp_path / "test", SLICES[8:])
    assert all(name.startswith("train/") for side in split(tmp_path, share=0.5) for name in side)
    both = split(tmp_path, share=0.5, of=["train", "test"])
    assert sum(map(len, both)) == 20
    assert split(tmp_path, share=0.5, of="train, test") == both
    assert sum(map(len, split(tmp_path, folds=2, of="all"))) == 20


def test_parts_of_the_data_set_are_taken_as_they_are_where_they_are_named(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        pictures(tmp_path / part, [f"{part}-{number}" for number in range(3)])
    own = split(tmp_path)
    assert split(tmp_path, val="test") == (own[0], [f"test/test-{number}" for number in range(3)])
    both, validating = split(tmp_path, train="train, val", val=["test"])
    assert sorted(both) == sorted([*own[0], *own[1]])
    assert len(validating) == 3


def test_slices_of_volumes_stay_together_unless_there_is_one_volume(tmp_path: Path) -> None:
    slices = [f"{patient}_slice_{number}" for patient in "abcd" for number in range(3)]
    pictures(tmp_path / "four", slices), pictures(tmp_path / "one", slices[:3])
    for options in ({"share": 0.25}, {"folds": 4, "fold": 1}):
        training, validation = split(tmp_path / "four", **options)
        assert len(validation) == 3
        assert len({name[0] for name in validation}) == 1
        assert validation[0][0] not in {name[0] for name in training}
    assert [len(side) for side in split(tmp_path / "one", share=0.3)] == [2, 1]


def test_a_list_that_says_the_parts_itself_keeps_its_test_part(tmp_path: Path) -> None:
    pictures(tmp_path, SLICES)
    sides = {name: "test" if name.startswith("eva") else "train" for name in SLICES}
    rows = [f"images/{name}.png,masks/{name}.png,{name},{side}" for name, side in sides.items()]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,mask,name,split", *rows]))
    assert {name[:3] for side in split(tmp_path, folds=2) for name in side} == {"ann", "bob", "cem", "dan"}


@pytest.mark.parametrize("sides", ["train val test", "test train val", "val test train"])
def test_three_images_that_a_list_divides_are_never_divided_again(tmp_path: Path, sides: str) -> None:
    pictures(tmp_path, SLICES[:3])
    for side, name in zip(sides.split(), SLICES[:3], strict=True):
        (tmp_path / f"{side}.txt").write_text(name)
    with pytest.raises(OptionError, match="leaves nothing"):
        split(tmp_path, share=0.5)


def test_a_data_set_without_names_is_divided_by_those_of_its_samples(folder: Path, monkeypatch: Any) -> None:
    expected = split(folder, share=0.3)
    monkeypatch.delattr("segzoo.datasets.pairs.Pairs.names")
    assert split(folder, share=0.3, of="all") == expected


def test_samples_are_decoded_once_and_know_names_files_and_scale(folder: Path) -> None:
    recipe = Recipe(data=str(folder), split={"folds": 5, "fold": 1}, data_options={"scale": 0.5})
    training, validation = open_splits(recipe.source, recipe.split, metrics=recipe.metrics)
    first = validation[0]
    assert first is validation[0]
    assert first.image.shape[:2] == (4, 4)
    told: Any = validation
    assert told.scale == 0.5
    assert told.names == SLICES[4:8]
    assert [path.name for path in told.files(0)] == ["bob_0.png", "bob_0.png"]
    assert len(training) == 16


def test_samples_of_different_classes_do_not_make_one_data_set(folder: Path) -> None:
    two, three = (open_dataset(str(folder), split="all", classes=number) for number in (2, 3))
    with pytest.raises(OptionError, match="different labels"):
        Subset([two, three], [(0, 0), (1, 0)])
    with pytest.raises(OptionError, match="at least one dataset"):
        Subset([], [])


def test_the_person_decides_where_samples_are_kept(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = {"cache": str(kept)}
    for fold in range(2):
        recipe = Recipe(data=str(folder), split={"folds": 5, "fold": fold}, data_options=options)
        for side in open_splits(recipe.source, recipe.split, metrics=recipe.metrics):
            names(side)
    assert len(list(kept.glob("*.npz"))) == 20, "another fold finds what the first one kept"
    bare = Recipe(data=str(folder), split={"folds": 5}, data_options={"cache": False})
    training, _ = open_splits(bare.source, bare.split)
    assert training[0] is not training[0]
