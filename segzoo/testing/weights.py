"""The contract of weights: an entry is complete, and what it declares can be built. Fetches nothing."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from segzoo import zoo
from segzoo.errors import PluginError
from segzoo.specs import WeightsSpec
from segzoo.testing.promises import Checked, described, promise, seeded
from segzoo.weights.converted import declared, owner_of
from segzoo.weights.encoders import empty_encoder
from segzoo.weights.folder import TENSORS, empty, fill, read_config
from segzoo.weights.sources import in_package

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_weights(weights: str | WeightsSpec) -> None:
    """Check an entry of the catalogue of weights.

    It says what they are, what they were trained on and under which licence; where they come from, with a
    hash, a commit or at least a size; their classes and preprocessing; the network that it declares can be
    built without a network connection; and a folder that ships in the package holds that network's tensors.

    Args:
        weights: their name, or their spec where no plug-in registers it yet.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(weights, WeightsSpec)).keep()


class _Subject(Checked[WeightsSpec], of="weights"):
    """Weights under check."""

    def __init__(self, spec: WeightsSpec) -> None:
        super().__init__(spec)
        self.absent = () if spec.folder else ("folder",)

    def described(self) -> None:
        spec, what = self.spec, self.what
        wanted = ["summary", "data", "licence", *(["homepage"] if spec.url else [])]
        missing = [name for name in wanted if not getattr(spec, name)]
        promise(
            not missing,
            f"{what}: the spec lacks {', '.join(missing)}; people must know what they are, what they were "
            "trained on, under which terms and where to read on; where nothing is stated, say that",
        )

    def source(self) -> None:
        spec, what = self.spec, self.what
        promise(
            not spec.url or spec.url.startswith("https://"),
            f"{what}: {spec.url} is not https, so anybody on the way can change the file",
        )
        promise(
            not spec.url or bool(spec.sha256 or spec.bytes),
            f"{what}: of the file at {spec.url} neither sha256 nor bytes is given; say its hash, or where "
            "nobody publishes one its size, and it is pinned at first use",
        )

    def labels(self) -> None:
        spec, what = self.spec, self.what
        if not spec.classes:
            promise(spec.labels is None, f"{what}: weights of an encoder have no classes, but labels")
            return
        if spec.labels is not None:
            promise(
                spec.labels.classes == spec.classes,
                f"{what}: classes are {spec.classes}, those of labels {spec.labels.classes}",
            )
        logits = spec.class_logits
        promise(
            max(logits, 2) == len(spec.classes),
            f"{what}: num_classes={spec.num_classes} logits tell {max(logits, 2)} classes apart, "
            f"{len(spec.classes)} are named",
        )

    def preprocessing(self) -> None:
        spec, what = self.spec, self.what
        known = spec.preprocessing is not None or bool(spec.layout) or bool(spec.folder) or bool(spec.hub)
        promise(
            known,
            f"{what}: nothing says what becomes of an image before the network; give preprocessing, or the "
            "layout that knows it",
        )
        if spec.preprocessing is not None and spec.preprocessing.channels != "any":
            channels = 1 if spec.preprocessing.channels == "grey" else 3
            promise(
                spec.in_channels == channels and len(spec.preprocessing.mean) in (1, channels),
                f"{what}: in_channels={spec.in_channels}, but its preprocessing makes {channels} channels of "
                f"{spec.preprocessing.channels!r} with means {spec.preprocessing.mean}",
            )
        promise(
            not spec.layout or spec.layout in zoo.registry("layouts"),
            f"{what}: no plug-in that is loaded has its layout {spec.layout!r}",
        )

    def network(self) -> None:
        spec, what = self.spec, self.what
        with no_network(what):
            if not spec.classes:
                encoder = zoo.registry("encoders").meant(spec.model, owner_of(spec))
                empty_encoder(encoder, in_channels=spec.in_channels, options=spec.encoder)
                return
            made: Any = empty(declared(spec))
        found = made.segzoo_config.labels.classes
        promise(found == spec.classes, f"{what}: its network has classes {found}, not {spec.classes}")

    def folder(self) -> None:
        spec, what = self.spec, self.what
        with no_network(what):
            folder = in_package(spec)
            config = read_config(folder)
            model = empty(config)
            fill(model, folder / TENSORS)
        promise(
            config.labels.classes == spec.classes,
            f"{what}: the folder's classes are {config.labels.classes}, the spec's {spec.classes}",
        )
        promise(
            config.licence == spec.licence,
            f"{what}: the folder says licence {config.licence!r}, the spec {spec.licence!r}",
        )
        promise(
            config.separator == spec.separator,
            f"{what}: the folder's separator is {config.separator}, the spec's {spec.separator}",
        )
        with torch.no_grad():
            logits = model.eval()(seeded(1, config.architecture.in_channels, 33, 47))
        promise(
            tuple(logits.shape) == (1, config.architecture.num_classes, 33, 47)
            and bool(logits.isfinite().all()),
            f"{what}: of an image of 33x47 its logits are {tuple(logits.shape)}, or not finite",
        )


@contextmanager
def no_network(what: str) -> Iterator[None]:
    """Raise `PluginError` where anything connects to another machine."""

    def refuse(_: Any, address: object, *__: Any) -> None:
        raise PluginError(f"{what}: it connects to {address}; describe and build without a network")

    with patch.object(socket.socket, "connect", refuse), patch.object(socket.socket, "connect_ex", refuse):
        yield
