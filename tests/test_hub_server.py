"""The Hugging Face Hub through its own client, against a small one on loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
import torch
from goldens.libraries import LibraryGolden
from hub_server import TOKEN, Hub, Repository, serving_hub

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, SegzooError, UnknownNameError, UsageError, WeightsError
from segzoo.http import Policy
from segzoo.specs import Labels, WeightsSpec
from segzoo.weights import cache, hub
from segzoo.weights.folder import read_config
from segzoo.weights.sources import folder_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "tiny/unet"
#: Of clients that segzoo works with too, but not against an address that is given so late.
late_address = pytest.mark.skipif(
    int(huggingface_hub.__version__.partition(".")[0]) < 2,
    reason="before 2.0 the client reads HF_ENDPOINT when it is imported, and continues no broken fetch",
)


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("SEGZOO_HOME", str(tmp_path / "segzoo"))
        for variable in ("HF_HUB_OFFLINE", "SEGZOO_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(variable, raising=False)
        # The client reads this variable when it is imported; a plain server knows no Xet.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        # The client waits seconds between its attempts.
        monkeypatch.setattr("time.sleep", lambda _: None)
        yield state


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=2, depth=2).eval()


@pytest.fixture
def folder(model: torch.nn.Module, tmp_path: Path) -> Path:
    return segzoo.save(model, tmp_path / "model")


def _publish(server: Hub, folder: Path, **more: bytes) -> str:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repo = server.repos.setdefault(REPO, Repository(large={"model.safetensors"}))
    return repo.commit({**files, **more})


def _logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.linspace(0, 1, 3 * 8 * 9).reshape(1, 3, 8, 9))


@late_address
def test_what_is_pushed_is_loaded_back_with_the_same_logits(server: Hub, model: torch.nn.Module) -> None:
    done = segzoo.push(model, REPO)
    assert done.commit == server.repos[REPO].branches["main"]
    loaded = segzoo.load(done.source)
    assert torch.equal(_logits(loaded), _logits(model))
    assert set(server.repos[REPO].commits[done.commit]) == {"README.md", "config.json", "model.safetensors"}
    card = server.repos[REPO].commits[done.commit]["README.md"].decode()
    assert card.startswith("---\n")
    assert f'segzoo.load("hf-hub:{REPO}")' in card
    assert done.sha256 in card


@late_address
def test_a_folder_is_pushed_by_the_command_to_a_branch_with_a_sample(
    server: Hub, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mask.png").write_bytes(b"\x89PNG")
    (folder / "secrets.txt").write_text("not for the Hub")
    arguments = ["push", str(folder), REPO, "--revision", "v1", "--private"]
    assert run([*arguments, "--sample", str(tmp_path / "mask.png")]) == 0
    repo = server.repos[REPO]
    assert repo.private
    assert set(repo.commits[repo.branches["v1"]]) == {
        *("README.md", "config.json", "model.safetensors", "sample.png"),
    }
    assert repo.commits[repo.branches["main"]] == {}
    assert f"hf-hub:{REPO}@{repo.branches['v1']}" in capsys.readouterr().out


@late_address
def test_a_model_is_pushed_and_loaded_by_the_names_that_hub_users_know(
    server: Hub, model: torch.nn.Module, tmp_path: Path
) -> None:
    assert isinstance(model, segzoo.SegmentationModel)
    (tmp_path / "nuclei.png").write_bytes(b"\x89PNG")
    done = model.push_to_hub(
        REPO, commit_message="first", private=True, branch="v1", sample=tmp_path / "nuclei.png"
    )
    repo = server.repos[REPO]
    assert repo.private
    assert done.commit == repo.branches["v1"]
    assert b"src: sample.png" in repo.commits[done.commit]["README.md"]
    loaded = segzoo.SegmentationModel.from_pretrained(REPO, revision="v1")
    assert not loaded.training
    assert loaded.segzoo_config == model.segzoo_config
    assert torch.equal(_logits(loaded), _logits(model))
    assert type(segzoo.Segmenter.from_pretrained(f"hf-hub:{REPO}@v1")) is segzoo.Segmenter
    with pytest.raises(UsageError, match="is a Segmenter, not a Adapted"):
        segzoo.Adapted.from_pretrained(f"{REPO}@v1")


@late_address
def test_a_model_is_saved_and_pushed_in_one_call(server: Hub, model: torch.nn.Module, tmp_path: Path) -> None:
    assert isinstance(model, segzoo.SegmentationModel)
    done = model.save_pretrained(tmp_path / "mine", push_to_hub=True, repo_id=REPO)
    assert done is not None
    assert set(server.repos[REPO].commits[done.commit]) == {"README.md", "config.json", "model.safetensors"}


def test_a_saved_model_is_loaded_from_its_folder_and_not_from_the_hub(
    server: Hub, model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(model, segzoo.SegmentationModel)
    monkeypatch.chdir(tmp_path)
    assert model.save_pretrained(REPO) is None
    for place in (REPO, tmp_path / REPO):
        assert torch.equal(_logits(segzoo.SegmentationModel.from_pretrained(place)), _logits(model))
    with pytest.raises(UsageError, match="is no repository on the Hub, so it has no revision 'v1'"):
        segzoo.SegmentationModel.from_pretrained(REPO, revision="v1")
    with pytest.raises(UsageError, match="repo_id, private would upload the model: pass push_to_hub=True"):
        model.save_pretrained("other", repo_id=REPO, private=True)
    with pytest.raises(UsageError, match="needs the repository: pass repo_id="):
        model.save_pretrained("other", push_to_hub=True)
    assert not server.requests


@late_address
def test_a_folders_own_card_is_kept(server: Hub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\nmine\n")
    done = segzoo.push(folder, REPO)
    assert server.repos[REPO].commits[done.commit]["README.md"].endswith(b"mine\n")


def test_a_damaged_folder_is_not_pushed(server: Hub, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"?" * 100)
    with pytest.raises(WeightsError):
        segzoo.push(folder, REPO)
    assert not server.requests


def test_pushing_without_the_right_token_says_how_to_get_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(FailureError, match=r"HTTP 403.*token may not write"):
        segzoo.push(folder, REPO)


@late_address
@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"status": 401}, r"HTTP 401 .*hf auth login"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, r"HTTP 429 .*wait 3600 s"),
        ({"status": 500}, r"HTTP 500 .*the Hub has an error"),
        ({"portal": True}, r"is not a Hugging Face Hub: a login page"),
        ({"circle": True}, r"redirects without end"),
        ({"gone": True}, r"could not be reached, or the connection was lost"),
    ],
)
def test_a_push_that_fails_says_what_the_hub_answered(
    server: Hub, folder: Path, trouble: dict[str, Any], told: str
) -> None:
    for name, value in trouble.items():
        setattr(server, name, value)
    with pytest.raises(FailureError, match=rf"{REPO}@main: the upload: .*{told}"):
        segzoo.push(folder, REPO)


@pytest.mark.parametrize("repo", ["unet", "a/b/c", "../x/y", "a/b@main", "hf-hub:", "a b/c"])
def test_only_org_and_name_are_pushed_to(folder: Path, repo: str) -> None:
    with pytest.raises(UsageError, match=r"repository|revision="):
        segzoo.push(folder, repo)


def test_only_config_and_weights_are_ever_fetched(server: Hub, folder: Path) -> None:
    _publish(server, folder, **{"hubconf.py": b"raise SystemExit", "pytorch_model.bin": b"cos\nsystem\n"})
    segzoo.load(f"hf-hub:{REPO}")
    assert server.fetched() == {"config.json", "model.safetensors"}


def test_the_architecture_alone_fetches_the_config_alone(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    segzoo.create(f"hf-hub:{REPO}", weights=None)
    assert server.fetched() == {"config.json"}


def test_weights_of_the_hub_fill_a_network_that_is_made_otherwise(
    server: Hub, folder: Path, model: torch.nn.Module
) -> None:
    _publish(server, folder)
    made = segzoo.create("unet", num_classes=2, width=2, depth=2, weights=f"hf-hub:{REPO}")
    assert torch.equal(_logits(made), _logits(model))


def test_a_corrupt_file_of_the_right_size_is_found_and_removed(server: Hub, folder: Path) -> None:
    commit = _publish(server, folder)
    for file in ("model.safetensors", "config.json"):
        server.corrupt = {file}
        with pytest.raises(
            WeightsError, match=rf"{file} of hf-hub:{REPO}@{commit} hashes to .* but the Hub expects"
        ):
            segzoo.load(f"hf-hub:{REPO}")
        server.corrupt = set()
        assert segzoo.load(f"hf-hub:{REPO}")
        shutil.rmtree(os.environ["HF_HOME"])


def test_a_truncated_file_is_refused(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    server.truncated = {"model.safetensors": 300}
    with pytest.raises(FailureError, match="truncated"):
        segzoo.load(f"hf-hub:{REPO}")
    server.truncated = {}
    assert segzoo.load(f"hf-hub:{REPO}")


def test_a_server_that_goes_away_midway_is_one_clear_message(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    server.cut, server.leaves = {"model.safetensors": 300}, True
    with pytest.raises(FailureError, match=r"model.safetensors.*(could not be reached|cannot be reached)"):
        segzoo.load(f"hf-hub:{REPO}")


@late_address
def test_a_connection_that_breaks_once_is_continued_by_the_client(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    server.cut, server.cut_once = {"model.safetensors": 300}, True
    assert segzoo.load(f"hf-hub:{REPO}")
    assert sum("/cdn/" in line for line in server.requests) == 2


def test_a_branch_that_moves_is_told_and_both_files_are_of_one_commit(server: Hub, folder: Path) -> None:
    first = _publish(server, folder)
    segzoo.load(f"hf-hub:{REPO}@main")
    config = json.loads((folder / "config.json").read_text())
    config["licence"] = "MIT"
    (folder / "config.json").write_text(json.dumps(config))
    second = _publish(server, folder)
    with pytest.warns(UserWarning, match=f"main has moved from {first} to {second}"):
        segzoo.load(f"hf-hub:{REPO}@main")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segzoo.load(f"hf-hub:{REPO}@main")
        segzoo.load(f"hf-hub:{REPO}@{first}")


def test_a_branch_that_moves_between_two_files_changes_neither(
    server: Hub, folder: Path, tmp_path: Path
) -> None:
    first = _publish(server, folder)
    other = segzoo.save(segzoo.create("unet", num_classes=5, width=2, depth=2), tmp_path / "other")

    def move(path: str) -> None:
        if path == "model.safetensors" and server.repos[REPO].branches["main"] == first:
            _publish(server, other)

    server.before_resolve = move
    loaded = segzoo.load(f"hf-hub:{REPO}")
    assert loaded.segzoo_config.architecture.num_classes == 2
    assert server.repos[REPO].branches["main"] != first


def test_the_catalogue_pins_commit_and_hash(server: Hub, folder: Path) -> None:
    commit = _publish(server, folder)
    spec = WeightsSpec(
        name="tiny", hub=f"{REPO}@{commit}", sha256="0" * 64, model="unet", classes=("background", "thing")
    )
    with pytest.raises(WeightsError, match=r"tiny: model.safetensors.*the catalogue says 0000"):
        folder_of(spec)
    _publish(server, folder, **{"config.json": b"{}"})
    true = cache.sha256_of(folder / "model.safetensors")
    found = folder_of(WeightsSpec(name="tiny", hub=spec.hub, sha256=true, model="unet", classes=("a", "b")))
    assert (found / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_the_catalogue_stays_with_the_commit_that_it_first_got(
    server: Hub, folder: Path, tmp_path: Path
) -> None:
    first = _publish(server, folder)
    spec = WeightsSpec(name="tiny", hub=REPO, model="unet", classes=("background", "thing"))
    found = folder_of(spec)
    assert found.name == first
    other = segzoo.save(segzoo.create("unet", num_classes=5, width=2, depth=2), tmp_path / "other")
    _publish(server, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folder_of(spec) == found


@pytest.mark.medium
def test_the_catalogue_says_of_another_library_s_repository_what_that_does_not(
    server: Hub, tmp_path: Path
) -> None:
    golden = LibraryGolden("transformers_segformer_tiny")
    commit = _publish(server, golden.write(tmp_path))
    labels = Labels(
        classes=("road", "sky", "tree", "car", "person"),
        palette=((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12), (13, 14, 15)),
        background=None,
    )
    spec = WeightsSpec(
        name="tiny-streets",
        hub=REPO,
        model="transformers",
        classes=labels.classes,
        labels=labels,
        licence="not for commercial use",
        claimed="everything",
    )
    config = read_config(folder_of(spec))
    assert config.labels == labels
    assert config.licence == "not for commercial use"
    assert config.provenance["claimed"] == "everything"
    assert config.provenance["source"] == f"hf-hub:{REPO}@{commit}"
    assert config.preprocessing.resize is not None  # as preprocessor_config.json says
    wrong = WeightsSpec(name="tiny-two", hub=REPO, model="unet", classes=("a", "b"))
    with pytest.raises(SegzooError, match="5"):
        folder_of(wrong)


def test_a_branch_cannot_be_pinned_in_the_catalogue() -> None:
    with pytest.raises(UsageError, match="a branch may move"):
        WeightsSpec(name="tiny", hub="tiny/unet@main", model="unet", classes=("a", "b"))


def test_a_file_that_changes_in_the_clients_cache_is_found(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    loaded = hub.folder(f"hf-hub:{REPO}")
    tensors = loaded / "model.safetensors"
    content = tensors.read_bytes()
    real = tensors.resolve()
    tensors.unlink()
    # As on systems without links, where the file's name says nothing of its contents.
    tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="when first loaded it was"):
        hub.folder(f"hf-hub:{REPO}")
    assert real.exists()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"revisions": [], "files": 3}'])
def test_a_damaged_record_is_an_error_and_not_a_new_pin(server: Hub, folder: Path, damage: str) -> None:
    _publish(server, folder)
    hub.folder(f"hf-hub:{REPO}")
    (cache.home() / "hub" / "tiny--unet.json").write_text(damage)
    with pytest.raises(WeightsError, match=r"tiny--unet\.json.*delete it"):
        hub.folder(f"hf-hub:{REPO}")


@pytest.mark.medium
def test_a_record_of_another_repository_is_refused(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    hub.folder(f"hf-hub:{REPO}")
    record = cache.home() / "hub" / "tiny--unet.json"
    record.write_text(record.read_text().replace(REPO, "other/unet"))
    with pytest.raises(WeightsError, match=r"record of 'other/unet', not of 'tiny/unet': delete it"):
        hub.folder(f"hf-hub:{REPO}")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "SEGZOO_OFFLINE"])
def test_offline_loads_what_is_cached_and_else_says_what_to_fetch_by_hand(
    server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    _publish(server, folder)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(FailureError, match=r"switched off(.|\n)*tiny/unet/tree/main(.|\n)*local-dir:FOLDER"):
        segzoo.load(f"hf-hub:{REPO}")
    monkeypatch.delenv(variable)
    segzoo.load(f"hf-hub:{REPO}")
    asked = len(server.requests)
    monkeypatch.setenv(variable, "1")
    assert segzoo.load(f"hf-hub:{REPO}")
    assert len(server.requests) == asked


@late_address
def test_a_hub_that_is_not_there_says_what_to_fetch_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FailureError, match="cannot be reached"):
        segzoo.load(f"hf-hub:{REPO}")


def test_a_missing_repository_a_gated_one_and_a_missing_branch_are_told_apart(
    server: Hub, folder: Path
) -> None:
    with pytest.raises(FailureError, match=r"no such repository.*hf auth login"):
        segzoo.load("hf-hub:tiny/other")
    _publish(server, folder)
    with pytest.raises(FailureError, match="no branch, tag or commit"):
        segzoo.load(f"hf-hub:{REPO}@v9")
    server.repos["tiny/else"] = Repository()
    server.repos["tiny/else"].commit({"README.md": b"nothing"})
    with pytest.raises(FailureError, match=r"holds no config\.json: repositories of segzoo, transformers"):
        segzoo.load("hf-hub:tiny/else")


def test_a_gated_repository_says_how_to_get_in(
    server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(server, folder)
    server.repos[REPO].gated = True
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(FailureError, match="is gated: ask for access"):
        segzoo.load(f"hf-hub:{REPO}")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "hf auth login"),
        (403, "may be gated"),
        (404, "check the spelling"),
        (410, "the Hub refuses"),
        (429, "Try again later"),
        (500, "Try again later"),
        (502, "Try again later"),
        (503, "Try again later"),
    ],
)
def test_a_hub_that_refuses_is_told_with_its_status_its_address_and_what_to_do(
    server: Hub, folder: Path, status: int, advice: str
) -> None:
    _publish(server, folder)
    server.status = status
    with pytest.raises(FailureError, match=rf"HTTP {status} [A-Z](.|\n)*{advice}") as caught:
        segzoo.load(f"hf-hub:{REPO}")
    assert f"{server.url}/{REPO}" in str(caught.value)
    assert "reached" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_hub_that_wants_an_hour_is_asked_once_and_told(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    server.status, server.headers = 429, {"Retry-After": "3600"}
    with pytest.raises(FailureError, match=r"HTTP 429.*wait for 3600 s\. Try again then"):
        segzoo.load(f"hf-hub:{REPO}")
    assert len(server.requests) == 1


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    server.status, server.headers = 503, {"Retry-After": "0"}

    def better(_: float) -> None:
        server.status = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", better)
        assert segzoo.load(f"hf-hub:{REPO}")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [("portal", "is not a Hugging Face Hub: a login page"), ("circle", "redirects without end")],
)
def test_a_login_page_and_a_circle_of_redirections_are_told_as_such(
    server: Hub, folder: Path, trouble: str, told: str
) -> None:
    _publish(server, folder)
    setattr(server, trouble, True)
    with pytest.raises(FailureError, match=told):
        segzoo.load(f"hf-hub:{REPO}")


@late_address
def test_a_hub_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_POLICY", Policy(attempts=2, pause=0.001, timeout=0.1))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(FailureError, match="did not answer in time, 2 times in a row"):
            segzoo.load(f"hf-hub:{REPO}")


def test_what_is_cached_needs_no_hub_that_works(server: Hub, folder: Path) -> None:
    _publish(server, folder)
    segzoo.load(f"hf-hub:{REPO}")
    server.status = 503
    assert segzoo.load(f"hf-hub:{REPO}")


def test_an_address_of_a_hub_that_is_none_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(UsageError, match=r"HF_ENDPOINT=huggingface\.co"):
        segzoo.load(f"hf-hub:{REPO}")


def test_a_config_with_unknown_keys_is_refused(server: Hub, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    _publish(server, folder, **{"config.json": json.dumps({**config, "auto_map": "x.py"}).encode()})
    with pytest.raises(WeightsError, match="unknown key 'auto_map'"):
        segzoo.load(f"hf-hub:{REPO}")


def test_an_architecture_of_a_missing_plugin_names_the_package_to_install(server: Hub, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["architecture"].update(name="segzoo-far:net", requires={"segzoo-far": "2.0"})
    _publish(server, folder, **{"config.json": json.dumps(config).encode()})
    with pytest.raises(UnknownNameError, match=r"pip install 'segzoo-far>=2\.0'"):
        segzoo.load(f"hf-hub:{REPO}")


@pytest.mark.slow
def test_a_process_with_the_environment_alone_pushes_and_loads(server: Hub, folder: Path) -> None:
    code = (
        "import sys, segzoo\n"
        "done = segzoo.push(sys.argv[1], 'tiny/unet')\n"
        "print(segzoo.load(done.source).segzoo_config.architecture.name)"
    )
    told = {**os.environ, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=told, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("segzoo:unet")
    assert server.repos[REPO]
