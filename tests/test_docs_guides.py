"""The guides and the design say what the code does: figures, findings, contracts and rooms are its own."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from functools import partial

import pytest
from conftest import ROOT
from docs_code import blocks, complaint, words_of

from segzoo.cli import run

DOCS = ROOT / "docs"
FIGURES = DOCS / "figures"
PAGES = sorted([*(DOCS / "guides").glob("*.md"), *(DOCS / "design").glob("*.md")])
COMMAND = "python docs/figures"

sys.path.append(str(FIGURES))

import ill_data as ill  # noqa: E402 - the scripts lie beside the pages
from contracts import own  # noqa: E402
from drawn_masks import DRAWN  # noqa: E402
from files import FILES  # noqa: E402
from findings import GROUPS, kinds  # noqa: E402
from flows import IMAGE, NAME, STEP  # noqa: E402
from house import annexe, floors, purpose  # noqa: E402


def text_of(name):
    return (DOCS / name).read_text(encoding="utf-8")


def pictures(page):
    """Return the alt text and the file of every picture on a page."""
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith("guides") else ()) for name in FILES],
)
def test_what_is_written_from_the_code_is_as_the_code_is_now(name):
    path = DOCS / name
    there = path.is_file() and path.read_text(encoding="utf-8") == FILES[name]()
    assert there, f"docs/{name} is out of date: run `{COMMAND}` and look at it"


def test_every_finding_of_the_doctor_has_its_section_and_no_other():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(kinds()), f"docs/figures/findings.py: add a case, then `{COMMAND}`"
    told = re.findall(r"^### (.*)$", text_of("guides/findings.md"), re.MULTILINE)
    assert told == grouped


def test_every_room_is_drawn_and_says_what_it_is_for():
    drawn = text_of("design/images/house.svg")
    for room in [*(name for names in floors() for name in names), *annexe()]:
        assert f">{room}</text>" in drawn, f"the room {room} is not in the drawing: `{COMMAND}`"
        assert purpose(room)


@pytest.mark.parametrize("stage", [stage for stage in (*NAME, *IMAGE, *STEP) if stage.where])
def test_every_stage_of_a_way_is_where_the_drawing_says(stage):
    path = ROOT.joinpath(*stage.where.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return
    module = path.parent.with_suffix(".py")
    tree = ast.parse((module if module.is_file() else path.parent / "__init__.py").read_text("utf-8"))
    names = {getattr(node, "name", None) for node in ast.walk(tree)}
    assert path.name in names, f"docs/figures/flows.py: there is no {stage.where} any more"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_picture_is_there_and_described(page):
    for described, target in pictures(page):
        assert len(described) > 40, f"{page.name}: say what {target} shows"
        assert (page.parent / target).is_file(), f"{page.name}: there is no {target}"


@pytest.mark.parametrize("page", ["metrics.md", "evaluation.md"])
def test_numbers_said_of_a_figure_are_in_it(page):
    for described, target in pictures(DOCS / "guides" / page):
        shown = " ".join(re.findall(r">([^<]+)</text>", text_of(f"guides/{target}")))
        missing = [number for number in re.findall(r"\d\.\d+", described) if number not in shown]
        assert not missing, f"docs/guides/{page}, {target}: not in the figure: {', '.join(missing)}"


def test_the_masks_that_the_guide_counts_are_those_of_the_figures():
    page = text_of("guides/metrics.md")
    shown = {name for name, text in DRAWN.items() if text in page}
    assert {"truth", "predicted", "square", "vessel", "trunk", "nuclei", "merged"} <= shown


def test_every_metric_has_its_contract_and_is_explained():
    explained, stated = text_of("guides/metrics.md"), text_of("guides/contracts.md")
    for spec in own():
        assert f"\n## {spec.name}\n" in stated
        assert re.search(rf"\b{re.escape(spec.name)}\b", explained), f"docs/guides/metrics.md: {spec.name}"


def test_every_setting_that_the_guide_of_data_names_is_an_option_of_folders():
    from segzoo.datasets.folder import FolderDataset

    known = set(inspect.signature(FolderDataset).parameters)
    named = set(re.findall(r"\bdata\.(\w+)=", text_of("guides/data.md") + text_of("guides/findings.md")))
    assert named - {"bands", "intensity"} <= known  # those two are of every dataset
    assert known - named <= {"root", "split", "scale"}, "docs/guides/data.md does not tell of all"


def struck_out(number):
    mask = ill.disc(number)
    mask[:3] = 255
    return mask


def painted_over(number):
    mask = ill.coloured(number)
    mask[:3] = (224, 224, 192)
    return mask


#: A row of the guide's tables, what it says, and folders that it is said of.
READ = {
    "images and masks": ("", ill.folder),
    "imgs and labels": ("", partial(ill.folder, images="imgs/{}.png", masks="labels/{}.png")),
    "parts inside": ("", partial(ill.folder, images="images/train/{}.png", masks="masks/train/{}.png")),
    "parts outside": (
        "",
        partial(ill.folder, images="valid/images/{}.png", masks="valid/masks/{}.png"),
    ),
    "other folders": (
        "data.images=shots data.masks=drawn",
        partial(ill.folder, images="shots/{}.png", masks="drawn/{}.png"),
    ),
    "_mask": ("", partial(ill.folder, masks="masks/{}_mask.png")),
    "both sides": (
        "data.image_suffix=_image data.mask_suffix=_annotation",
        partial(ill.folder, images="images/{}_image.png", masks="masks/{}_annotation.png"),
    ),
    "words in front": (
        "data.image_prefix=t data.mask_prefix=man_seg data.mask_suffix=",
        partial(ill.folder, images="images/t{}.png", masks="masks/man_seg{}.png"),
    ),
    "side by side": ("", partial(ill.folder, images="{}.png", masks="{}_mask.png")),
    "_gt": ("data.mask_suffix=_gt", partial(ill.folder, masks="masks/{}_gt.png")),
    "a file a class": ("data.per_class=true data.classes=background,cell,edge", ill.layered),
    "indices": ("data.classes=3", partial(ill.folder, mask=lambda n: ill.disc(n, 2))),
    "names": ("data.classes=background,cell,edge", partial(ill.folder, mask=lambda n: ill.disc(n, 2))),
    "other values": ("data.values=[0,128]", partial(ill.folder, mask=lambda n: ill.disc(n, 128))),
    "colours": (
        "data.palette=[[0,0,0],[255,0,0],[0,0,255]]",
        partial(ill.folder, mask=ill.coloured),
    ),
    "void": ("data.ignore_index=255", partial(ill.folder, mask=struck_out)),
    "colour of void": (
        "data.ignore_colour=[224,224,192] data.ignore_index=255",
        partial(ill.folder, mask=painted_over),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", READ)
def test_what_the_guide_of_data_says_of_folders_and_masks_reads_them(row, tmp_path):
    from segzoo.build import open_dataset
    from segzoo.training.recipe.reading import read_recipe

    said, make = READ[row]
    assert not said or said in text_of("guides/data.md")
    make(tmp_path / "photos")
    words = said.split() + (["data.palette=[[0,0,0],[255,0,0]]"] if "ignore_colour" in said else [])
    told = read_recipe(None, words, data=str(tmp_path / "photos")).data_options
    dataset = open_dataset(str(tmp_path / "photos"), split="all", **told)
    found = set(dataset[0].mask.ravel().tolist())
    assert len(dataset) == ill.COUNT
    assert found <= {*range(len(dataset.labels.classes)), dataset.labels.ignore_index}
    assert len(found) > 1


def test_every_variable_that_the_guide_of_hubs_names_is_read():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "segzoo").rglob("*.py"))
    named = set(re.findall(r"`([A-Z][A-Z_]{4,})[=`]", text_of("guides/hubs.md")))
    assert {"SEGZOO_HOME", "SEGZOO_MIRROR", "SEGZOO_OFFLINE", "HF_ENDPOINT"} <= named
    assert [name for name in sorted(named) if name not in source] == []


@pytest.mark.parametrize("name", ["training/distributed.md"])
def test_scripts_of_a_shell_are_understood_by_it(name):
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash here")
    scripts = re.findall(r"^```bash\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)
    assert scripts
    for script in scripts:
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        commands = re.findall(r"segzoo (?:train|predict) [^\n]*", script.replace("\\\n", " "))
        for command in commands:
            words = [word for word in words_of(command.rstrip()) if not word.startswith("$")]
            assert complaint(words) == "", command
        assert commands


@pytest.mark.slow
@pytest.mark.parametrize("page", ["data", "evaluation", "in-practice"])
def test_a_guide_runs_from_its_first_block_to_its_last(page, home, tmp_path, monkeypatch, capsys):
    for picture in ("nuclei.png", "tissue.png"):
        shutil.copy(DOCS / "images" / picture, tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(DOCS / f"guides/{page}.md"):
        if block.language == "python" and not block.reason:
            exec(compile(block.text, str(block), "exec"), names)
        for line in block.commands if block.language == "console" and not block.reason else ():
            assert run(words_of(line)[1:]) == 0, f"{block}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_names_a_place_of_one_machine(page):
    assert not re.search(r"/(?:work|root|home|tmp)/", page.read_text(encoding="utf-8"))
