"""`segzoo demo`: masks are corrected on a page, and saved as pairs that training reads."""

from __future__ import annotations

import io
import shlex
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from served import served

import segzoo
import segzoo.serving
from segzoo import cli
from segzoo.build import open_dataset
from segzoo.errors import ImageError, OptionError
from segzoo.serving.corrections import add_corrections, save_pair
from segzoo.specs import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

LABELS = Labels(classes=("ground", "roof", "tree"), palette=((0, 0, 0), (200, 0, 0), (0, 200, 0)))
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
MASK = (np.arange(40 * 56) % 3).astype(np.uint8).reshape(40, 56)
OWN = {"X-Segzoo-Page": "1"}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model: Any = segzoo.create("unet", num_classes=3, width=2, depth=2).eval()
    model.segzoo_config = replace(model.segzoo_config, labels=LABELS)
    return segzoo.save(model, tmp_path_factory.mktemp("weights") / "roofs")


@contextmanager
def demo(weights: Path, folder: Path) -> Iterator[httpx.Client]:
    """Serve the page on loopback from a thread; yields a client."""
    app = segzoo.serving.application({"roofs": weights}, page=False)
    add_corrections(app, folder, sources={"roofs": "mine"})
    with served(app, grace=5, patience=120) as client:
        yield client


def test_a_pair_is_what_training_reads(tmp_path: Path) -> None:
    content = png(PIXELS)
    stem = save_pair(tmp_path, content, "my roof.PNG", MASK.tobytes(), LABELS)
    assert stem.startswith("my-roof-")
    assert (tmp_path / "images" / f"{stem}.png").read_bytes() == content
    with Image.open(tmp_path / "masks" / f"{stem}.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), MASK)
    sample = open_dataset(str(tmp_path), split="all", classes=LABELS.classes)[0]
    assert np.array_equal(sample.image, PIXELS)
    assert np.array_equal(sample.mask, MASK)


def test_the_same_image_replaces_its_pair_and_another_of_its_name_does_not(tmp_path: Path) -> None:
    for pixels, mask in ((PIXELS, MASK), (PIXELS, 0 * MASK), (PIXELS[::-1], MASK)):
        save_pair(tmp_path, png(pixels), "image.png", mask.tobytes(), LABELS)
    assert len(list((tmp_path / "images").iterdir())) == len(list((tmp_path / "masks").iterdir())) == 2


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/passwd", "..", "", "a\0b.png", "C:\\x.png"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    save_pair(tmp_path / "in", png(PIXELS), name, MASK.tobytes(), LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(list((tmp_path / "in/images").iterdir())) == 1


def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"the mask has 10 pixels and the image 56 x 40"):
        save_pair(tmp_path, png(PIXELS), "a.png", bytes(10), LABELS)
    with pytest.raises(OptionError, match=r"holds the class 9, and there are 3 classes"):
        save_pair(tmp_path, png(PIXELS), "a.png", bytes([9]) * MASK.size, LABELS)
    with pytest.raises(ImageError):
        save_pair(tmp_path, b"hello", "a.png", MASK.tobytes(), LABELS)
    with pytest.raises(OptionError, match="do not overlap"):
        save_pair(tmp_path, png(PIXELS), "a.png", MASK.tobytes(), replace(LABELS, overlapping=True))
    assert not list(tmp_path.iterdir())


def test_only_the_page_of_this_server_saves_corrections(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    files = {"image": ("roof.png", png(PIXELS)), "mask": ("mask", MASK.tobytes())}
    with demo(weights, folder) as client:
        address = "/corrections?model=roofs"
        assert "data-corrections" in client.get("/").text
        assert client.post(address, files=files).status_code == 403
        assert client.post(address, files=files, headers={**OWN, "Host": "evil.example"}).status_code == 403
        preflight = client.options(address, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in preflight.headers
        assert not folder.exists()
        saved = client.post(address, files=files, headers=OWN)
        assert saved.status_code == 200, saved.text
        assert saved.json()["saved"] == 1
        assert saved.json()["folder"] == str(folder)
        train = shlex.split(saved.json()["train"])
        assert train[:4] == ["segzoo", "train", "--data", str(folder)]
        assert train[4:] == ["--model", "mine", 'data.classes=["ground","roof","tree"]']
        assert client.post("/corrections?model=x", files=files, headers=OWN).status_code == 404
        assert client.post(address, files={"image": files["image"]}, headers=OWN).status_code == 400


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo", "no-such-weights", "--port", "0", "--no-browser"]) == 2
    assert "no-such-weights" in capsys.readouterr().err
    assert cli.run(["demo", "--precision", "fastest", "--no-browser"]) == 2
    assert "--precision fastest" in capsys.readouterr().err


@pytest.mark.slow
def test_a_mask_is_corrected_with_the_pointer_and_with_keys_on_a_desk_and_on_a_phone(
    weights: Path, tmp_path: Path
) -> None:
    from browser import DESKTOP, PHONE, Watch, opened
    from browser_setup import axe

    (tmp_path / "roof.png").write_bytes(png(PIXELS))
    folder = tmp_path / "pairs"
    with demo(weights, folder) as client, opened() as browser:
        for size in (DESKTOP, PHONE):
            page = browser.new_context(viewport=size, base_url=str(client.base_url)).new_page()
            watch = Watch(page)
            page.goto("/")
            page.set_input_files("#file", tmp_path / "roof.png")
            page.get_by_text("56 x 40 pixels").wait_for()
            page.get_by_label("Paint on the picture").check()
            page.get_by_label("Class to paint").select_option("tree")
            page.locator("#brush").fill("6")
            canvas = page.locator("#canvas")
            canvas.scroll_into_view_if_needed()
            box = canvas.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25, steps=4)
            page.mouse.up()
            page.get_by_label("Class to paint").select_option("roof")
            canvas.focus()
            for key in ("ArrowDown", "ArrowDown", "ArrowDown", " "):
                page.keyboard.press(key)
            page.get_by_role("button", name="Save the pair").click()
            page.get_by_text("Saved as roof-").wait_for()
            (file,) = (folder / "masks").glob("*.png")
            with Image.open(file) as picture:
                mask = np.asarray(picture)
            assert (mask[10, 15:41] == 2).all()
            assert mask[28, 42] == 1
            page.get_by_role("button", name="Undo").click()
            page.get_by_text("The last stroke is undone.").wait_for()
            page.get_by_text("Objects", exact=True).click()
            page.get_by_text("objects.").wait_for()
            assert page.locator("#rows tr").count() >= 1
            page.get_by_label("Uncertainty instead of the mask").check()
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            page.evaluate(axe().read_text())
            assert page.evaluate("axe.run()")["violations"] == []
            assert watch.taken() == ([], [])
