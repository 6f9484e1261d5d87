"""`segzoo demo`: masks are corrected on a page, and saved as pairs that training reads."""

from __future__ import annotations

import io
import shlex
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from served import served

import segzoo
import segzoo.serving
from segzoo import cli
from segzoo.build import open_dataset
from segzoo.errors import ImageError, OptionError
from segzoo.serving.corrections import add_corrections, save_pair
from segzoo.serving.installed import add_installed
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
    add_installed(app, segzoo.Predictor)
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


@pytest.mark.medium
def test_only_the_page_of_this_server_saves_corrections(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    files = {"image": ("roof.png", png(PIXELS)), "mask": ("mask", MASK.tobytes())}
    with demo(weights, folder) as client:
        address = "/corrections?model=roofs"
        assert "data-sources" in client.get("/").text
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
        assert train[4:] == ["--model", "mine", "lr=1e-4", 'data.classes=["ground","roof","tree"]']
        chosen = client.post(f"{address}&bands=3,2,1&intensity=dtype", files=files, headers=OWN).json()
        assert shlex.split(chosen["train"])[-2:] == ["data.bands=3,2,1", "data.intensity=dtype"]
        assert client.post("/corrections?model=x", files=files, headers=OWN).status_code == 404
        assert client.post(address, files={"image": files["image"]}, headers=OWN).status_code == 400


def test_the_page_loads_weights_of_this_machine_and_no_others(weights: Path, tmp_path: Path) -> None:
    with demo(weights, tmp_path) as client:
        assert "unet-nuclei-1" in client.get("/installed").json()["weights"]
        assert client.post("/installed?model=unet-nuclei-1").status_code == 403
        assert client.post("/installed?model=unet-carvana", headers=OWN).status_code == 404
        assert client.post("/installed?model=unet-nuclei-1", headers=OWN).status_code == 200
        assert "unet-nuclei-1" not in client.get("/installed").json()["weights"]
        answer = client.post("/v1/models/unet-nuclei-1/predict?threshold=0.9", content=png(PIXELS))
        assert answer.status_code == 200
        assert 'segzoo_queue_length{model="unet-nuclei-1"} 0.0' in client.get("/metrics").text


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


@pytest.mark.slow
def test_settings_of_the_page_change_the_mask_and_wrong_ones_are_named_at_their_control(
    weights: Path, tmp_path: Path
) -> None:
    from browser import DESKTOP, PHONE, Watch, opened
    from browser_setup import axe

    (tmp_path / "roof.png").write_bytes(png(PIXELS))
    deep = np.dstack([np.zeros(PIXELS.shape[:2], np.uint16), PIXELS.astype(np.uint16) * 16])
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="minisblack", planarconfig="contig")
    pages = np.stack([PIXELS[..., :3]] * 2)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="rgb")
    with demo(weights, tmp_path / "pairs") as client, opened() as browser:
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            context = browser.new_context(viewport=size, base_url=str(client.base_url), color_scheme=scheme)
            page = context.new_page()
            watch = Watch(page)
            page.goto("/")
            done = page.locator("#told").get_by_text("56 x 40 pixels")
            page.set_input_files("#file", tmp_path / "roof.png")
            done.wait_for()
            # A threshold of a class, by keys alone.
            page.locator("#settings summary").focus()
            page.keyboard.press("Enter")
            assert not page.get_by_label("Threshold", exact=True).is_visible()
            page.get_by_label("roof", exact=True).focus()
            page.keyboard.type("0.99")
            page.locator("#set").get_by_text("class threshold roof=0.99").wait_for()
            page.locator("#same").get_by_text("--class-threshold roof=0.99").wait_for()
            assert "roof" not in page.locator("#told").inner_text()
            assert watch.taken() == ([], [])
            page.get_by_label("roof", exact=True).fill("3")
            page.locator("#class_threshold-wrong").get_by_text(
                "roof: type a number between 0 and 1"
            ).wait_for()
            assert page.get_by_label("roof", exact=True).get_attribute("aria-invalid") == "true"
            page.get_by_role("button", name="Reset the settings").click()
            done.wait_for()
            assert page.locator("[aria-invalid]").count() == 0
            # 16-bit images with four bands.
            page.set_input_files("#file", tmp_path / "deep.tif")
            page.locator("#bands-wrong").get_by_text("choose with bands=1,2,3").wait_for()
            assert "band 4" in page.locator("#bands-help").inner_text()
            assert page.locator("#shown").is_hidden()
            page.get_by_label("Bands").fill("2,3,cat")
            page.keyboard.press("Enter")
            page.locator("#bands-wrong").get_by_text("no band is called 'cat'").wait_for()
            page.get_by_label("Bands").fill("2,3,4")
            page.keyboard.press("Enter")
            done.wait_for()
            page.get_by_label("Intensity").select_option("range")
            page.get_by_label("Two numbers").fill("0; 4095")
            page.keyboard.press("Enter")
            page.locator("#same").get_by_text("--bands 2,3,4 --intensity range:0,4095").wait_for()
            assert page.evaluate("bitmap.width") == 56  # the server drew what the browser cannot
            page.get_by_label("Two numbers").fill("9")
            page.keyboard.press("Enter")
            page.locator("#intensity-wrong").get_by_text("two numbers").wait_for()
            page.get_by_role("button", name="Reset the settings").click()
            # A stack, and weights of this machine.
            page.set_input_files("#file", tmp_path / "stack.tif")
            done.wait_for()
            page.get_by_label("Page of the file").fill("2")
            page.locator("#page-wrong").get_by_text("the image has 2 page(s)").wait_for()
            page.get_by_label("Page of the file").fill("1")
            page.locator("#same").get_by_text("--pages 1").wait_for()
            page.get_by_label("Model").select_option("unet-nuclei-1")
            page.locator("#same").get_by_text("--model unet-nuclei-1").wait_for()
            page.get_by_label("Threshold", exact=True).fill("0.25")
            page.locator("#same").get_by_text("--threshold 0.25").wait_for()
            assert page.get_by_label("Threshold as a slider").input_value() == "0.25"
            page.get_by_label("Threshold", exact=True).fill("7")
            page.locator("#threshold-wrong").get_by_text("between 0 and 1").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            page.evaluate(axe().read_text())
            assert page.evaluate("axe.run()")["violations"] == []


@pytest.mark.slow
def test_strokes_stay_when_settings_change_and_are_not_dropped_unasked(weights: Path, tmp_path: Path) -> None:
    from browser import DESKTOP, opened

    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(png(PIXELS if name == "one.png" else PIXELS[::-1]))
    folder = tmp_path / "pairs"
    with demo(weights, folder) as client, opened() as browser:
        page = browser.new_context(viewport=DESKTOP, base_url=str(client.base_url)).new_page()
        asked: list[str] = []
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        page.goto("/")
        page.set_input_files("#file", [tmp_path / "one.png", tmp_path / "two.png"])
        page.get_by_text("Image 1 of 2: one.png").wait_for()
        page.locator("#told").get_by_text("56 x 40 pixels").wait_for()
        page.get_by_label("Paint on the picture").check()
        page.get_by_label("Class to paint").select_option("tree")
        page.locator("#canvas").focus()
        page.keyboard.press(" ")
        page.get_by_label("Intensity").evaluate("one => { settings.open = true; }")
        page.get_by_label("Intensity").select_option("dtype")
        page.locator("#same").get_by_text("--intensity dtype").wait_for()
        page.get_by_role("button", name="Next image").click()
        assert asked == ["The correction is not saved. Drop it?"]
        assert page.get_by_text("Image 1 of 2").is_visible()
        page.get_by_role("button", name="Save and open the next").click()
        page.get_by_text("Image 2 of 2: two.png").wait_for()
        page.locator("#kept").get_by_text("Saved as one-").wait_for()
        assert "data.intensity=dtype" in page.locator("#kept").inner_text()
        (file,) = (folder / "masks").glob("one-*.png")
        with Image.open(file) as picture:
            mask = np.asarray(picture)
        assert (mask[16:25, 24:33] == 2).all()
        page.locator("#told").get_by_text("56 x 40 pixels").wait_for()
        page.get_by_role("button", name="Save the pair").click()
        page.locator("#kept").get_by_text("2 pairs").wait_for()
        assert len(asked) == 1
