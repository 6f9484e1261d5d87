"""The interfaces of parts: the protocols and shapes that plug-ins implement.

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
        channels: number of channels of each feature, finest first.
        strides: stride of each feature, finest first; they repeat if an encoder dilates, or returns layers of
            one resolution.

    Optional attributes:
        any_size (bool): whether it accepts sizes that its deepest stride does not divide, and rounds the
            features of odd sizes; `segzoo.segmenter.Segmenter` pads the image for all other encoders.
        multiple (int): number whose multiples sides must be, if that is not the coarsest stride.
        coarsest (int): stride of the coarsest map inside it, if that is not its last feature's: a batch norm
            needs two pixels of that map in training.
        border (int): pixels of the image's height (and width) that its valid convolutions consume. Until
            version 0.1 it was called ``eats``, which still works and warns.
        pretraining (segzoo.specs.Pretraining): pretraining of the encoder, or of a module in it.

    Its factory may have a method ``granted(wishes, **options)`` that returns those of a decoder's requests
    (`segzoo.specs.DecoderSpec.encoder_options`) that an encoder with these options supports, as options.
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
        out_channels: number of channels of the map.
        stride: stride of the map; logits are resized to the image if it is above 1.

    Optional attributes:
        any_size, border: see `Encoder`; `border` in pixels of the map, times ``stride``.
        coarsest (int): stride of its coarsest map, if that is coarser than the encoder's.
        align_corners (bool): whether the corners of logits and image are aligned when logits are resized.
        side_channels (tuple[int, ...]): numbers of channels of the maps that deep supervision adds; 0 for one
            whose channels are already the logits, because its decoder uses them.
        side_weight (float): weight of each side map's loss relative to the last, unless a recipe sets another
            ``supervision``; without it, all losses are averaged.
        side_features (method): maps features to the list of side maps, coarsest first; the last is the
            decoder's usual output.
        fused_form (method): maps a `Split` to a module that maps features like the decoder, with less memory
            and time, or to ``None``; the list of features that it is called with may be emptied.
    """

    out_channels: int
    stride: int

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, to ``(N, out_channels, H / stride, W / stride)``."""
        ...


class Split(Protocol):
    """The argument of ``fused_form``, which an engine calls on its copy of a decoder."""

    def __call__(self, conv: nn.Module, *channels: range) -> None:
        """Replace ``conv`` by a module that is called with an iterable of maps.

        It computes the convolution of the concatenated maps, without concatenating them if possible.

        Args:
            conv: an unmodified convolution somewhere in the decoder: ``nn.Conv2d``.
            channels: for each map, in their order, its range of the input channels.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class GeoReference:
    """The position of an image's pixels on the ground.

    Attributes:
        transform: ``(a, b, c, d, e, f)``: the pixel corner at column x and row y is at
            ``(a * x + b * y + c, d * x + e * y + f)`` in the units of ``crs``.
        crs: the coordinate reference system: ``"EPSG:32616"``, or its text as PROJ reads it (WKT, or
            ``"+proj=..."``); empty if the file names none.
        metre: metres per unit of the coordinates; 0 if they are degrees, or if it is unknown.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str = ""
    metre: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """The metadata of an image file.

    Attributes:
        height: number of rows of a page as `OpenedImage.read` returns it.
        width: number of columns of a page.
        dtype: type of the values, in numpy's terms, such as ``"uint16"``.
        bands: name of each band, in the file's order; ``"red"``, ``"green"``, ``"blue"`` and ``"grey"`` are
            colours, bands without a name are ``"band 1"``, ``"band 2"`` and so on.
        alpha: index of the band that the file declares as opacity; ``None`` if there is none.
        format: name of the format, for people, such as ``"PNG"``.
        orientation: EXIF orientation; 1 is upright. `OpenedImage.read` does not rotate the pixels.
        palette: ``(red, green, blue)`` of each value, if the single band holds colour indices.
        pages: number of pages: slices of a volume, time points, directories of a TIFF, frames of a GIF.
        page_axis: meaning of pages, if the file states it: ``"z"``, ``"time"`` or a phrase for both.
        pixel_size: height and width of a pixel in ``unit``; ``None`` if the file does not state it.
        unit: unit of ``pixel_size``: ``"um"``, ``"mm"`` or ``"m"``.
        geo: position on the ground, if the file states it.
        nodata: value of pixels without a measurement, if the file declares one (NaN is one).
        window: lowest and highest value to display (DICOM's window, NIfTI's cal_min and cal_max), after any
            rescaling of stored values; a hint for viewers.
        inverted: whether low values are bright (TIFF's WhiteIsZero, DICOM's MONOCHROME1); the values are not
            changed.
        mask_suffix: suffix of the single file in which the reader writes the masks of all pages, such as
            ``".nii.gz"``; empty if it writes none.
        extra: more data that a writer of the same format needs to write a mask at the position of the image;
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
    """An open image file; pixels are decoded when they are requested.

    Attributes:
        info: the file's metadata, known without decoding pixels.

    Optional attributes:
        rows (method): ``rows(page, top, bottom)`` returns rows ``top`` to ``bottom`` of a page, and decodes
            no more than necessary; without it, whole pages are decoded.
        describe (method): ``describe(page)`` returns the `ImageInfo` of a page; required if pages differ.
        resident (method): ``resident(page)`` returns the bytes that ``rows`` holds in addition to its result,
            such as a row of decoded tiles; ``None`` if the page cannot be read by rows.
    """

    @property
    def info(self) -> ImageInfo:
        """The file's metadata."""
        ...

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page as ``(H, W, C)`` in its own type, with unscaled values, all bands, and not rotated.

        Args:
            page: index of the page, from 0.
            smallest: a reader that can decode faster at a half, a quarter or an eighth may do so while both
                sides stay at least this height and width; ``None`` decodes all pixels.
        """
        ...


class ImageReader(Protocol):
    """Opens files of one format or a few; the factory of a `segzoo.specs.ReaderSpec`."""

    def __call__(self, path: Path) -> AbstractContextManager[OpenedImage]:
        """Open a file, or a folder if the format is one; `segzoo.images` adds the name to errors.

        Args:
            path: existing file or folder; the spec's options follow as keywords.

        Raises:
            ImageError: the file is damaged, or has another format.
            MissingExtraError: a library is missing that segzoo does not install.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """One image with its ground truth.

    Attributes:
        image: ``(H, W)`` or ``(H, W, C)`` in the file's own type, with all its bands, upright.
        mask: ``(H, W)`` class indices of the labels' ``index_type``: uint8, or uint16 beyond 256 classes. If
            classes overlap, ``(K, H, W)`` uint8: 1 inside a class, 0 outside, 255 for ignored pixels.
        name: unique name of the sample in its dataset; the same on all machines.
        field_of_view: ``(H, W)`` bool; pixels outside are ignored in training and evaluation.
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
    """A remark of a dataset about its files, shown by `segzoo data check`.

    Attributes:
        kind: a short, stable word for programs, such as ``"no-area"``.
        severity: ``error`` stops training or makes it pointless; ``warning`` does not, but the result is
            probably not the intended one; ``note`` is information.
        what: finding, in one line.
        advice: what it means and what to do.
        count: number of affected files, images or objects.
        examples: names of some of them.
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
        groups (list[str]): group of each sample, such as a volume whose slices are samples; groups are not
            divided between parts. By default `segzoo.datasets.groups_of` the names.
        tags (list[Mapping[str, str]]): properties of each sample by name of the tag, such as
            ``{"stain": "H&E", "source": "1040x1388"}``; known without decoding it. Scores are grouped by them
            (``segzoo evaluate --by stain``). A sample may lack a tag.
        undivided (bool): whether `segzoo.datasets.divided` divided the data because its authors did not; by
            default the names decide.
        files (method): ``files(index)`` returns the files of a sample.
        remarks (tuple[Remark, ...]): remarks about the files.
    """

    labels: Labels

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Decode the sample at an index from 0."""
        ...


class Metric(Protocol):
    """Counts pixels, and computes scores with their contract.

    Attributes:
        contract: which pixels and classes count, how they are averaged, and the rule for empty masks, in
            words.
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
        """Count one image; every metric accepts all keywords and uses those that it needs.

        Args:
            prediction: ``(H, W)`` class indices.
            target: ``(H, W)`` class indices, or ``labels.ignore_index``.
            probabilities: ``(num_classes, H, W)``, or ``(1, H, W)`` of class 1; given where the metric's
                spec needs ``"probabilities"``.
            instances: predicted and true objects, ``(H, W)`` each, 0 for none, given where the metric's
                spec needs ``"instances"``; ``None`` in place of either where they are not known, and
                then they are the connected components of the mask.
            valid: ``(H, W)`` field of view; pixels outside are ignored.

        Raises:
            OptionError: shapes or types do not fit, or an argument that the metric needs is missing.
        """
        ...

    def merge(self, other: Any) -> None:
        """Add the counts of another object of this class, made with the same options."""
        ...

    def compute(self) -> Mapping[str, float]:
        """Return the scores by name; NaN if nothing was counted."""
        ...


class Augmentation(Protocol):
    """A random change of an image, and of its mask if pixels move; it can be pickled.

    Optional attributes:
        size_after (method): maps the input height and width to the output's; either is ``None`` if it varies.
            Without it, the step keeps the size.
        of_colours (bool): whether the step changes colours: it then gets only the bands that are colours:
            red, green and blue, or grey, or those of them that exist.
    """

    def __call__(
        self, image: NDArray[Any], mask: NDArray[Any], random: np.random.Generator, ignore: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return image and mask after the step; they may be views, but the inputs are not modified.

        Args:
            image: ``(H, W, C)`` with any number of bands: uint8, or float32 in which 1 is white.
            mask: ``(H, W)`` class indices.
            random: source of randomness.
            ignore: the mask's value for ignored pixels, if there is one; pixels from outside the image get
                it.
        """
        ...


class Mixing(Protocol):
    """An augmentation step that combines two samples into one, such as cutmix; it can be pickled.

    It is registered and named like any other step; the method `mixed` distinguishes it.
    """

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return the combined sample, and the share of the loss that its masks have.

        The inputs are not modified, and the image keeps its size, channels and type.

        Args:
            first: ``image`` ``(H, W, C)``, uint8 or float32 in which 1 is white; ``mask``, and ``instances``
                if the data has them. Use ``dataclasses.replace`` to change it.
            second: another sample with the size of the first; its instances are numbered separately.
            random: source of randomness.
            labels: labels of the masks; if classes overlap, the masks are ``(K, H, W)``.

        Returns:
            The sample, and 1 if its masks describe everything that it shows. A share below 1 leaves the rest
            of the loss to the masks of ``second``, as in mixup.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The position in a run, for schedules.

    Attributes:
        step: step of the optimizer, from 0; the first of its epoch if rates are constant within an epoch.
        epoch: epoch from 0, with its fraction.
        gone: position between the end of the warm-up and the tail, from 0 to 1.
    """

    step: int
    epoch: float
    gone: float


class Schedule(Protocol):
    """The factor of the learning rate; segzoo handles the warm-up and the minimum.

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
            recipe: values that the user set, otherwise those of the recipe file, otherwise the defaults.
            said: keys that the user set, such as ``model``, ``augment.crop.size`` or ``learning_rate``;
                their values are not changed, and the other choices fit them.
            minutes: time limit for training; 60 if ``None``.
            on_message: called with one message per action.

        Raises:
            OptionError: the data cannot be used for training, or not in this time.
        """
        ...


class Engine(Protocol):
    """A network that is ready to run.

    Attributes:
        device: device of its logits.
        description: what was selected and why, in one line.

    An engine may also have ``concurrent``, a bool: whether several threads may call it at the same time; each
    call then uses the threads that `torch.set_num_threads` gave to the calling thread. Several small images
    are then processed at once on a CPU.
    """

    @property
    def device(self) -> torch.device:
        """The device of the logits."""
        ...

    @property
    def description(self) -> str:
        """What was selected and why, in one line."""
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
        workers: number of tasks that run at once.
        description: kind of cluster and number of workers, in one line.
    """

    @property
    def workers(self) -> int:
        """The number of tasks that run at once; known once the context is entered."""
        ...

    @property
    def description(self) -> str:
        """The kind of cluster and the number of workers, in one line; known once the context is entered."""
        ...

    def __enter__(self) -> Any:
        """Start the cluster or connect to it.

        Raises:
            FailureError: the cluster does not answer in time, or runs other versions.
        """
        ...

    def __exit__(self, *error: object) -> None:
        """Stop the workers, even during their tasks."""
        ...

    def run(
        self, begin: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the answer of each task, in any order.

        If a worker dies, its task is computed by another one. A task whose workers die repeatedly has no
        answer, and the others continue.

        Args:
            begin: function that is pickled and called once in each worker; its result is called with each of
                the worker's tasks, one at a time.
            tasks: tasks that can be pickled, like the answers.

        Raises:
            SegzooError: an exception of ``begin`` or a task ends the run, and is raised here.
            FailureError: the cluster is lost, or cannot start a worker.
        """
        ...
