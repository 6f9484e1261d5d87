"""What parts promise each other: the shapes that plug-ins are written against.

These are protocols: a class fulfils one by having its attributes and methods, without inheriting.
Importing this module imports neither torch nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.specs import Labels
    from segzoo.training.recipe.schema import Recipe


@runtime_checkable
class Encoder(Protocol):
    """An ``nn.Module`` from images to a pyramid of features.

    Attributes:
        channels: channels of each feature, finest first.
        strides: stride of each feature, finest first; they repeat where an encoder dilates, or taps layers
            of one resolution.

    Optional attributes:
        any_size (bool): takes sizes that its deepest stride does not divide, and the features of
            odd sizes are rounded; `segzoo.segmenter.Segmenter` pads the image for all others.
        multiple (int): what sides must be multiples of, where that is not the coarsest stride.
        coarsest (int): stride of the coarsest map inside it, where that is not its last feature's: a batch
            norm needs two pixels of it to learn from.
        border (int): pixels of the image's height (and width) that its valid convolutions consume. Until
            version 0.1 it was called ``eats``, which still works and warns.
        pretraining (segzoo.specs.Pretraining): what the encoder, or a module in it, has learnt before.

    Its factory may have a method ``granted(wishes, **options)`` that returns those of a decoder's wishes
    (`segzoo.specs.DecoderSpec.encoder_options`) that an encoder of these options can fulfil, as options.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Map ``(N, in_channels, H, W)`` to ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """An ``nn.Module`` from a pyramid of features to one feature map.

    Attributes:
        out_channels: channels of the map.
        stride: its stride; logits are resized to the image where it is above 1.

    Optional attributes:
        any_size, border: as in `Encoder`; `border` in pixels of the map, times ``stride``.
        coarsest (int): stride of its coarsest map, where that is coarser than the encoder's.
        align_corners (bool): whether the corners of logits and image are aligned where logits are resized.
        side_channels (tuple[int, ...]): channels of the maps that deep supervision adds; 0 for one whose
            channels are the logits already, as its decoder makes use of them.
        side_weight (float): weight of each side map's loss where the last counts 1, unless a recipe says
            another ``supervision``; without it, all losses are averaged.
        side_features (method): features to the list of side maps, coarsest idea first, the last
            being what calling the decoder returns.
        fused_form (method): `Split` to a module that maps features as the decoder does, with less
            memory and time, or ``None``; the list of features that it is called with may be emptied.
    """

    out_channels: int
    stride: int

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, to ``(N, out_channels, H / stride, W / stride)``."""
        ...


class Split(Protocol):
    """What an engine gives to the ``fused_form`` of its own copy of a decoder."""

    def __call__(self, conv: nn.Module, *channels: range) -> None:
        """Put into the place of ``conv`` a module that is called with an iterable of maps.

        It computes what ``conv`` does of these maps side by side, without joining them where it can.

        Args:
            conv: a convolution somewhere in the decoder, as it was made: ``nn.Conv2d``.
            channels: for each map, in the order in which maps come, which of the input channels it has.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class GeoReference:
    """Where the pixels of an image lie on the ground.

    Attributes:
        transform: ``(a, b, c, d, e, f)``: the pixel corner at column x and row y lies at
            ``(a * x + b * y + c, d * x + e * y + f)`` in the units of ``crs``.
        crs: the coordinate reference system: ``"EPSG:32616"``, or its text as PROJ reads it (WKT, or
            ``"+proj=..."``); empty where the file names none.
        metre: metres in one unit of the coordinates; 0 where they are degrees, or nobody knows.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str = ""
    metre: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """The metadata of an image file.

    Attributes:
        height: rows of a page as `OpenedImage.read` gives it.
        width: columns of a page.
        dtype: type of the values, as numpy names it, such as ``"uint16"``.
        bands: name of each band, in the file's order; ``"red"``, ``"green"``, ``"blue"`` and ``"grey"`` are
            colours, bands without a name are ``"band 1"``, ``"band 2"`` and so on.
        alpha: index of the band that the file declares to be opacity; ``None`` if it declares none.
        format: of the file, for people, such as ``"PNG"``.
        orientation: EXIF orientation; 1 is upright. `OpenedImage.read` gives the pixels as they are stored.
        palette: ``(red, green, blue)`` of each value, where the one band holds indices of colours.
        pages: number of pages: slices of a volume, time points, directories of a TIFF, frames of a GIF.
        page_axis: what pages are, where the file says so: ``"z"``, ``"time"`` or a phrase for both.
        pixel_size: height and width of a pixel in ``unit``; ``None`` where the file does not say.
        unit: of ``pixel_size``: ``"um"``, ``"mm"`` or ``"m"``.
        geo: where it lies on the ground, if the file says so.
        nodata: value of pixels without a measurement, if the file declares one (NaN is one).
        window: lowest and highest value that the file asks to be shown (DICOM's window, NIfTI's cal_min and
            cal_max), after any rescaling of stored values; for the eye, and as a hint.
        inverted: whether low values are bright (TIFF's WhiteIsZero, DICOM's MONOCHROME1); the values
            themselves are as stored.
        mask_suffix: suffix of the one file into which the reader writes the masks of all pages, such as
            ``".nii.gz"``; empty if it writes none.
        extra: what else a writer of the same format needs to write a mask that lies where the image lies;
            plain data. ``affine``, four rows of four numbers, maps column, row and page to millimetres
            towards the right, front and head of a body.
    """

    height: int
    width: int
    dtype: str
    bands: tuple[str, ...]
    alpha: int | None = None
    format: str = ""
    orientation: int = 1
    palette: tuple[tuple[int, int, int], ...] = ()
    pages: int = 1
    page_axis: str = ""
    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    geo: GeoReference | None = None
    nodata: float | None = None
    window: tuple[float, float] | None = None
    inverted: bool = False
    mask_suffix: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


class OpenedImage(Protocol):
    """An image file that is open; pixels are decoded when they are asked for.

    Attributes:
        info: the file's metadata, known without decoding pixels.

    Optional attributes:
        rows (method): ``rows(page, top, bottom)`` gives rows ``top`` to ``bottom`` of a page, decoding no
            more than it needs; without it, images that are read by rows are decoded whole.
        describe (method): ``describe(page)`` is the `ImageInfo` of a page; needed where pages differ.
        resident (method): ``resident(page)`` is how many bytes ``rows`` holds besides the rows that it
            gives, such as a row of decoded tiles; ``None`` where this page cannot be read by rows.
    """

    @property
    def info(self) -> ImageInfo:
        """The file's metadata."""
        ...

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page as ``(H, W, C)`` of its own type: no value scaled, no band dropped, not turned.

        Args:
            page: from 0.
            smallest: a reader that can decode faster at a half, a quarter or an eighth may do so while both
                sides stay at least this height and width; ``None`` decodes all pixels.
        """
        ...


class ImageReader(Protocol):
    """Opens the files of one format or a few; the factory of a `segzoo.specs.ReaderSpec`."""

    def __call__(self, path: Path) -> AbstractContextManager[OpenedImage]:
        """Open a file, or a folder where the format is one; `segzoo.images` names the file in errors.

        Args:
            path: a file that exists, or a folder; the spec's options follow as keywords.

        Raises:
            ImageError: it is damaged, or none of this format.
            MissingExtraError: a library is missing that is not installed with segzoo.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """One image with its truth.

    Attributes:
        image: ``(H, W)`` or ``(H, W, C)`` of the file's own type, with all its bands, upright.
        mask: ``(H, W)`` class indices of the labels' ``index_type``: uint8, or uint16 beyond 256 classes.
            Where classes overlap, ``(K, H, W)`` uint8: 1 where a class is, 0 where not, 255 where nothing
            counts.
        name: identifies the sample within its data set; stable between machines.
        field_of_view: ``(H, W)`` bool; pixels outside are neither trained on nor scored.
        instances: ``(H, W)`` uint16 or int32, 0 for none, else the number of the object.
        info: the metadata of the image's file, if it is one.
    """

    image: NDArray[Any]
    mask: NDArray[Any]
    name: str
    field_of_view: NDArray[np.bool_] | None = None
    instances: NDArray[Any] | None = None
    info: ImageInfo | None = None


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What a data set tells the person of its files, through `segzoo data check`.

    Attributes:
        kind: a short, stable word for programs, such as ``"no-area"``.
        severity: ``error`` stops training or makes it pointless; ``warning`` trains, but probably not what
            was meant; ``note`` is good to know.
        what: what was found, in one line.
        advice: what it means and what to do.
        count: how many files, images or objects it concerns.
        examples: some of them.
    """

    kind: str
    severity: Literal["error", "warning", "note"]
    what: str
    advice: str = ""
    count: int = 0
    examples: tuple[str, ...] = ()


@runtime_checkable
class Dataset(Protocol):
    """A sequence of samples with labels; decoding happens in ``__getitem__``.

    Attributes:
        labels: the classes of its masks.

    Optional attributes:
        names (list[str]): the name of each sample, known without decoding it.
        groups (list[str]): what each sample stays together with where data is divided, such as the slices of
            a volume; by default `segzoo.datasets.groups_of` the names.
        tags (list[Mapping[str, str]]): what each sample is like, by name of the tag, such as
            ``{"stain": "H&E", "source": "1040x1388"}``; known without decoding it. Scores are grouped by them
            (``segzoo evaluate --by stain``). A sample may lack a tag.
        undivided (bool): whether nobody made its parts, so that `segzoo.datasets.divided` did; by default
            that is found out from the names.
        files (method): ``files(index)`` gives the files that a sample is made of.
        remarks (tuple[Remark, ...]): what the person should know of the files.
    """

    labels: Labels

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Decode the sample at an index from 0."""
        ...


class Metric(Protocol):
    """Counts, then numbers; always with their contract.

    Attributes:
        contract: which pixels, which classes, which average, which rule for empty masks, in words.
    """

    contract: str

    def update(
        self,
        prediction: NDArray[Any],
        target: NDArray[Any],
        *,
        probabilities: NDArray[np.float32] | None = None,
        instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one image; every metric takes all keywords and uses those that it needs.

        Args:
            prediction: ``(H, W)`` class indices.
            target: ``(H, W)`` class indices, or ``labels.ignore_index``.
            probabilities: ``(num_classes, H, W)``, or ``(1, H, W)`` of class 1; given where the metric's
                spec needs ``"probabilities"``.
            instances: predicted and true objects, ``(H, W)`` each, 0 for none, given where the metric's
                spec needs ``"instances"``; ``None`` in place of either where they are not known, and
                then they are the connected components of the mask.
            valid: ``(H, W)`` field of view; pixels outside count for nothing.

        Raises:
            OptionError: shapes or kinds of numbers do not fit, or what the metric needs is missing.
        """
        ...

    def merge(self, other: Any) -> None:
        """Add the counts of another object of this class, made with the same options."""
        ...

    def compute(self) -> Mapping[str, float]:
        """Return the scores by name; NaN where nothing was counted."""
        ...


class Augmentation(Protocol):
    """A random change of an image, and of its mask where pixels move; it can be pickled.

    Optional attributes:
        size_after (method): height and width that come out, of those that go in; either is ``None`` where it
            varies. Without it, the step keeps the size.
        of_colours (bool): whether the step is about colours: it is then given the bands alone that are
            colours: red, green and blue, one of grey, or those of them that there are.
    """

    def __call__(
        self, image: NDArray[Any], mask: NDArray[Any], random: np.random.Generator, ignore: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return image and mask after the step; views will do, but nothing is written into what is given.

        Args:
            image: ``(H, W, C)``, of any number of bands: uint8, or float32 in which 1 is white.
            mask: ``(H, W)`` class indices.
            random: decides everything that is random.
            ignore: the mask's value for pixels that count for nothing, if there is one; pixels from outside
                the image have it.
        """
        ...


class Mixing(Protocol):
    """An augmentation step that makes one sample of two, such as cutmix; it can be pickled.

    It is registered and named as any other step; its method `mixed` makes it one of these.
    """

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return the sample made of both, and the share of the loss that its masks have.

        Nothing is written into what is given, and the image keeps its size, channels and type.

        Args:
            first: ``image`` ``(H, W, C)``, uint8 or float32 in which 1 is white; ``mask``, and ``instances``
                where the data has them. ``dataclasses.replace`` makes another of it.
            second: another sample, of the first's size; its instances have numbers of their own.
            random: decides everything that is random.
            labels: of the masks; where classes overlap, these are ``(K, H, W)``.

        Returns:
            The sample, and 1 where its masks are those of all that it shows. A share below 1 leaves the rest
            of the loss to the masks of ``second``, as mixup has it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for schedules.

    Attributes:
        step: of the optimizer, from 0; the first of its epoch where rates are constant within an epoch.
        epoch: from 0, with its fraction.
        gone: the share of the way from the end of the warm-up to the tail, from 0 to 1.
    """

    step: int
    epoch: float
    gone: float


class Schedule(Protocol):
    """The share of the learning rate that is left; the warm-up and the minimum are segzoo's own.

    Optional attributes:
        evaluated (method): ``evaluated(score, higher_is_better=...)`` is called after each validation.
        state_dict, load_state_dict (methods): what it counted of validations, as plain data.
    """

    def __call__(self, now: Progress) -> float:
        """Return the share, from 0 to 1, which depends on where the training stands and on scores alone."""
        ...


class Planner(Protocol):
    """Completes a recipe by looking at its data."""

    def __call__(
        self,
        recipe: Recipe,
        said: Collection[str],
        *,
        minutes: float | None,
        on_message: Callable[[str], None],
    ) -> Recipe:
        """Return the recipe with every choice made, and its reason among the ``comments``.

        Args:
            recipe: what somebody set, else what the recipe's file says, else the defaults.
            said: the keys that somebody set, such as ``model``, ``augment.crop.size`` or ``learning_rate``;
                what they say stays as it is, and other choices follow it.
            minutes: how long the training may take; 60 where ``None``.
            on_message: called with one message for each thing that is done.

        Raises:
            OptionError: the data cannot be trained on, or not in this time.
        """
        ...


class Engine(Protocol):
    """A network, ready to run.

    Attributes:
        device: where its logits are.
        description: what was chosen and why, in one line.

    An engine may also have ``concurrent``, a bool: whether several threads may call it at the same time, each
    call being computed on the threads that `torch.set_num_threads` gave the calling one. Small images are
    then run several at once on a CPU.
    """

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        ...

    @property
    def description(self) -> str:
        """What was chosen and why, in one line."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Map preprocessed images to logits, ``(N, num_classes, H, W)`` float32 on ``device``.

        Args:
            images: ``(N, C, H, W)`` float32 on any device; any height and width that the network takes.
        """
        ...


class Cluster(Protocol):
    """Worker processes that compute tasks; a context manager, which is entered once, before the first task.

    Attributes:
        workers: how many tasks are computed at once.
        description: what it is and how many workers it has, in one line.
    """

    @property
    def workers(self) -> int:
        """How many tasks are computed at once; known once the context is entered."""
        ...

    @property
    def description(self) -> str:
        """What it is and how many workers it has, in one line; known once the context is entered."""
        ...

    def __enter__(self) -> Any:
        """Start it or connect to it.

        Raises:
            FailureError: it does not answer, or runs other versions; this takes a bounded time.
        """
        ...

    def __exit__(self, *error: object) -> None:
        """End the workers, also in the middle of their tasks."""
        ...

    def run(
        self, begin: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each task and its answer, as the answers come, in any order.

        A task whose worker dies is computed anew by another. One whose workers died again and again has no
        answer, and the others go on.

        Args:
            begin: pickled with `pickle`, and called once in each worker; what it returns is called with each
                of the worker's tasks, one at a time.
            tasks: what can be pickled, as the answers can.

        Raises:
            SegzooError: what ``begin`` or a task raises ends the run, and is raised here.
            FailureError: the cluster is lost, or has no room for a worker.
        """
        ...
