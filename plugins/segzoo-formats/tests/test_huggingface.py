"""Datasets of the Hub and folders that its library reads are samples; streamed where they come in order."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset, place_of
from segzoo.errors import FailureError, ImageError, MaskError, MissingExtraError, OptionError
from segzoo.recognition import chosen, recognise
from segzoo.testing import check_dataset

datasets = pytest.importorskip("datasets")
SIZE = (6, 8)
MASK = np.array([[0] * 8, [1] * 8, [2] * 8, [255] * 8, [0] * 8, [1] * 8], np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def picture(number):
    return Image.fromarray(np.full((*SIZE, 3), number, np.uint8))


def rows(count, mask=MASK, columns=("image", "label"), first=0):
    kinds = datasets.Features({name: datasets.Image() for name in columns})
    made = [{columns[0]: picture(first + n), columns[1]: Image.fromarray(mask)} for n in range(count)]
    return datasets.Dataset.from_list(made, features=kinds)


def parquet(root, **splits):
    (root / "data").mkdir(parents=True)
    for name, part in splits.items():
        part.to_parquet(root / f"data/{name}-00000-of-00001.parquet")
    return root


def card(root, **lengths):
    """Write what `push_to_hub` says of columns and rows."""
    splits = "".join(
        f"  - name: {name}\n    num_bytes: 1\n    num_examples: {count}\n" for name, count in lengths.items()
    )
    columns = "".join(f"  - name: {name}\n    dtype: image\n" for name in ("image", "label"))
    (root / "README.md").write_text(f"---\ndataset_info:\n  features:\n{columns}  splits:\n{splits}---\n")


def pixels(dataset):
    return [int(dataset[index].image[0, 0, 0]) for index in range(len(dataset))]


@pytest.mark.medium
def test_splits_are_the_parts_and_images_are_read_as_files_are(tmp_path):
    root = parquet(tmp_path / "hub", train=rows(5), validation=rows(2, first=10), test=rows(1, first=20))
    (root / "id2label.json").write_text('{"0": "background", "1": "leaf", "2": "stem"}')
    dataset = open_dataset(f"hf:{root}", split="val")
    assert dataset.labels.classes == ("background", "leaf", "stem")
    assert dataset.names == ["validation/000000", "validation/000001"]
    np.testing.assert_array_equal(dataset[1].mask, MASK)
    assert pixels(dataset) == [10, 11]
    assert dataset[0].info.format == "PNG"
    assert pixels(pickle.loads(pickle.dumps(dataset))) == [10, 11]
    check_dataset("huggingface", root=root, split="all")


def test_one_split_is_divided_and_a_missing_part_is_named(tmp_path):
    root = parquet(tmp_path / "one", train=rows(10))
    parts = [open_dataset("huggingface", root=root, split=split).names for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [8, 1, 1]
    assert len({*parts[0], *parts[1], *parts[2]}) == 10
    root = parquet(tmp_path / "two", train=rows(2), test=rows(1))
    with pytest.raises(OptionError, match=r"the split 'val' of .* is empty: it has train, test"):
        open_dataset("huggingface", root=root, split="val")


@pytest.mark.medium
def test_folders_of_parquet_and_of_arrow_are_recognised_where_there_are_masks(tmp_path):
    data = parquet(tmp_path / "parquet", train=rows(4))
    datasets.DatasetDict(train=rows(4), test=rows(1)).save_to_disk(tmp_path / "saved")
    rows(3).save_to_disk(tmp_path / "alone")
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    plain = datasets.Dataset.from_list([{"image": picture(1), "label": 0}], features=kinds)
    for folder in (data, tmp_path / "saved", tmp_path / "alone"):
        assert chosen(str(folder)).name == "huggingface"
        np.testing.assert_array_equal(open_dataset(str(folder), split="train")[0].mask, MASK)
    folder = parquet(tmp_path / "classes", train=plain)
    assert recognise(folder) == []
    with pytest.raises(OptionError, match=r"no column of masks.*label \(ClassLabel\)\. A class per image"):
        open_dataset("huggingface", root=folder)


def test_columns_are_known_by_their_names_or_said(tmp_path):
    root = parquet(tmp_path / "odd", train=rows(4, columns=("left", "right")))
    with pytest.raises(OptionError, match=r"name the column of images in .*left \(Image\), right"):
        open_dataset("huggingface", root=root)
    with pytest.raises(OptionError, match="no column 'lefty'; did you mean 'left'"):
        open_dataset("huggingface", root=root, image="lefty")
    assert len(open_dataset("huggingface", root=root, image="left", split="all")) == 4
    other = rows(4, columns=("image", "mask")).remove_columns("image")
    root = parquet(tmp_path / "both", train=datasets.concatenate_datasets([rows(4), other], axis=1))
    with pytest.raises(OptionError, match="several columns that may be masks"):
        open_dataset("huggingface", root=root)
    assert len(open_dataset("huggingface", root=root, mask="label", split="all")) == 4


def test_classes_are_chosen_of_named_ones_and_named_where_none_are(tmp_path):
    root = parquet(tmp_path / "hub", train=rows(4))
    dataset = open_dataset("huggingface", root=root, split="all")
    assert dataset.labels.classes == ("background", "class 1", "class 2")
    assert [one.kind for one in dataset.remarks] == ["no-class-names"]
    named = open_dataset("huggingface", root=root, split="all", classes="soil,leaf,stem")
    assert (named.labels.classes, named.remarks) == (("soil", "leaf", "stem"), ())
    (root / "id2label.json").write_text(json.dumps({"0": "background", "1": "leaf", "2": "stem"}))
    some = open_dataset("huggingface", root=root, split="all", classes=["stem"])
    assert some.labels.classes == ("background", "stem")
    assert some[0].mask[:4, 0].tolist() == [0, 0, 1, 255]
    with pytest.raises(OptionError, match="no class 'stam'; did you mean 'stem'"):
        open_dataset("huggingface", root=root, classes=["stam"])
    (root / "id2label.json").write_text('{"0": "background", "1": "leaf"}')
    with pytest.raises(MaskError, match=r"train/000000, label holds the values 2, which .* does not name"):
        open_dataset("huggingface", root=root, split="all")[0]
    assert open_dataset("huggingface", root=root, split="all", ignored="2,255")[0].mask[2, 0] == 255


def test_an_empty_row_a_damaged_image_and_numbers_of_objects_are_named(tmp_path):
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Image()})

    def hub(name, *made):
        return parquet(tmp_path / name, train=datasets.Dataset.from_list(list(made), features=kinds))

    good = {"image": picture(1), "label": Image.fromarray(MASK)}
    damaged = {**good, "image": {"bytes": b"no image", "path": None}}
    with pytest.raises(ImageError, match=r"train/000000, image cannot be read"):
        open_dataset("huggingface", root=hub("damaged", damaged, good), split="all")[0]
    with pytest.raises(ImageError, match=r"train/000000, label is empty: take the row out"):
        open_dataset("huggingface", root=hub("empty", {**good, "label": None}), split="all")[0]
    other = {**good, "label": Image.fromarray(MASK[:3])}
    with pytest.raises(MaskError, match=r"label is \(3, 8\), and its image is \(6, 8\)"):
        open_dataset("huggingface", root=hub("sizes", other), split="all")[0]
    numbers = {**good, "label": Image.fromarray(np.full(SIZE, 700, np.uint16))}
    with pytest.raises(OptionError, match="hold values up to 700, which may number objects"):
        open_dataset("huggingface", root=hub("numbers", numbers), split="all")


def test_masks_of_0_and_255_and_masks_as_rows_of_numbers_are_read(tmp_path):
    root = parquet(tmp_path / "binary", train=rows(3, mask=(MASK == 1).astype(np.uint8) * 255))
    binary = open_dataset("huggingface", root=root, split="all")
    assert binary.labels.classes == ("background", "class 1")
    np.testing.assert_array_equal(binary[0].mask, MASK == 1)
    named = datasets.Sequence(datasets.Sequence(datasets.ClassLabel(names=["sky", "leaf", "stem"])))
    kinds = datasets.Features({"pixel_values": datasets.Image(), "mask": named})
    values = np.where(MASK == 255, 0, MASK).tolist()
    made = [{"pixel_values": picture(n), "mask": values} for n in range(3)]
    root = parquet(tmp_path / "numbers", train=datasets.Dataset.from_list(made, features=kinds))
    numbers = open_dataset("huggingface", root=root, split="all")
    assert numbers.labels.classes == ("sky", "leaf", "stem")
    assert numbers[0].mask.tolist() == values


def test_a_folder_of_images_with_a_table_is_read(tmp_path):
    root = tmp_path / "train"
    root.mkdir()
    lines = ["file_name,mask_file_name"]
    for number in range(4):
        picture(number).save(root / f"{number}.png")
        Image.fromarray(MASK).save(root / f"{number}_mask.png")
        lines.append(f"{number}.png,{number}_mask.png")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert [one.name for one in recognise(tmp_path) if one.name != "folder"] == ["huggingface"]
    dataset = open_dataset(f"hf:{tmp_path}", split="all")
    np.testing.assert_array_equal(dataset[3].mask, MASK)


@pytest.mark.medium
def test_a_stream_is_read_in_order_and_else_everything_is_fetched(tmp_path, caplog, monkeypatch):
    root = parquet(tmp_path / "hub", train=rows(6), validation=rows(3, first=10))
    caplog.set_level("INFO", "segzoo_formats.huggingface")
    assert pixels(open_dataset("huggingface", root=root, stream=True)) == list(range(6))
    assert "does not say its length or its columns, so it is not streamed" in caplog.text
    caplog.clear()
    card(root, train=6, validation=3)
    dataset = open_dataset("huggingface", root=root, stream=True)
    assert pixels(dataset) == pixels(dataset) == list(range(6))
    assert int(dataset[4].image[0, 0, 0]) == 4
    assert pixels(pickle.loads(pickle.dumps(dataset))) == list(range(6))
    assert caplog.text == ""
    monkeypatch.setattr("segzoo_formats.huggingface._MOST_SKIPPED", 2)
    assert int(dataset[0].image[0, 0, 0]) == 0
    assert int(dataset[5].image[0, 0, 0]) == 5
    assert "out of order, so all of train is fetched" in caplog.text
    assert pixels(dataset) == list(range(6))


def test_what_is_not_there_and_the_missing_library_are_said(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="say which dataset of the Hub: --data hf:org/name"):
        open_dataset("huggingface")
    assert place_of("hf:org/name") is None
    assert place_of(f"hf:{tmp_path}") == tmp_path
    with pytest.raises(FailureError, match=r"there is no folder \./nowhere"):
        open_dataset("hf:./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailureError, match="cannot be opened"):
        open_dataset(f"hf:{tmp_path / 'empty'}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segzoo-formats\[hub\]'"):
        open_dataset("hf:org/name")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as a dataset of files needs."""

    commit = "0" * 39 + "1"

    def __init__(self, root, *more):
        self.root = root
        super().__init__(*more)

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        paths = [part for part in body.split("&") if part.startswith("paths=")]
        wanted = [unquote(part.removeprefix("paths=")) for part in paths]
        wanted = wanted or json.loads(body or "{}").get("paths", [])
        self.send([one for one in self.entries() if one["path"] in wanted])

    def entries(self):
        return [
            {
                "type": "directory" if path.is_dir() else "file",
                "oid": "1" * 40,
                "size": path.stat().st_size if path.is_file() else 0,
                "path": path.relative_to(self.root).as_posix(),
            }
            for path in sorted(self.root.rglob("*"))
        ]

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/org/name/tree/"):
            inner = path.removeprefix("/api/datasets/org/name/tree/").partition("/")[2]
            recursive = "recursive=True" in self.path or "recursive=true" in self.path
            found = [one for one in self.entries() if one["path"].startswith(f"{inner}/" if inner else "")]
            return self.send([one for one in found if recursive or one["path"].count("/") == bool(inner)])
        if path.startswith("/api/datasets/org/name"):
            files = [{"rfilename": one["path"]} for one in self.entries() if one["type"] == "file"]
            about = {"id": "org/name", "sha": self.commit, "siblings": files, "private": False, "tags": []}
            return self.send({**about, "gated": False, "disabled": False, "downloads": 0, "likes": 0})
        if path.startswith("/datasets/org/name/resolve/"):
            file = self.root / path.split("/", 6)[6]
            if file.is_file():
                data = file.read_bytes()
                found = self.headers.get("Range")
                low, high = (int(one) for one in found[6:].split("-")) if found else (0, len(data) - 1)
                part = data[low : high + 1]
                more = {"Content-Range": f"bytes {low}-{low + len(part) - 1}/{len(data)}"} if found else {}
                more |= {"ETag": f'"{len(data)}"', "X-Repo-Commit": self.commit, "Accept-Ranges": "bytes"}
                return self.send(part, 206 if found else 200, **more)
        code = "EntryNotFound" if path.startswith("/datasets/org/name") else "RepoNotFound"
        return self.send({"error": "not found"}, 404, **{"X-Error-Code": code})

    def send(self, what, status=200, **headers):
        data = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


PROGRAM = """
import numpy as np
from segzoo.build import open_dataset
for stream in (False, True):
    dataset = open_dataset("hf:org/name", split="val", stream=stream)
    print(dataset.labels.classes, [int(dataset[index].image[0, 0, 0]) for index in range(len(dataset))])
    print(np.unique(dataset[0].mask).tolist(), dataset._parts["validation"].streamed)
"""


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_fetched_or_streamed(tmp_path):
    root = parquet(tmp_path / "hub", train=rows(4), validation=rows(3, first=10))
    (root / "id2label.json").write_text('{"0": "background", "1": "leaf", "2": "stem"}')
    card(root, train=4, validation=3)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    env = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=300, check=False
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr[-3000:]
    said = "('background', 'leaf', 'stem') [10, 11, 12]"
    assert done.stdout.splitlines() == [said, "[0, 1, 2, 255] False", said, "[0, 1, 2, 255] True"]
