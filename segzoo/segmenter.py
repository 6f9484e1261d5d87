"""Segmenter: encoder, decoder, head; images of any size in, logits of that size out.

An image whose size the network cannot take is continued by mirroring and the logits are cropped
back: to a multiple of the coarsest stride, or, for a network of valid convolutions, by the border
that it consumes (the overlap-tile strategy of Ronneberger et al., 2015, arXiv:1505.04597). A network
that handles odd sizes by itself is left to do so.
"""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks.pooling import pool_any_size
from segzoo.blocks.sizes import crop, is_symbolic, larger, mirror
from segzoo.config import ModelConfig
from segzoo.errors import UsageError
from segzoo.options import check_flags, check_positive

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from segzoo.publishing.push import Published

_HUB = "hf-hub:"


class SegmentationModel(nn.Module):
    """A model of segzoo: it takes images of every size, around a network that does not.

    `segzoo.create` and `segzoo.load` return one. It pads, resizes and crops; it knows how it was made and how
    it predicts; and it is saved, loaded and shared as models of huggingface-hub are.
    """

    #: How the model was made and how it predicts; `segzoo.create` and `segzoo.load` set it.
    segzoo_config: ModelConfig

    mirror = True

    #: Whether logits become float32 before they are resized, which engines ask of networks of fewer bits:
    #: they want float32 in the end, and small logits are converted sooner than large ones.
    float32_logits = False

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, revision: str | None = None) -> Self:
        """Load a model with its weights, in evaluation mode; the same as `segzoo.load`.

        Args:
            name: repository on the Hugging Face Hub (``org/name``), a folder that `save_pretrained` wrote, or
                anything else that `segzoo.load` takes. A path that exists is never taken for a repository.
            revision: branch, tag or commit of the repository; the main branch where ``None``.

        Raises:
            UsageError: a revision is given for what is no repository, or the model is of another class.
            FailureError: the Hub cannot be reached, or refuses; the message says what to do.
            WeightsError: a file is missing or damaged.
        """
        import segzoo

        source = name
        if isinstance(name, str) and _is_repository(name):
            source = f"{_HUB}{name.removeprefix(_HUB)}{f'@{revision}' if revision else ''}"
        elif revision is not None:
            raise UsageError(f"{name} is no repository on the Hub, so it has no revision {revision!r}")
        model = segzoo.load(source)
        if not isinstance(model, cls):
            raise UsageError(
                f"{name} is a {type(model).__name__}, not a {cls.__name__}: use segzoo.load, or "
                "segzoo.SegmentationModel.from_pretrained"
            )
        return model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **push: Any,
    ) -> Published | None:
        """Write the model into a folder, as `segzoo.save` does.

        Args:
            save_directory: folder, created where it is missing.
            push_to_hub: whether to upload the model as well.
            repo_id: repository to upload to, ``org/name``; needed if ``push_to_hub``.
            **push: other options of `push_to_hub`.

        Returns:
            What was uploaded, if anything was.

        Raises:
            UsageError: options of an upload are given without ``push_to_hub``, or there is no ``repo_id``.
            FailureError: the folder cannot be written, or the Hub refuses.
        """
        import segzoo

        if not push_to_hub and (repo_id is not None or push):
            told = ", ".join(["repo_id"] * (repo_id is not None) + list(push))
            raise UsageError(f"{told} would upload the model: pass push_to_hub=True as well")
        if push_to_hub and repo_id is None:
            raise UsageError("push_to_hub=True needs the repository: pass repo_id='org/name'")
        segzoo.save(self, save_directory)
        return None if repo_id is None else self.push_to_hub(repo_id, **push)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        sample: str | os.PathLike[str] | None = None,
    ) -> Published:
        """Upload the model and a card to the Hugging Face Hub, as `segzoo.push` does.

        Args:
            repo_id: repository, ``org/name``; created where it is missing.
            commit_message: message of the commit.
            private: whether a new repository is private; what its owner has chosen where ``None``.
            token: token with which to write; the one of ``hf auth login`` or ``HF_TOKEN`` where ``None``.
            branch: branch to upload to, created where it is missing; the main one where ``None``.
            sample: picture to show on the card.

        Returns:
            Repository, commit, hash and address of what was uploaded.

        Raises:
            UsageError: ``repo_id`` is not ``org/name``, or the sample is no picture.
            FailureError: the Hub refuses or cannot be reached; the message says what to do.
        """
        import segzoo

        return segzoo.push(
            self,
            repo_id,
            revision=branch,
            private=private,
            sample=sample,
            message=commit_message,
            token=token,
        )

    def _takes(
        self,
        *,
        multiple: int,
        coarsest: int,
        borders: tuple[int, ...] = (0, 0),
        resized: bool,
        align_corners: bool = False,
    ) -> None:
        """Set what the network takes, once its parts are there.

        Args:
            multiple: height and width of images must be multiples of this; 1 if every size is allowed.
            coarsest: stride of its coarsest map, of which there must be two pixels to learn from.
            borders: pixels of height (and width) that valid convolutions of encoder and decoder consume.
            resized: whether its logits may have another size than its images, to which they are then resized.
            align_corners: whether corners are aligned when logits are resized.
        """
        self._multiple, self._coarsest, self._borders = multiple, coarsest, borders
        self._resized, self._align_corners = resized, align_corners
        self._lone_value_fails = any(map(_norms_alone, self.modules()))

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return what ``repr`` says of the whole network before it lists its parts."""
        config: ModelConfig | None = getattr(self, "segzoo_config", None)
        name = f"{config.architecture.name}, " if config else ""
        count = sum(parameter.numel() for parameter in self.parameters())
        logits = self.num_logits
        return f"{name}{logits} logit{'s' if logits != 1 else ''}, {count:,} parameters"

    def _repr_html_(self) -> str:
        """Return what notebooks show: what the model is, what it expects, and what it reaches."""
        from segzoo.notebooks import model_html

        first = next(self.parameters())
        return model_html(
            type(self).__name__,
            parameters=sum(parameter.numel() for parameter in self.parameters()),
            logits=self.num_logits,
            stride=self._coarsest,
            where=f"{str(first.dtype).removeprefix('torch.')} on {first.device}",
            config=getattr(self, "segzoo_config", None),
        )

    def _pad(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if not self.mirror and any(self._borders):
            self._check_bare(height, width)
            return images
        wanted = self._wanted_sides(height, width)
        if not is_symbolic(height, width) and wanted == (height, width):
            return images
        # What valid convolutions eat goes before the first pixel, so that the logits begin there.
        before = sum(self._borders) // 2
        return mirror(images, *wanted, before, before)

    def _wanted_sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the least sides of an image that the network can take and give as many logits for."""
        return self._wanted(height), self._wanted(width)

    def _wanted(self, size: int) -> int:
        """Return the least size of an image that the network can take and give ``size`` logits for."""
        wanted: Any = size + sum(self._borders)
        # A batch norm cannot learn from a single value, nor a group norm normalise it, nor may a size
        # be 1 in an exported graph, where 1 would be another graph (a traced one takes it).
        exported = isinstance(size, torch.SymInt)
        pixels = 2 if self.training or self._lone_value_fails or exported else 1
        least = max(pixels * self._coarsest, self._multiple) + self._borders[0]
        if least > sum(self._borders) + 1:
            wanted = larger(wanted, least)
        # After the encoder's border, whole multiples are left; rounded up so that tracing sees the bounds.
        steps = (wanted - self._borders[0] + self._multiple - 1) // self._multiple
        return self._borders[0] + steps * self._multiple

    def _check_bare(self, height: int, width: int) -> None:
        if is_symbolic(height, width):
            return
        first, border = self._borders[0], sum(self._borders)
        least = border + 1 + (first - border - 1) % self._multiple
        if min(height, width) < least:
            raise UsageError(
                f"without mirroring this network needs images of {least}x{least} or larger, "
                f"got {height}x{width}: make it with mirror=True"
            )

    def _restore(self, logits: Tensor, images: Tensor, padded: Tensor) -> Tensor:
        if self._resized:
            logits = logits.float() if self.float32_logits else logits
            logits = F.interpolate(
                logits, padded.shape[-2:], mode="bilinear", align_corners=self._align_corners
            )
        return logits if padded is images else crop(logits, images.shape[-2], images.shape[-1], 0, 0)


def in_channels(network: nn.Module) -> int:
    """Return the number of channels of a network's input: from its config, else its first convolution."""
    config = getattr(network, "segzoo_config", None)
    if isinstance(config, ModelConfig):
        return config.architecture.in_channels
    return next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), 3)


def _is_repository(name: str) -> bool:
    """Whether a name is a repository of the Hub rather than a path or registered weights."""
    if name.startswith(_HUB):
        return True
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name) is None:
        return False
    return not os.path.exists(name)  # noqa: PTH110 (Path raises where a name is too long)


def _norms_alone(module: nn.Module) -> bool:
    """Whether a layer normalises each channel by itself, which needs more than one pixel."""
    grouped = isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels
    return grouped or isinstance(module, nn.InstanceNorm2d)


class Adapted(SegmentationModel):
    """A network of another library: images ``(N, C, H, W)`` of every size to logits of that size.

    Subclasses say in `logits` how the network is called.

    Args:
        network: the library's own module.
        num_classes: channels of its logits.
        multiple: height and width of images must be multiples of this; 1 if every size is allowed.
        coarsest: stride of its coarsest map; ``multiple`` where 0.
        align_corners: whether corners are aligned when logits are resized to the image.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        multiple: int = 1,
        coarsest: int = 0,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, multiple=multiple)
        pool_any_size(network)
        self.network, self._classes = network, num_classes
        self._takes(
            multiple=multiple, coarsest=coarsest or multiple, resized=True, align_corners=align_corners
        )

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        return self._classes

    @property
    def backbone(self) -> nn.Module | None:
        """The part from images to features, which training freezes or gives a rate of its own.

        ``None`` where the network has none that is called ``encoder``, ``backbone`` or ``base_model``.
        """
        found = (getattr(self.network, name, None) for name in ("encoder", "backbone", "base_model"))
        modules = (part for part in found if isinstance(part, nn.Module) and part is not self.network)
        return next(modules, None)

    def logits(self, images: Tensor) -> Tensor:
        """Return what the network makes of images of a size that it takes, ``(N, num_classes, h, w)``."""
        return self.network(images)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        padded = self._pad(images)
        return self._restore(self.logits(padded), images, padded)


class Segmenter(SegmentationModel):
    """An encoder, a decoder and a 1x1 head.

    Args:
        encoder: a module as `segzoo.interfaces.Encoder` describes.
        decoder: a module as `segzoo.interfaces.Decoder` describes, built for that encoder.
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid.
        mirror: whether a network of valid convolutions mirrors its image to give logits of the
            image's size; without, it is the bare network (572 in, 388 out).
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, num_classes: int, mirror: bool = True
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        parts = cast("Any", (encoder, decoder))
        self.encoder, self.decoder = encoder, decoder
        self.head = nn.Conv2d(parts[1].out_channels, num_classes, 1)
        self.side_heads = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 1) if channels else nn.Identity()
            for channels in getattr(decoder, "side_channels", ())
        )
        check_flags(mirror=mirror)
        self.mirror = mirror
        borders = tuple(map(border_of, parts))
        coarsest: int = getattr(encoder, "coarsest", parts[0].strides[-1])
        flexible = all(getattr(part, "any_size", False) for part in parts) and not any(borders)
        self._takes(
            multiple=1 if flexible else int(getattr(encoder, "multiple", coarsest)),
            coarsest=max(coarsest, getattr(decoder, "coarsest", 1)),
            borders=borders,
            # Without a skip at stride 1, a map of an odd image comes out a pixel too large or too small.
            resized=parts[1].stride > 1 or (flexible and parts[0].strides[0] > 1),
            align_corners=getattr(decoder, "align_corners", False),
        )

    @property
    def num_logits(self) -> int:
        """Channels of the logits."""
        return self.head.out_channels

    @property
    def side_weight(self) -> float | None:
        """Weight of each side head's loss where the head's is 1; ``None`` where the mean is taken."""
        return getattr(self.decoder, "side_weight", None)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``."""
        padded = self._pad(images)
        return self._restore(self.head(self.decoder(self.encoder(padded))), images, padded)

    def side_logits(self, images: Tensor) -> list[Tensor]:
        """Return the logits of every head, as deep supervision trains them; `forward`'s come last.

        A model without deep supervision returns the one that `forward` does.
        """
        if not len(self.side_heads):
            return [self(images)]
        padded = self._pad(images)
        maps = cast("Any", self.decoder).side_features(self.encoder(padded))
        heads = (*self.side_heads, self.head)
        return [self._restore(head(one), images, padded) for head, one in zip(heads, maps, strict=True)]


def border_of(part: object) -> int:
    """Return the pixels of height and width that a part's valid convolutions consume, 0 where it has none."""
    old = getattr(part, "eats", None)
    if old is not None and not hasattr(part, "border"):
        warnings.warn(f"{type(part).__name__}.eats is called border now", DeprecationWarning, stacklevel=2)
        return int(old)
    return int(getattr(part, "border", 0))
