"""Other programs' checkpoints open wherever a model is named: converted into the cache, and that is said."""

from __future__ import annotations

import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
from goldens import containers
from goldens.golden import Golden
from goldens.libraries import FOLDER, LibraryGolden
from hub_server import Repository, serving_hub
from PIL import Image
from safetensors.torch import load_file, save_file

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, UnknownNameError, WeightsError
from segzoo.specs import WeightsSpec
from segzoo.weights import cache, conversion, converted, inventory, parts
from segzoo.weights.checkpoints import read_checkpoint
from segzoo.weights.folder import read_config
from segzoo.weights.sources import folder_of

pytestmark = pytest.mark.usefixtures("home")

TENSORS = containers.small(Golden("milesial_transpose"))
REPO = "somebody/streets"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serving_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("time.sleep", lambda _: None)
        for variable in ("HF_HUB_OFFLINE", "SEGZOO_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(variable, raising=False)
        yield state


@pytest.fixture
def file(tmp_path):
    torch.save(TENSORS, tmp_path / "cars.pth")
    return tmp_path / "cars.pth"


def foreign(folder, *, form="model.safetensors", config=None, tensors=TENSORS):
    """A folder of a library, its tensors in one of the forms that there are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "milesial"}))
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    write = save_file if "safetensors" in form else torch.save
    if not form.endswith(".index.json"):
        write(dict(tensors), folder / form)
        return folder
    names, stem = list(tensors), form.removesuffix(".index.json")
    halves = {"a": names[: len(names) // 2], "b": names[len(names) // 2 :]}
    named = {}
    for number, part in enumerate(halves.values(), start=1):
        shard = stem.replace(".", f"-{number:05}-of-00002.")
        write({name: tensors[name] for name in part}, folder / shard)
        named |= dict.fromkeys(part, shard)
    (folder / form).write_text(json.dumps({"metadata": {}, "weight_map": named}))
    return folder


FORMS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def same(model):
    return sorted(
        float(t.double().sum()) for t in model.state_dict().values() if t.ndim > 1
    ) == pytest.approx(sorted(float(t.double().sum()) for t in TENSORS.values() if t.ndim > 1))


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_is_read_in_every_form_that_libraries_write(form, tmp_path):
    checkpoint = read_checkpoint(foreign(tmp_path / "streets", form=form))
    assert checkpoint.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(checkpoint.tensors[name], TENSORS[name]) for name in TENSORS)
    assert checkpoint.extras == {"config": {"model_type": "milesial"}, "preprocessor_config": {"size": 32}}
    assert checkpoint.file == f"streets/{form}"
    assert len(checkpoint.sha256) == 64


@pytest.mark.parametrize(
    "shard",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\b", "C:a", 3, None, ".x"],
)
def test_an_index_that_names_a_file_elsewhere_is_refused(shard, tmp_path):
    folder = foreign(tmp_path / "streets", form=FORMS[1])
    save_file(TENSORS, tmp_path / "secret.safetensors")
    (folder / FORMS[1]).write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(WeightsError, match="the name of a file of the same folder"):
        read_checkpoint(folder)


def test_an_index_and_its_files_must_agree(tmp_path):
    folder = foreign(tmp_path / "streets", form=FORMS[1])
    index = json.loads((folder / FORMS[1]).read_text())
    first, shard = next(iter(index["weight_map"].items()))
    fewer = {name: one for name, one in index["weight_map"].items() if name != first}
    (folder / FORMS[1]).write_text(json.dumps({"weight_map": fewer}))
    with pytest.raises(WeightsError, match=f"{shard} also holds {first}"):
        read_checkpoint(folder)
    (folder / FORMS[1]).write_text(json.dumps({"weight_map": {**index["weight_map"], "more": shard}}))
    with pytest.raises(WeightsError, match=f"{shard} lacks more"):
        read_checkpoint(folder)
    (folder / FORMS[1]).write_text(json.dumps(index))
    (folder / shard).unlink()
    with pytest.raises(WeightsError, match=rf"holds no {shard}, which model\.safetensors\.index\.json names"):
        read_checkpoint(folder)
    (folder / FORMS[1]).write_text("[]")
    with pytest.raises(WeightsError, match="must hold an object"):
        read_checkpoint(folder)
    (folder / FORMS[1]).write_text("{}")
    with pytest.raises(WeightsError, match="has no `weight_map`"):
        read_checkpoint(folder)


def test_a_folder_without_tensors_says_which_files_are_looked_for(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        WeightsError, match=r"holds none of model\.safetensors, pytorch_model\.bin, nor an index"
    ):
        read_checkpoint(tmp_path)


def test_a_folder_that_needs_code_of_its_own_is_refused(tmp_path):
    code = {"model_type": "own", "auto_map": {"AutoModel": "modeling_own.OwnModel"}}
    folder = foreign(tmp_path / "own", config=code)
    with pytest.raises(WeightsError, match="never run"):
        read_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"auto_map: 'modeling_own\.OwnModel'.*never run"):
        segzoo.load(folder)


@pytest.mark.slow
def test_a_file_is_converted_once_and_that_is_said_in_one_line(file, caplog):
    with caplog.at_level(logging.WARNING):
        assert same(segzoo.load(file))
        first = [record.getMessage() for record in caplog.records]
        assert same(segzoo.load(str(file)))
        assert same(segzoo.load(f"local-dir:{file}"))
        assert same(segzoo.create(str(file)))
    assert len(caplog.records) == len(first)
    assert first[0].startswith(f"{file}: converted by layout segzoo-carvana:milesial to {cache.home()}")
    assert [item.name for item in inventory.items()] == [str(file)]


@pytest.mark.slow
def test_a_copy_of_a_file_is_not_converted_again_and_another_file_is(file, tmp_path):
    segzoo.load(file)
    shutil.copy(file, tmp_path / "cars (1).pth")
    segzoo.load(tmp_path / "cars (1).pth")
    torch.save({name: 2 * one for name, one in TENSORS.items()}, file)
    assert not same(segzoo.load(file))
    assert len(inventory.items()) == 3


@pytest.mark.medium
def test_a_file_that_is_written_to_while_it_is_converted_is_not_kept(file, monkeypatch):
    def convert_and_write(path, *args, **kwargs):
        torch.save({name: 2 * one for name, one in TENSORS.items()}, file)
        return conversion.convert(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(converted, "_convert_alone", lambda path, part, **_: convert_and_write(path, part))
        with pytest.raises(WeightsError, match=r"cars\.pth changed during the conversion: try again"):
            segzoo.load(file)
    assert not inventory.items()
    assert not same(segzoo.load(file))


@pytest.mark.medium
def test_another_version_of_a_library_converts_again(file, monkeypatch):
    versions = {"transformers": "4.57.0"}
    monkeypatch.setattr("importlib.metadata.version", versions.get)
    segzoo.load(file)
    versions["transformers"] = "5.24.0"
    segzoo.load(file)
    assert len(list((cache.home() / "folders").iterdir())) == 2


@pytest.mark.medium
@pytest.mark.parametrize("form", FORMS)
def test_a_folder_of_a_library_is_a_model(form, tmp_path):
    folder = foreign(tmp_path / "streets", form=form)
    assert same(segzoo.load(folder))
    assert same(segzoo.load(f"local-dir:{folder}"))
    (folder / "preprocessor_config.json").write_text("{}")
    segzoo.load(folder)
    assert len(inventory.items()) == 2  # what images become is part of the model


@pytest.mark.slow
@pytest.mark.parametrize("word", ["{file}", "local-dir:{file}", "local-dir:{folder}", "{folder}"])
def test_predict_takes_files_and_folders_of_other_programs(word, file, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    folder = foreign(tmp_path / "streets")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "x.png")
    model = word.format(file=file, folder=folder)
    assert run(["predict", str(tmp_path / "x.png"), "--model", model, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "x_mask.png").is_file()
    assert run(["info", model]) == 0
    assert sum("converted by layout" in line for line in caplog.messages) == 1


@pytest.mark.slow
def test_what_a_file_does_not_say_is_asked_for_with_the_command_that_says_it(tmp_path):
    file = FOLDER / "lightning_smp_unet.ckpt"
    told = r"input_range=255[^`]*\n.*`segzoo convert .*smp_unet\.ckpt --out FOLDER --option KEY=VALUE`"
    with pytest.raises(WeightsError, match=told):
        segzoo.load(file)
    command = ["convert", str(file), "--out", str(tmp_path / "out"), "--option", "input_range=1"]
    assert run(command) == 0
    assert segzoo.load(tmp_path / "out")(torch.rand(1, 3, 64, 96)).shape == (1, 3, 64, 96)
    assert not [item for item in inventory.items() if item.kind == "folder"]


def test_names_that_are_nothing_say_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="no folder or file has that name"):
        segzoo.load("cars.pth")
    with pytest.raises(WeightsError, match=r"there is no folder or file cars\.pth"):
        segzoo.load("local-dir:cars.pth")
    (tmp_path / "unet").write_text("no model")
    assert segzoo.create("unet", num_classes=2, width=2)
    with pytest.raises(WeightsError, match="there is no folder or file a"):
        segzoo.load(f"local-dir:{'a' * 5000}")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="is a pipe"):
        segzoo.load(tmp_path / "pipe")


def publish(hub, folder, *, repo=REPO):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    large = {name for name in files if name.endswith((".safetensors", ".bin"))}
    hub.repos.setdefault(repo, Repository()).large |= large
    return hub.repos[repo].commit({**files, "modeling.py": b"raise SystemExit"})


@pytest.mark.medium
@pytest.mark.parametrize("form", FORMS)
def test_a_repository_of_a_library_is_a_model(form, hub, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    commit = publish(hub, foreign(tmp_path / "streets", form=form))
    model = segzoo.load(f"hf-hub:{REPO}")
    assert same(model)
    assert model.segzoo_config.provenance["source"] == f"hf-hub:{REPO}@{commit}"
    assert "modeling.py" not in hub.fetched()
    told = [line for line in caplog.messages if line.startswith(f"hf-hub:{REPO}: converted by layout ")]
    assert len(told) == 1
    assert same(segzoo.create(f"hf-hub:{REPO}@{commit}"))


@pytest.mark.medium
def test_a_name_of_the_catalogue_stays_at_the_commit_of_its_first_use(hub, tmp_path):
    spec = WeightsSpec(name="streets", model="unet", classes=("a", "b"), hub=REPO)
    first = publish(hub, foreign(tmp_path / "first"))
    assert f"{REPO}@{first}" in read_config(folder_of(spec)).provenance["source"]
    doubled = {name: 2 * one for name, one in TENSORS.items()}
    publish(hub, foreign(tmp_path / "second", tensors=doubled))
    with pytest.warns(UserWarning, match="has moved"):
        segzoo.load(f"hf-hub:{REPO}")
    assert f"{REPO}@{first}" in read_config(folder_of(spec)).provenance["source"]


@pytest.mark.medium
def test_what_a_repository_lacks_is_asked_for_once(hub, tmp_path, monkeypatch):
    folder = foreign(tmp_path / "streets", form="pytorch_model.bin")
    (folder / "preprocessor_config.json").unlink()
    commit = publish(hub, folder)
    segzoo.load(f"hf-hub:{REPO}")
    asked = len(hub.requests)
    assert same(segzoo.load(f"hf-hub:{REPO}@{commit}"))
    assert len(hub.requests) == asked
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    assert same(segzoo.load(f"hf-hub:{REPO}"))


def test_offline_a_repository_that_is_not_cached_says_what_to_fetch(hub, tmp_path, monkeypatch):
    folder = foreign(tmp_path / "streets")
    publish(hub, folder)
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    with pytest.raises(FailureError, match="is not in the cache, and the network is switched off") as error:
        segzoo.load(f"hf-hub:{REPO}")
    for name in (*parts.BESIDE, *parts.TENSORS, parts.CONFIG, parts.INDEX):
        assert name in str(error.value)


@pytest.mark.medium
def test_a_file_of_a_repository_that_changes_on_disk_is_found(hub, tmp_path):
    publish(hub, foreign(tmp_path / "streets", form=FORMS[1]))
    segzoo.load(f"hf-hub:{REPO}")
    shard = next((tmp_path / "hf").rglob("*-00002-of-00002.safetensors"))
    tensors = {name: one + 1 for name, one in load_file(shard).items()}
    blob = shard.parent / shard.readlink()
    save_file(tensors, blob)
    with pytest.raises(WeightsError, match=r"00002-of-00002\.safetensors of .* hashes to"):
        segzoo.load(f"hf-hub:{REPO}")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"config.json": b'{"auto_map": {"AutoModel": "a.B"}}'}, "never run"),
        ({"config.json": b"{}"}, "holds none of"),
        ({"config.json": b'{"pretrained_cfg": {}}', "model.safetensors": b"large"}, "a timm network"),
        ({"config.json": b"[]"}, "holds no model.safetensors"),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "../b"}}'},
            "the name of a file",
        ),
        ({"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "b"}}'}, "holds no b"),
        ({"README.md": b"hello"}, r"holds no config\.json: repositories of segzoo, transformers"),
    ],
)
def test_a_repository_that_cannot_be_read_says_why(files, told, hub):
    hub.repos[REPO] = Repository()
    hub.repos[REPO].commit(files)
    with pytest.raises((WeightsError, FailureError), match=told):
        segzoo.load(f"hf-hub:{REPO}")


def test_a_repository_is_converted_with_what_a_person_knows_of_it(hub, tmp_path):
    publish(hub, foreign(tmp_path / "streets"))
    command = ["convert", f"hf-hub:{REPO}", "--out", str(tmp_path / "out"), "--option", "scale=0.25"]
    assert run(command) == 0
    assert segzoo.load(tmp_path / "out").segzoo_config.preprocessing.resize.scale == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformers_segformer_tiny", "smp_unet_resnet34"])
def test_logits_of_a_repository_are_its_librarys(name, hub, tmp_path):
    golden = LibraryGolden(name)
    publish(hub, golden.write(tmp_path))
    model = segzoo.load(f"hf-hub:{REPO}")
    with torch.inference_mode():
        assert golden.error(model(golden.images)) <= golden.tolerance
    assert (
        segzoo.create(f"hf-hub:{REPO}", num_classes=7, weights=None)(torch.rand(1, 3, 32, 32)).shape[1] == 7
    )


def test_the_option_of_a_layout_is_not_an_option_of_load(file):
    with pytest.raises((OptionError, TypeError)):
        segzoo.load(file, scale=0.5)
