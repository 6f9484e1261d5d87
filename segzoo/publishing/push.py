"""``segzoo.push``: uploads a model and its card to the Hugging Face Hub, through its own client."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import __version__
from segzoo.errors import UsageError
from segzoo.http import refuse_offline
from segzoo.publishing.card import model_card
from segzoo.weights import cache
from segzoo.weights.folder import read_config, save
from segzoo.weights.hub import CONFIG, TENSORS, Place, endpoint, parse, told
from segzoo.weights.loading import load
from segzoo.weights.sources import locate

if TYPE_CHECKING:
    import os

    from torch import nn

_CARD = "README.md"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Published:
    """The result of a push to the Hub.

    Attributes:
        repo: ``org/name``.
        commit: commit of the upload; 40 digits.
        sha256: hash of ``model.safetensors``.
        url: address of the repository.
    """

    repo: str
    commit: str
    sha256: str
    url: str

    @property
    def source(self) -> str:
        """The name with which `segzoo.load` loads exactly this version."""
        return f"hf-hub:{self.repo}@{self.commit}"


def push(
    model: nn.Module | str | os.PathLike[str],
    repo: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    sample: str | os.PathLike[str] | None = None,
    message: str = "",
    token: str | None = None,
) -> Published:
    """Upload a model: ``model.safetensors``, ``config.json`` and a card generated from the config.

    If the folder has a ``README.md``, that is the card. No other file of a folder is uploaded.

    Args:
        model: model made by `segzoo.create` or `segzoo.load`, or a folder or name of weights.
        repo: ``org/name``; created if it is missing.
        revision: branch, created if it is missing; the repository's main branch if ``None``.
        private: whether a new repository is private; if ``None``, its owner's default applies.
        sample: picture to show on the card.
        message: message of the commit.
        token: token with write access; if ``None``, that of ``hf auth login`` or ``HF_TOKEN``.

    Raises:
        UsageError: ``repo`` is not ``org/name``, the sample is not a picture, or segzoo did not make the
          model.
        WeightsError: the folder is damaged; nothing was uploaded.
        FailureError: the Hub refuses or cannot be reached, or the network is switched off; the message says
            what to do.
    """
    place = parse(repo)
    if "@" in repo:
        raise UsageError(f"{repo!r}: pass the branch to push to as revision={place.revision!r}")
    refuse_offline(f"nothing was pushed to {place.repo}")
    picture = _picture(sample)
    with tempfile.TemporaryDirectory(prefix="segzoo-push-") as scratch:
        folder = _folder(model, Path(scratch))
        files = {TENSORS: folder / TENSORS, CONFIG: folder / CONFIG}
        if picture:
            files[f"sample{picture.suffix.lower()}"] = picture
        sha256 = cache.sha256_of(files[TENSORS])
        card = folder / _CARD
        if not card.is_file():
            shown = next((name for name in files if name.startswith("sample.")), "")
            card = Path(scratch) / _CARD
            text = model_card(read_config(folder), repo=place.repo, sha256=sha256, sample=shown)
            card.write_text(text, encoding="utf-8")
        files[_CARD] = card
        return _upload(place.repo, files, sha256, revision, private, message, token)


def _upload(
    repo: str,
    files: dict[str, Path],
    sha256: str,
    revision: str | None,
    private: bool | None,
    message: str,
    token: str | None,
) -> Published:
    from huggingface_hub import CommitOperationAdd, HfApi

    api: Any = HfApi(endpoint=endpoint(), token=token, library_name="segzoo", library_version=__version__)
    with told(Place(repo, revision or "main"), "the upload", writes=True):
        url = api.create_repo(repo, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo,
            operations=[CommitOperationAdd(name, str(path)) for name, path in files.items()],
            commit_message=message or f"Upload a model with segzoo {__version__}",
            revision=revision,
        )
    return Published(repo, commit.oid, sha256, str(url))


def _folder(model: Any, scratch: Path) -> Path:
    """Return a folder that holds the model; a given folder must load, so that no damaged one is published."""
    if isinstance(model, str) or hasattr(model, "__fspath__"):
        folder = locate(model)
        load(folder)
        return folder
    target = scratch / "model"
    try:
        return save(model, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _picture(sample: str | os.PathLike[str] | None) -> Path | None:
    if sample is None:
        return None
    path = Path(sample)
    if path.suffix.lower() not in _PICTURES or not path.is_file():
        ends = ", ".join(_PICTURES)
        raise UsageError(f"{sample} is not a picture for a card: use a file that ends in {ends}")
    return path
