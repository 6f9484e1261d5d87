"""One bad file never stops a folder, whatever its name is and whatever is bad about it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from bad_files import NAMES, images, mutations, named, strange_arrays, write_bad
from doctor_data import disc, folder, picture
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.errors import ImageError, MaskError
from segzoo.files import as_words, lines_of, regular
from segzoo.images import as_image, read, tiffs
from segzoo.images.naming import naming_file
from segzoo.images.zarrs import load_zarr
from segzoo.labels import read_mask
from segzoo.prediction.predictor import Predictor
from segzoo.prediction.sources import find
from segzoo.prediction.tiling.rows import open_rows

pytestmark = pytest.mark.slow

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of an untrained U-Net's weights."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=2, depth=2)
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def photos(tmp_path):
    """A folder with a good image under each odd name."""
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        Image.fromarray(PICTURE).save(tmp_path / "photo.png")
        (tmp_path / "photo.png").rename(named(tmp_path / "photos", name))
    return tmp_path / "photos"


# -- what can be opened


def test_only_what_is_a_file_is_opened(tmp_path):
    bad = write_bad(tmp_path / "bad")
    Image.fromarray(PICTURE).save(tmp_path / "good.png")
    (tmp_path / "link.png").symlink_to("good.png")
    assert regular(tmp_path / "link.png") == tmp_path / "link.png"
    assert read(tmp_path / "link.png").shape == (20, 24, 3)
    for name in bad:
        for reader, kind in ((read, ImageError), (read_mask, MaskError), (open_rows, ImageError)):
            if reader is open_rows and name in ("cut.png", "iccp.png", "ztxt.png"):
                continue  # which reads what it needs, when it needs it
            with pytest.raises(kind, match=name.replace(".", r"\.")):
                reader(tmp_path / "bad" / name)
    for odd in ("a\0b.png", "a\ud800.png"):
        with pytest.raises(OSError, match="no file can have this name"):
            regular(odd)


@pytest.mark.parametrize("name", strange_arrays())
def test_an_array_that_is_no_image_is_an_error_with_its_name(tmp_path, name):
    np.save(tmp_path / "a.npy", strange_arrays()[name])
    with pytest.raises(ImageError, match=r"a\.npy"), naming_file(tmp_path / "a.npy"):
        as_image(read(tmp_path / "a.npy"))
    if name not in ("negative", "nan"):
        with pytest.raises(MaskError, match=r"a\.npy"):
            read_mask(tmp_path / "a.npy")
        with pytest.raises(ImageError, match=r"a\.npy"):
            open_rows(tmp_path / "a.npy")


def test_a_header_that_claims_more_than_its_file_holds_takes_no_memory(tmp_path):
    np.save(tmp_path / "a.npy", PICTURE)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"(20, 24, 3), }      ", b"(90000, 90000, 3), }"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in (read, read_mask, open_rows):
        with pytest.raises(ImageError, match=r"a\.npy is not an array of numbers .* or is cut short"):
            reader(tmp_path / "a.npy")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 20_000


def test_several_arrays_under_the_name_of_one_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", a=PICTURE)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ImageError, match=r"a\.npy holds several arrays"):
        read(tmp_path / "a.npy")


def test_a_tensor_that_its_file_does_not_hold_is_refused_unless_any_size_may_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    torch.save(torch.zeros(1, dtype=torch.uint8).expand(40_000, 40_000), tmp_path / "wide.pt")
    torch.save(torch.zeros(200, 200, dtype=torch.uint8), tmp_path / "long.pt")
    assert read(tmp_path / "long.pt").shape == (200, 200, 1)
    with (
        zipfile.ZipFile(tmp_path / "long.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w") as packed,
    ):
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry), zipfile.ZIP_DEFLATED)
    for name in ("wide.pt", "packed.pt"):
        with pytest.raises(ImageError, match=rf"{name} is too large to decode at once"):
            read(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    torch.save(torch.zeros(1, dtype=torch.uint8).expand(40, 40), tmp_path / "small.pt")
    assert read(tmp_path / "small.pt").shape == (40, 40, 1)


def test_a_pipe_among_the_chunks_of_zarr_is_told(tmp_path):
    array = load_zarr().create_array(store=str(tmp_path / "a.zarr"), data=PICTURE)
    assert array.shape == read(tmp_path / "a.zarr").shape
    chunk = next(
        path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file() and path.suffix != ".json"
    )
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(ImageError, match=r"a\.zarr is damaged: .* it is a pipe"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("suffix", images())
def test_a_mutated_image_is_read_or_an_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    outcomes = set()
    for data in mutations(images()[suffix], 60, seed=len(suffix)):
        path.write_bytes(data)
        for reader in (read, read_mask, open_rows):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = reader(path)
                    outcomes.add("read")
                    if reader is open_rows:
                        found.read(0, min(found.height, 8))
                except ImageError as error:
                    outcomes.add("refused" if str(path) in str(error) else str(error))
    assert outcomes == {"read", "refused"}


def test_what_does_not_fit_in_memory_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setattr("segzoo.images.pillow.pixels_of", full)
    with pytest.raises(ImageError, match=r"a\.png does not fit in memory"):
        read(tmp_path / "a.png")


def test_what_may_not_be_read_is_told(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", "a.png")

    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(ImageError, match=r"a\.png cannot be read: permission denied"):
        read(tmp_path / "a.png")


# -- lists of names


def test_lines_of_a_list_end_where_lines_end_and_not_within_names():
    assert lines_of("a\u2028b\n\x85c\r\n\x1cd\r") == ["a\u2028b", "\x85c", "\x1cd"]
    assert lines_of("") == []
    assert os.fsencode(as_words(b"\xef\xbb\xbfcaf\xe9\n")) == b"caf\xe9\n"
    assert as_words("a\nä\n".encode("utf-16")) == "a\nä\n"


def test_a_list_may_hold_every_name_but_one_with_a_line_feed(photos, tmp_path):
    wanted = [name for name in NAMES if b"\n" not in name and b"\r" not in name]
    paths = [os.fsencode(named(photos, name)) for name in wanted]
    (tmp_path / "list").write_bytes(b"# images\n" + b"\r\n".join(paths))
    found = find([], lists=[str(tmp_path / "list")])
    assert [os.fsencode(one.path) for one in found.images] == paths
    assert found.troubles == ()


# -- segzoo predict


def test_every_name_is_predicted_and_known_again(photos, weights, tmp_path, capsys):
    bad = write_bad(photos)
    words = [
        "predict",
        str(photos),
        "-m",
        weights,
        "--out",
        str(tmp_path / "masks"),
        "--outputs",
        "mask,coco",
    ]
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert f"error: {len(bad)} could not be segmented:" in err
    assert all(f"{photos}/{name}" in err for name in bad)
    assert len(list((tmp_path / "masks").glob("*_mask.png"))) == len(NAMES)
    assert not set(out + err) & {"\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\udce9", "\r"}
    assert run([*words, "--resume"]) == 1
    assert f"{len(NAMES)} were done before" in capsys.readouterr().out
    lines = (tmp_path / "masks/manifest.jsonl").read_bytes().decode().split("\n")[:-1]
    assert {json.loads(line)["input"] for line in lines} >= {str(named(photos, name)) for name in NAMES}


def test_no_name_leads_out_of_the_output_folder(weights, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("..png", "...png", "....png", ".png.png"):
        Image.fromarray(PICTURE).save(tmp_path / "photos" / "a.png")
        (tmp_path / "photos" / "a.png").rename(tmp_path / "photos" / name)
    before = set(tmp_path.iterdir())
    assert (
        run(
            [
                "predict",
                str(tmp_path / "photos"),
                "-m",
                weights,
                "--out",
                str(tmp_path / "out"),
                "--outputs",
                "mask",
            ]
        )
        == 0
    )
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 4
    names = {one.name for one in find(["http://a/%2e%2e", "http://b/..", "http://c/"]).images}
    assert not names & {"", ".", ".."}
    assert len(names) == 3


def test_an_extra_that_every_image_takes_is_told_once(weights, tmp_path, monkeypatch, capsys):
    import tifffile

    (tmp_path / "deep").mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / "deep" / f"{number}.tif", np.float32(PICTURE), photometric="rgb")
    monkeypatch.setattr(tiffs, "import_module", lambda name: __import__("no_such_module"))
    words = ["predict", str(tmp_path / "deep"), "-m", weights, "--out", str(tmp_path / "out")]
    assert run(words) == 2
    assert capsys.readouterr().err.count("pip install") == 1
    Image.fromarray(PICTURE).save(tmp_path / "deep" / "a.png")
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert "a.png" in out
    assert all(f"{number}.tif" in err for number in range(3))


# -- datasets


@pytest.fixture
def pairs(tmp_path):
    """A dataset with a good pair under each odd name, and under enough plain ones for every split."""
    root = folder(tmp_path / "data")
    for number, name in enumerate(NAMES):
        for part, pixels in (("images", picture(number)), ("masks", disc(number))):
            Image.fromarray(pixels).save(tmp_path / "one.png")
            (tmp_path / "one.png").rename(named(root / part, name))
    return root


def add_bad(root):
    """Give each bad image a good mask; return their names."""
    bad = {name for name in write_bad(root / "images") if name.endswith(".png")}
    for path in (root / "images").iterdir():
        if path.suffix == ".tif":
            path.unlink()
    for name in bad:
        Image.fromarray(disc(0)).save(root / "masks" / name)
    return bad


def without_controls(text):
    return not set(text) & {"\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\udce9"}


def test_the_doctor_looks_at_every_name_and_names_every_bad_file(pairs, tmp_path, capsys):
    total = len(NAMES) + 12
    assert run(["data", "stats", str(pairs)]) == 0
    assert f"{total} images with masks" in capsys.readouterr().out
    bad = add_bad(pairs)
    assert run(["data", "check", str(pairs), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    damaged = next(one for one in found["findings"] if one["kind"] == "damaged")
    assert {line.partition(":")[0] for line in damaged["examples"]} == {f"images/{name}" for name in bad}
    assert run(["data", "check", str(pairs), "--fix", str(tmp_path / "fixed")]) == 0
    assert without_controls(capsys.readouterr().out)
    assert without_controls((tmp_path / "fixed/REPAIRS.txt").read_text(encoding="utf-8"))
    kept = {path.name for path in (tmp_path / "fixed/images").iterdir()}
    zarrs = {"folder.zarr", "damaged.zarr"}
    assert kept == {path.name for path in (pairs / "images").iterdir()} - bad - zarrs
    assert run(["data", "stats", str(pairs)]) == 1
    out, err = capsys.readouterr()
    assert f"{len(bad)} files cannot be read, and not in these numbers" in err
    assert "channel mean" in out
    assert run(["data", "preview", str(pairs), "--count", "99", "--out", str(tmp_path / "sheet.png")]) == 1
    err = capsys.readouterr().err
    assert all(f"images/{name}: " in err for name in bad)
    assert Image.open(tmp_path / "sheet.png").width > 100


def test_evaluation_scores_every_name_and_names_what_it_left_out(pairs, weights, tmp_path, capsys):
    words = ["evaluate", weights, "--data", str(pairs), "--split", "all"]
    assert run([*words, "--save-predictions", str(tmp_path / "masks")]) == 0
    before = capsys.readouterr().out
    assert f"{len(NAMES) + 12} images" in before
    truth, masks = ["--data", str(pairs), "--split", "all"], str(tmp_path / "masks")
    assert run(["evaluate", "--predictions", masks, *truth]) == 0
    capsys.readouterr()
    bad = add_bad(pairs)
    assert run([*words, "--report", str(tmp_path / "report")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(before)
    assert f"{len(bad)} could not be scored" in err
    assert all(f"images/{name}" in err for name in bad)
    told = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))
    assert len(told["unscored"]) == len(bad)
    assert {os.fsencode(one["name"]) for one in told["images"]} >= set(NAMES)
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert without_controls(page)
    assert "images that cannot be read" in page
    assert without_controls((tmp_path / "report/images.csv").read_text(encoding="utf-8"))
    # A prediction that is none is left out as well; where all are, nothing is scored.
    (tmp_path / "masks/img.00.png").unlink()
    os.mkfifo(tmp_path / "masks/img.00.png")
    for name in bad:
        (pairs / "masks" / name).unlink()
        (pairs / "images" / name).unlink()
    assert run(["evaluate", "--predictions", masks, *truth]) == 1
    assert "img.00.png cannot be read: it is a pipe" in capsys.readouterr().err


def test_training_knows_every_name_and_tells_before_it_begins_what_cannot_be_opened(pairs, tmp_path, capsys):
    words = ["train", "--data", str(pairs), "model=unet", "model.width=2", "model.depth=2", "epochs=1"]
    words += ["crop=16", "batch_size=8", "device=cpu", f"out={tmp_path / 'run'}"]
    lists = [tmp_path / "train.txt", tmp_path / "val.txt"]
    kept = [name for name in NAMES if b"\n" not in name and b"\r" not in name]
    lists[0].write_bytes(b"\n".join([*kept, b"img.00"]))
    lists[1].write_bytes(b"img.01\nimg.02\r\n")
    assert run([*words, f"split.file={lists[0]},{lists[1]}"]) == 0
    out, err = capsys.readouterr()
    assert without_controls(out + err)
    bad = add_bad(pairs)
    words += ["split.share=0.2", "--overwrite"]
    assert run(words) == 1
    err = capsys.readouterr().err
    for name in bad & {"pipe.png", "device.png", "broken.png", "loop.png", "socket.png"}:
        assert f"images/{name} cannot be read: " in err
        (pairs / "images" / name).unlink()
        (pairs / "masks" / name).unlink()
    assert run(words) == 1
    err = capsys.readouterr().err
    assert "error: " in err
    assert any(f"images/{name}" in err for name in bad)


def test_a_tiff_that_takes_tifffile_is_one_bad_file_unless_all_are(tmp_path, monkeypatch, capsys):
    import tifffile

    root = folder(tmp_path / "data")
    for number in (0, 1):
        (root / "images" / f"img.0{number}.png").unlink()
        deep = picture(number).astype(np.uint16) * 16
        tifffile.imwrite(root / "images" / f"img.0{number}.tif", deep, photometric="rgb")
    assert run(["data", "check", str(root)]) == 0
    capsys.readouterr()
    monkeypatch.setattr(tiffs, "import_module", lambda name: __import__("no_such_module"))
    assert run(["data", "check", str(root)]) == 1
    out = capsys.readouterr().out
    assert out.count("this TIFF needs tifffile: pip install") == 2
    assert "class" in out
    for path in (root / "images").glob("*.png"):
        path.unlink()
        (root / "masks" / path.name).unlink()
    assert run(["data", "check", str(root)]) == 2
    assert capsys.readouterr().err.count("pip install") == 1


def test_a_link_to_a_folder_that_it_lies_in_adds_no_samples(tmp_path, capsys):
    root = folder(tmp_path / "data")
    for part in ("images", "masks"):
        (root / part / "again").symlink_to(root / part)
    assert len(open_dataset("folder", root=root, split="all")) == 12
    assert run(["data", "stats", str(root)]) == 0
    assert "12 images with masks" in capsys.readouterr().out


def test_the_name_of_a_class_begins_no_line_of_its_own(tmp_path, weights, capsys):
    model = segzoo.load(weights)
    labels = replace(model.segzoo_config.labels, classes=("background", "a\nerror: b"))
    segzoo.save(model, tmp_path / "w", config=replace(model.segzoo_config, labels=labels, threshold=1e-9))
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "-m", str(tmp_path / "w"), "--no-save"]
    assert run([*words, "--class-threshold", "1=0.000001"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path}/a.png: a\\nerror: b 100.0%"]


def test_the_command_that_mends_data_names_a_folder_beside_it(tmp_path, monkeypatch, capsys):
    root = folder(tmp_path / "data")
    (root / "images/broken.png").write_bytes(b"")
    monkeypatch.chdir(root)
    for word in (".", "images/..", str(root) + "/"):
        assert run(["data", "check", word]) == 1
        _, words = capsys.readouterr().out.split("can be written with:\n  segzoo ")
        assert run(words.split()) == 0
        capsys.readouterr()
        shutil.rmtree(tmp_path / "data-fixed")


def test_an_image_that_does_not_fit_the_memory_is_one_bad_file(weights, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").mkdir()
    for name, side in (("a", 20), ("b", 24), ("c", 28)):
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    segment = Predictor.segment_prepared

    def short(self, prepared, **options):
        if prepared[0].size[0] == 24:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
            )
        return segment(self, prepared, **options)

    monkeypatch.setattr(Predictor, "segment_prepared", short)
    assert run(["predict", str(tmp_path / "photos"), "-m", weights, "--out", str(tmp_path / "out")]) == 1
    assert "b.png: it does not fit in memory" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").glob("*_mask.png")} == {"a_mask.png", "c_mask.png"}


@pytest.mark.parametrize("words", [["train", "{}"], ["predict", "--list", "{}", "-m", "{w}", "--no-save"]])
def test_what_is_read_as_text_must_be_a_file(words, weights, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.toml")
    assert run([word.format(tmp_path / "pipe.toml", w=weights) for word in words]) == 1
    assert "it is a pipe, not a file" in capsys.readouterr().err
