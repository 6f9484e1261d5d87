"""``segzoo.push``: a model and its card to the Hugging Face Hub, by its own client."""

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
    """What a push left on the Hub.

    Attributes:
        repo: ``org/name``.
        commit: of the upload; 40 digits.
        sha256: of ``model.safetensors``.
        url: of the repository.
    """

    repo: str
    commit: str
    sha256: str
    url: str

    @property
    def source(self) -> str:
        """What `segzoo.load` is told to get exactly this."""
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
    """Upload a model: ``model.safetensors``, ``config.json`` and a card that is written from it.

    A folder's own ``README.md`` is kept as the card. Nothing else of a folder is uploaded.

    Args:
        model: made by `segzoo.create` or `segzoo.load`, or a folder or name of weights.
        repo: ``org/name``; created where it is missing.
        revision: the branch, created where it is missing; the repository's main one where ``None``.
        private: whether a new repository is private; what its owner has chosen where ``None``.
        sample: a picture to show on the card.
        message: of the commit.
        token: to write with; the one of ``hf auth login`` or ``HF_TOKEN`` where ``None``.

    Raises:
        UsageError: ``repo`` is not ``org/name``, the sample is no picture, or segzoo did not make the model.
        WeightsError: the folder is damaged; nothing was uploaded.
        FailureError: the Hub refuses or goes away, or the network is switched off; the text says what to do.
    """
    place = parse(repo)
    if "@" in repo:
        raise UsageError(f"{repo!r}: say the branch to push to as revision={place.revision!r}")
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
    """Return a folder that holds the model; one that is given must load, lest a damaged one is published."""
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
        raise UsageError(f"{sample} is no picture for a card: give a file that ends in {ends}")
    return path
