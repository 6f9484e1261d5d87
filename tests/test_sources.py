"""What people name is found in order, each thing once, and read as an image."""

from __future__ import annotations

import io
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from segzoo.errors import ImageError, OptionError
from segzoo.images import parse_pages
from segzoo.prediction.sources import find, find_sources


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def save(path, value=0, pages=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.fromarray(np.full((4, 6, 3), value + page, np.uint8)) for page in range(pages)]
    images[0].save(path, **({"save_all": True, "append_images": images[1:]} if pages > 1 else {}))
    return path


@pytest.fixture
def photos(tmp_path):
    save(tmp_path / "photos/b.png", 2)
    save(tmp_path / "photos/a.png", 1)
    save(tmp_path / "photos/deep/a.png", 3)
    save(tmp_path / "photos/a.bmp", 4)
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path / "photos"


def named(sources):
    return {source.name: int(source.read()[0][0, 0, 0]) for source in sources}


def test_a_folder_is_searched_and_its_structure_kept(photos):
    assert named(find_sources([photos])) == {"a.bmp": 4, "a.png": 1, "b": 2, "deep/a": 3}


def test_a_pattern_names_files_below_what_they_share(photos):
    assert named(find_sources([f"{photos}/**/a.png"])) == {"a": 1, "deep/a": 3}


def test_a_file_named_twice_is_found_once_and_equal_names_stay_apart(photos):
    other = save(photos.parent / "other/b.png", 9)
    found = find_sources([photos / "b.png", photos / "b.png", other])
    assert named(found) == {"b.png": 2, "b.png_2": 9}


def test_a_list_names_what_words_do(photos, monkeypatch):
    listed = photos.parent / "list.txt"
    listed.write_text(f"# two of them\n{photos / 'b.png'}\n\n{photos / 'a.bmp'}\n")
    assert named(find_sources([], lists=[str(listed)])) == {"b": 2, "a": 4}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{photos / 'a.png'}\n".encode())))
    assert named(find_sources([], lists=["-"])) == {"a": 1}


def test_standard_input_is_an_image(photos, monkeypatch):
    class Bytes:
        buffer = io.BytesIO((photos / "b.png").read_bytes())

    monkeypatch.setattr("sys.stdin", Bytes())
    assert named(find_sources(["-"])) == {"stdin": 2}


def test_a_tiff_without_pages_is_a_source_that_cannot_be_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(4))
    (source,) = find_sources([tmp_path / "a.tif"])
    with pytest.raises(ImageError, match=r"a\.tif"):
        source.read()


def test_each_page_of_a_stack_is_a_source(tmp_path):
    stack = save(tmp_path / "stack.tif", 10, pages=11)
    found = find_sources([stack])
    assert [source.name for source in found][:2] == ["stack_00", "stack_01"]
    assert [int(source.read()[0][0, 0, 0]) for source in found] == list(range(10, 21))
    assert found[3].origin == f"{stack}[3]"


def test_pages_are_chosen_by_number_and_keep_their_names(tmp_path):
    stack, single = save(tmp_path / "stack.tif", 10, pages=11), save(tmp_path / "single.tif", 1)
    found = find_sources([stack, single], pages=parse_pages("9-,2,4-5"))
    names = [source.name for source in found]
    assert names == ["stack_09", "stack_10", "stack_02", "stack_04", "stack_05", "single"]
    found = find([stack, single], pages=parse_pages("3-11"))
    assert found.troubles == (f"{stack} has no page 11: it has 11, from 0 to 10",)
    assert [source.name for source in found.images] == ["single"]


@pytest.mark.parametrize("text", ["x", "-3", "5-3", "1,,2", "0.5", "1-2-3"])
def test_what_is_no_choice_of_pages_is_refused(text):
    with pytest.raises(OptionError, match=r"pages are numbers from 0 and ranges such as 0,3-5"):
        parse_pages(text)


def test_an_address_is_fetched(photos):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=photos)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert named(find_sources([f"{address}/deep/a.png?size=large"])) == {"a": 3}
        for missing, told in (("nothing.png", "HTTP 404"), ("notes.txt", "cannot be read")):
            with pytest.raises(ImageError, match=told):
                find_sources([f"{address}/{missing}"])[0].read()
        server.shutdown()


def test_all_words_that_name_nothing_are_told_at_once(photos):
    with pytest.raises(ImageError, match=r"(?s)no-list.*no file .*gone\.png.*no file matches .*x\*\.png"):
        find_sources([photos / "gone.png", f"{photos}/x*.png"], lists=["no-list"])


def test_a_name_that_is_too_long_is_told_of_beside_what_is_found(photos):
    found = find([*map(str, photos.rglob("*.png")), "x" * 300])
    assert found.images
    assert len(found.troubles) == 1
    assert "x" * 300 in found.troubles[0]


def test_a_file_that_changes_has_another_state(photos):
    (source,) = find_sources([photos / "b.png"])
    before = source.state()
    save(photos / "b.png", 77)
    assert source.state() != before


def laid_out(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["images/a.jpg", "masks/a.png"], {"images/a"}),
        (["val/images/a.jpg", "val/labels/a.png", "b.jpg"], {"val/images/a", "b"}),
        (["images/train/a.jpg", "masks/train/a.png"], {"images/train/a"}),
        (["JPEGImages/a.jpg", "SegmentationClass/a.png", "SegmentationObject/a.png"], {"JPEGImages/a"}),
        (["imagesTr/a.jpg", "labelsTr/a.png"], {"imagesTr/a"}),
        (["train/a.jpg", "train_masks/a_mask.gif", "test/b.jpg"], {"train/a", "test/b"}),
        (["a.jpg", "a_mask.png", "b.jpg", "b-labels.png", "b_maskara.jpg"], {"a", "b", "b_maskara"}),
        (["a.jpg", "b.jpg", "masks/a.png", "masks/b_mask.png", "more/c.jpg"], {"a", "b", "more/c"}),
        (["a/images/1_training.tif", "a/1st_manual/1_manual1.gif", "a/mask/1.gif"], {"a/images/1_training"}),
    ],
)  # fmt: skip
def test_a_folder_laid_out_as_a_data_set_gives_its_images_and_says_what_it_left_out(tmp_path, names, left):
    root = laid_out(tmp_path / "photos", *names)
    for words in (str(root), f"{root}/**/*.*"):
        found = find([words])
        assert {str(source.path.relative_to(root).with_suffix("")) for source in found.images} == left
        (note,) = found.notes
        assert "left out" in note
        assert "name their folder or the files" in note


@pytest.mark.parametrize(
    ("names", "word", "count"),
    [
        (["masks/a.png", "masks/b.png"], "", 2),  # nothing else that could be meant
        (["images/a.jpg", "masks/a.png"], "masks", 1),  # named by somebody
        (["images/a.jpg", "masks/a.png"], "masks/*.png", 1),
        (["a.jpg", "a_mask.png"], "*_mask.png", 1),
        (["masks/carnival.jpg", "people/b.jpg"], "", 2),  # no image of that name, no folder of images
        (["labels/label 1.jpg", "bottles.jpg"], "", 2),
    ],
)
def test_what_only_may_be_a_mask_or_was_named_is_an_image(tmp_path, names, word, count):
    root = laid_out(tmp_path / "photos", *names)
    found = find([str(root / word)])
    assert (len(found.images), found.notes) == (count, ())


def test_arrays_are_images_of_a_folder_that_has_no_others(tmp_path):
    folder = tmp_path / "plates"
    folder.mkdir()
    np.save(folder / "a.npy", np.zeros((4, 4, 5), np.uint16))
    assert [image.name for image in find_sources([str(folder)])] == ["a"]
    Image.new("RGB", (4, 4)).save(folder / "b.png")
    assert [image.name for image in find_sources([str(folder)])] == ["b"]


def test_a_folder_whose_files_a_plugin_reads_says_which(tmp_path, monkeypatch):
    (tmp_path / "1.dcm").write_bytes(b"?")
    monkeypatch.setattr("segzoo.prediction.sources.finding.searched_suffixes", lambda: frozenset({".png"}))
    with pytest.raises(ImageError, match=r"and no video; segzoo-science reads such files: pip install"):
        find_sources([str(tmp_path)])
