"""``segzoo predict``: segment images and videos, and write masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.builtin import segzoo_outputs
from segzoo.cli import completions as offers
from segzoo.cli import weights_completions as weights_offers
from segzoo.cli.familiar import MIX, check_classes, masks_to_names, named_masks
from segzoo.cli.help import progress_option, verbose_option
from segzoo.cli.prediction_options import (
    CALIBRATION,
    CLEANING_GROUP,
    ENGINE_GROUP,
    MODEL_GROUP,
    PredictionRequest,
    cleaning_options,
    cluster_of,
    cluster_option,
    prediction_options,
)
from segzoo.cli.words import ManyValues, naming, words_of
from segzoo.printing import bar, echo, echo_note, echo_passing, on_terminal, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from segzoo.interfaces import Cluster
    from segzoo.prediction.job import Done
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.sources import Found, Source, VideoSource


#: Groups of options in ``--help``.
GROUPS = {
    "Model": ("models", "scale", *MODEL_GROUP),
    "Input": ("lists", "pages", "every", "begin", "end", "shard", "any_size"),
    "Output": (
        "out",
        "outputs",
        "only",
        *CLEANING_GROUP,
        "opacity",
        "coco",
        "simplify",
        "geojson_crs",
        "overwrite",
        "resume",
        "show",
        "no_save",
    ),
    "Speed and memory": (*ENGINE_GROUP, "calibrate", "on"),
}


@click.command("predict", cls=ManyValues, groups=GROUPS)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="PATH...")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    shell_complete=offers.weights,
    help="Name of weights, a folder, hf-hub:ORG/NAME, or a checkpoint of another program; several models are "
    "averaged.",
)
@click.option(
    "--out", type=click.Path(), default="masks", show_default=True, help="Folder for the masks, or its URL."
)
@click.option(
    "--outputs",
    shell_complete=offers.outputs,
    default="mask,overlay",
    show_default=True,
    help=f"Files to write: {', '.join(spec.name for spec in segzoo_outputs())}, or outputs of plug-ins "
    "(see `segzoo list outputs`). Add a format after a colon: mask:tif.",
)
@click.option(
    "--list",
    "lists",
    multiple=True,
    shell_complete=offers.files,
    help="File with one PATH per line; - is standard input.",
)
@click.option(
    "--pages",
    default="all",
    show_default=True,
    metavar="NUMBERS",
    help="Pages of stacks and volumes, counted from 0, such as 0,3-5 or 10-.",
)
@prediction_options("torch", "torch")
@cluster_option
@click.option(
    "--calibrate",
    multiple=True,
    shell_complete=offers.files,
    help="Calibration images for --precision fastest [default: the first 8 images].",
)
@cleaning_options
@click.option(
    "--scale",
    "-s",
    type=click.FloatRange(0, 16, min_open=True),
    help="Scale of images for the network, such as 0.5 for half size [default: the weights'].",
)
@click.option(
    "--geojson-crs",
    type=click.Choice(["degrees", "image", "pixels"]),
    default="degrees",
    show_default=True,
    help="Coordinates in geojson of a georeferenced image: longitude and latitude, the coordinate system of "
    "the image, or pixels.",
)
@click.option(
    "--coco",
    type=click.Choice(["rle", "polygons"]),
    default="rle",
    show_default=True,
    help="Form of objects in coco; objects with holes are always run lengths.",
)
@click.option(
    "--simplify",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    metavar="PIXELS",
    help="Tolerance for simplifying polygons; 0 keeps every corner.",
)
@click.option(
    "--opacity", type=click.FloatRange(0, 1), default=0.35, show_default=True, help="Overlay opacity."
)
@click.option(
    "--every", type=click.IntRange(1, 10**9), default=1, metavar="N", help="Use every N-th frame of a video."
)
@click.option(
    "--from", "begin", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Start time in a video."
)
@click.option(
    "--until", "end", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End time in a video."
)
@click.option(
    "--only",
    multiple=True,
    metavar="CLASS",
    shell_complete=weights_offers.classes,
    help="Keep only this class; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--any-size", is_flag=True, help="Read images that are larger than Pillow's safety limit.")
@click.option(
    "--resume",
    is_flag=True,
    help="Skip images that are already done. Existing files are replaced only if an earlier run wrote them "
    "and they have not changed since.",
)
@click.option("--shard", metavar="K/N", help="Process part K of N, to share the work among N machines.")
@click.option("--show", "--viz", "-v", is_flag=True, help="Open each overlay in an image viewer.")
@click.option("--no-save", "-n", is_flag=True, help="Write no files.")
@verbose_option
@click.option("--input", "-i", "inputs", multiple=True, hidden=True, help="The same as PATH.")
@click.option("--output", "-o", "names", multiple=True, hidden=True, help="File for each mask.")
@click.option(
    "--classes", "-c", type=click.IntRange(1, 65_535), hidden=True, help="Number of classes of the weights."
)
@click.option("--mix", type=click.Choice(list(MIX)), hidden=True, help="Drawing mode.")
@progress_option
def command(paths: tuple[str, ...], **options: Any) -> None:
    """Segment images and videos, and write masks.

    PATH is an image, a video, a folder with images and videos, a pattern in quotes, a camera (camera:0), an
    http(s) address, or - for an image on standard input. Images, folders and patterns may also be in cloud
    storage, such as s3://bucket/scans (also gs://, az://, hf://), and so may --out.

    For each image, NAME_mask.png contains the class index of every pixel, and NAME_overlay.png shows the
    classes on the image. Overlapping classes get one mask each, NAME_CLASS_mask.png. manifest.jsonl records
    the run.

    In a folder or pattern, the masks of a dataset and the files of an earlier run are left out, with a
    message; to segment such a file, name it. --out must not be the folder that is searched, but it may be
    inside it.

    \b
    segzoo predict photos --model unet-nuclei
    segzoo predict slide.tif --model unet-nuclei --outputs mask --memory 2GB
    segzoo predict "scans/**/*.png" -m unet-nuclei --outputs binary,coco --resume
    segzoo predict s3://bucket/scans -m unet-nuclei --out s3://bucket/masks
    segzoo predict dish.mp4 camera:0 -m unet-nuclei --until 10

    The options of milesial's predict.py (-i A B -o C D -s -t -v -n -c), and --mix blend, mask or cutout of
    bubbliiiing's program, work too.
    """
    options["prediction"] = PredictionRequest.taken(options)
    words = [*paths, *options["inputs"]]
    if not words and not options["lists"]:
        raise click.UsageError(
            "name at least one image or folder, such as `segzoo predict photos -m unet-nuclei`"
        )
    if not options["models"]:
        raise click.UsageError("choose weights: --model NAME; `segzoo list weights` shows all names")
    _predict(words, options)


def _predict(words: list[str], options: dict[str, Any]) -> None:
    from segzoo.errors import FailureError, MissingExtraError, OptionError
    from segzoo.images import parse_pages
    from segzoo.prediction.sources import find
    from segzoo.prediction.sources.source import parse_shard
    from segzoo.prediction.volumes import look_of, volume_paths
    from segzoo.storage import place

    if options["any_size"]:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
    cluster = cluster_of(options["on"], options["prediction"])
    with naming("--shard"):
        shard = parse_shard(options["shard"])
    outputs, look = _outputs(options)
    if options["end"] is not None and options["end"] <= options["begin"]:
        raise OptionError(f"--until {options['end']:g} is before --from {options['begin']:g}")
    with naming("--pages"):
        pages = parse_pages(options["pages"])
    found = find(words, lists=options["lists"], pages=pages)
    for note in found.notes:
        echo_note(note)
    troubles = list(found.troubles)
    named = named_masks(found.images, options["names"])
    if options["on"] and (named or options["show"]):
        raise OptionError(
            f"{'-o' if named else '--show'} works only with masks that this process makes: leave out --on"
        )
    out = place(options["out"], writes=True)
    gathered = any(volume_paths(out, one, outputs, look_of(one, outputs, look), None) for one in found.images)
    if gathered and pages:
        raise OptionError(
            "--pages leaves pages out, but the mask of a volume needs all pages: choose outputs with one "
            "file per page, such as --outputs mask:png"
        )
    images = shard.of_files(found.images) if gathered else shard.of(found.images)
    videos = shard.of(found.videos)
    if named and not videos:
        context = click.get_current_context()
        for name in ("out", "outputs"):
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(
                    f"-o names the file of each mask, so --{name} has no effect: leave it out", context
                )
    if videos and not images:
        from segzoo.prediction.video.segment import video_output

        video_output(outputs, save=not options["no_save"])
    if not options["no_save"]:
        _check_places(found, images, videos, named, outputs, look, options, joins=not shard.name)
    if images or videos:
        predictor = _predictor(options, images)
        if named:
            troubles += masks_to_names(predictor, images, named, look, options)
        if videos or not named:
            sources = [*([] if named else images), *videos]
            try:
                with cluster as entered:
                    troubles += _run(
                        predictor, sources, outputs, look, options, part=shard.name, cluster=entered
                    )
            except MissingExtraError as error:
                if not troubles:
                    raise
                troubles.append(str(error))
    if troubles:
        raise FailureError("\n".join([f"{len(troubles)} could not be segmented:", *map(printable, troubles)]))


def _check_places(
    found: Found,
    images: Sequence[Source],
    videos: Sequence[VideoSource],
    named: Mapping[str, str],
    outputs: list[str],
    look: OutputOptions,
    options: dict[str, Any],
    *,
    joins: bool,
) -> None:
    """Refuse outputs that would replace files or look like input images, before weights are downloaded."""
    from segzoo.files import keep_apart, refuse_taken
    from segzoo.prediction.job import refuse_mask_folders, refuse_outputs
    from segzoo.prediction.sources import files_of
    from segzoo.storage import place

    inputs, out = [*found.images, *found.videos], place(options["out"], writes=True)
    if named:
        paths = [Path(named[image.origin]) for image in images]
        refuse_taken(paths, overwrite=look.overwrite, inputs=files_of(inputs))
        return
    keep_apart(out, found.searched)
    refuse_mask_folders(out, [*images, *videos], outputs, look)
    if not options["resume"]:  # else the manifest and the weights are needed to recognise our files
        refuse_outputs(out, [*images, *videos], outputs, look, inputs=inputs, joins=joins)


def _run(
    predictor: Predictor,
    sources: Sequence[Source | VideoSource],
    outputs: list[str],
    look: OutputOptions,
    options: dict[str, Any],
    *,
    part: str,
    cluster: Cluster | None,
) -> list[str]:
    from segzoo.errors import MissingExtraError
    from segzoo.prediction.job import Job
    from segzoo.prediction.video.segment import VideoOptions

    job = Job(
        predictor,
        options["out"],
        outputs=outputs,
        options=look,
        resume=options["resume"],
        part=part,
        batch=options["prediction"].batch,
        save=not options["no_save"],
        any_size=options["any_size"],
        films=VideoOptions(
            every=options["every"],
            first=options["begin"],
            last=options["end"],
            on_message=echo_note,
            progress=_progress(),
        ),
    )
    troubles: list[str] = []
    missing: set[str] = set()
    skipped = 0
    if cluster is None:
        outcomes = job.run(sources)
    else:
        from segzoo.prediction.sharing import run_on

        echo_note(cluster.description)
        outcomes = run_on(cluster, job, sources)
    for done in _counted(outcomes, len(sources)):
        skipped += done.skipped
        if done.error:
            troubles.append(done.error)
            missing.add(done.missing)
        elif not done.skipped:
            echo(_line(done))
            if options["show"] and done.segmentation is not None:
                done.segmentation.overlay(options["opacity"]).show(title=done.source.origin)
    if skipped:
        echo(f"{skipped} were done before")
    for path in job.joined:
        left_out = f", except the {len(troubles)} that failed" if troubles else ""
        echo(f"{printable(path)}: all images{left_out}")
    if len(troubles) == len(sources) and "" not in missing:
        first = min(missing)
        raise MissingExtraError(
            f"none of the {len(sources):,} images could be segmented, for example {first}"
            if missing - {first}
            else first
        )
    return troubles


def _counted(outcomes: Iterable[Done], total: int) -> Iterator[Done]:
    """Yield the outcomes under a progress bar, if there are several and a person reads the terminal."""
    with bar(what="predict", unit="image", shown=None if total > 1 else False, total=total) as shown:
        for done in outcomes:
            yield done
            shown.update()


def _progress() -> Callable[[int, int | None], None] | None:
    """Return a function that shows the progress of a video on a terminal."""
    if not on_terminal(err=True):
        return None

    def show(done: int, of: int | None) -> None:
        echo_passing(f"{done}{f' of {of}' if of else ''} frames")

    return show


def _line(done: Done) -> str:
    """Return the result of an image in one line; files after the first are given without their folder."""
    text = f"{printable(done.source.origin)}: {printable(done.note)}"
    if not done.written:
        return text
    first, *rest = done.written
    names = [file.name if file.parent == first.parent else file for file in rest]
    return f"{text} -> {', '.join(map(printable, (first, *names)))}"


def _outputs(options: dict[str, Any]) -> tuple[list[str], OutputOptions]:
    """Return the names of what is written for each image, and how it looks."""
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.outputs.writing import read_format

    registry = zoo.registry("outputs")
    wanted = [read_format(word.strip()) for word in options["outputs"].split(",")]
    names = [name for name, _ in wanted]
    known = dict.fromkeys([*registry.names(), *(name for name in names if name in registry)])
    outputs = list(words_of("--outputs", ",".join(names), known, zoo.needs))
    look = OutputOptions(
        opacity=options["opacity"],
        classes=tuple(options["only"]),
        suffixes={name: suffix for name, suffix in wanted if suffix},
        geojson_crs=options["geojson_crs"],
        coco=options["coco"],
        simplify=options["simplify"],
        overwrite=options["overwrite"],
    )
    return [MIX[options["mix"]]] if options["mix"] else outputs, look


def _predictor(options: dict[str, Any], sources: list[Source]) -> Predictor:
    from segzoo.labels import class_index

    asked: PredictionRequest = options["prediction"]
    calibration: list[Any] = list(options["calibrate"])
    if asked.precision == "fastest" and not calibration:
        calibration = [source.read() for source in sources[:CALIBRATION]]
    models = [_weights(name, options) for name in options["models"]]
    with naming("--only"):
        for name in options["only"]:
            class_index(models[0].segzoo_config.labels, name)
    predictor = asked.predictor(models, calibration=calibration)
    if predictor.needs_measuring:
        from segzoo.prediction.job import measured_rows

        with naming("--intensity"):
            predictor.measure(measured_rows(sources, any_size=options["any_size"]))
    return predictor


def _weights(name: str, options: dict[str, Any]) -> Any:
    """Load weights, with ``--scale`` applied and ``--classes`` checked."""
    from dataclasses import replace

    from segzoo.config import config_of
    from segzoo.specs import Resize
    from segzoo.weights import load

    with naming("--model"):
        model = load(name)
    config = config_of(model)
    check_classes(options["classes"], name, config)
    if options["scale"] is not None:
        resize = None if options["scale"] == 1 else Resize(mode="scale", scale=options["scale"])
        preprocessing = replace(config.preprocessing, resize=resize)
        model.segzoo_config = replace(config, preprocessing=preprocessing)  # pyright: ignore[reportArgumentType]
    return model
