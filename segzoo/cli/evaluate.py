"""``segzoo evaluate``: score a model or predicted masks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.data_words import root_option
from segzoo.cli.help import GroupedCommand, progress_option, verbose_option
from segzoo.cli.prediction_options import (
    CALIBRATION,
    ENGINE_GROUP,
    MODEL_GROUP,
    PredictionRequest,
    cluster_of,
    cluster_option,
    prediction_options,
)
from segzoo.cli.table import echo_json, echo_rows
from segzoo.cli.words import data_options_of, words_of
from segzoo.options import many
from segzoo.printing import echo, echo_note, printable

if TYPE_CHECKING:
    from segzoo.evaluation import Evaluation
    from segzoo.specs import Labels

#: Number of worst images in a report.
WORST = 8


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options on the command line."""

    model: str | None
    predictions: str | None
    data: str | None
    truth: str | None
    root: str | None
    split: str | None
    data_options: tuple[str, ...]
    classes: str | None
    background: str | None
    ignore_index: int | None
    instances: bool
    metrics: tuple[str, ...]
    by: tuple[str, ...]
    resamples: int
    seed: int
    prediction: PredictionRequest
    on: str | None
    save_predictions: str | None
    report: str | None
    overwrite: bool
    ignore_unknown: bool
    as_json: bool


#: Groups of options in ``--help``.
GROUPS = {
    "Data": ("data", "root", "split", "data_options", "ignore_unknown"),
    "Folders of masks": ("predictions", "truth", "classes", "background", "ignore_index", "instances"),
    "Scores": ("metrics", "by", "resamples", "seed"),
    "Model": (*MODEL_GROUP, "split_touching"),
    "Output": ("report", "save_predictions", "overwrite", "as_json"),
    "Speed and memory": (*ENGINE_GROUP, "on"),
}


@click.command("evaluate", cls=GroupedCommand, groups=GROUPS)
@click.argument("model", required=False, shell_complete=offers.weights)
@click.option(
    "--data",
    shell_complete=offers.data,
    help="Name of a dataset, or a folder or file in any recognised format [default: the data that MODEL was "
    "trained on].",
)
@root_option
@click.option("--split", shell_complete=offers.splits, help="Part of the dataset [default: test, else val].")
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the dataset, such as values=[0,128]; may be repeated [default: the options that MODEL "
    "was trained with, if the dataset is the same].",
)
@click.option(
    "--ignore-unknown", is_flag=True, help="Do not score pixels of classes that MODEL does not know."
)
@click.option(
    "--predictions", type=click.Path(), help="Folder of predicted masks to score instead of a model."
)
@click.option("--truth", type=click.Path(), help="Folder of ground-truth masks with the same names.")
@click.option(
    "--classes",
    help="Number or names of the classes in masks [default: the model's, else 2].",
)
@click.option(
    "--background",
    metavar="CLASS",
    help="Background class in masks, or none [default: the model's, else the first class].",
)
@click.option(
    "--ignore-index", type=click.IntRange(0, 65535), help="Value of pixels in masks that are not scored."
)
@click.option(
    "--instances",
    is_flag=True,
    help="Values in masks are the numbers of objects of one class.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=offers.metrics,
    help="Name of a metric; may be repeated [default: iou, dice].",
)
@click.option(
    "--by",
    multiple=True,
    metavar="TAG|REGEX",
    help="Also score groups of images separately. Groups are values of a tag of the dataset, such as stain, "
    "or matches of a regular expression in image names, such as '^[^_]+'; may be repeated.",
)
@click.option(
    "--resamples",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Number of bootstrap resamples for confidence intervals; 0 turns them off.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the bootstrap.")
@prediction_options(None, "eager where precision is exact, else torch")
@cluster_option
@click.option("--save-predictions", type=click.Path(), help="Folder for the predicted masks.")
@click.option("--report", type=click.Path(), help="Folder for report.html, images.csv and report.json.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace existing masks and reports, but no file in the folder of the dataset.",
)
@verbose_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@progress_option
def command(**options: Any) -> None:
    """Score a model, or a folder of predicted masks.

    \b
    segzoo evaluate runs/unet
    segzoo evaluate unet-nuclei --data photos --report report
    segzoo evaluate --predictions masks --truth truth --classes 4
    segzoo evaluate --predictions masks --data dsb2018 --split test

    MODEL is the name of weights, or the folder of a training run. Masks are then read as in training, and
    classes are matched by name. The tables show the scores with 95 % confidence intervals. Below them is the
    contract of each score: which pixels and classes count, how they are averaged, and how empty masks score.

    Predictions are images with one value per pixel, or .npy arrays, with the names of their ground truth;
    scoring them does not need torch. Files that cannot be read are left out and listed at the end, and the
    exit code is then 1.

    By default the network runs unchanged in float32. The options for prediction have the same meaning as in
    `segzoo predict`, and the report lists them.
    """
    options["prediction"] = PredictionRequest.taken(options)
    request = Request(**{**options, "metrics": options["metrics"] or ("iou", "dice")})
    _check(request)
    with ExitStack() as stack:
        if request.report:
            from segzoo.evaluation.writing import report_files
            from segzoo.files import made, refuse_taken, writable, writing

            folder = Path(request.report)
            refuse_taken(report_files(folder), overwrite=request.overwrite)
            with writing(folder, what="cannot write to"):
                stack.enter_context(made(folder))
            writable(folder)
        evaluation = _score(request)
        written: tuple[Path, ...] = ()
        if request.report:
            from segzoo.evaluation import write_report

            written = write_report(evaluation, request.report, overwrite=request.overwrite)
    if request.as_json:
        echo_json(evaluation.to_json())
    else:
        _show(evaluation)
        for path in written:
            echo(f"wrote {printable(path)}")
    if evaluation.unscored:
        from segzoo.errors import FailureError

        first = f"{len(evaluation.unscored)} could not be scored, and are not in these numbers:"
        raise FailureError("\n".join([first, *map(printable, evaluation.unscored)]))


def _check(request: Request) -> None:
    """Refuse options that exclude each other."""
    wrong = None
    if request.model and request.predictions:
        wrong = "MODEL and --predictions were both given: give one of them"
    elif not request.model and not request.predictions:
        wrong = "name what to score: a MODEL with --data, or --predictions DIR with --truth DIR"
    elif request.model and request.truth:
        wrong = "--truth needs --predictions; a MODEL needs images too: --data"
    elif request.data and request.truth:
        wrong = "--data and --truth were both given: give one of them"
    elif not request.model and not request.data and not request.truth:
        wrong = "name the ground truth: --data or --truth"
    elif request.truth and (request.root or request.split or request.data_options):
        wrong = "--root, --split and --data-option need --data; a folder of --truth has no parts"
    elif request.instances and not request.predictions:
        wrong = "--instances needs --predictions; for a dataset use --data-option instances=true"
    elif request.predictions and request.save_predictions:
        wrong = "--save-predictions needs a MODEL; --predictions are files already"
    elif request.predictions and request.on:
        wrong = "--on needs a MODEL; --predictions are masks already"
    elif request.predictions and request.ignore_unknown:
        wrong = "--ignore-unknown needs a MODEL"
    elif request.predictions and request.prediction.first:
        wrong = f"{request.prediction.first} needs a MODEL; --predictions are masks already"
    elif request.data and _names_classes(request) and not _is_folder(request.data):
        wrong = (
            "--classes, --background and --ignore-index are for folders of images and masks; "
            f"{request.data!r} defines its own classes; use --data-option, such as classes=cat,dog"
        )
    if wrong:
        raise click.UsageError(wrong, click.get_current_context())


def _names_classes(request: Request) -> bool:
    return bool(request.classes or request.background) or request.ignore_index is not None


def _score(request: Request) -> Evaluation:
    shared: dict[str, Any] = {
        "metrics": request.metrics,
        "by": request.by,
        "resamples": request.resamples,
        "seed": request.seed,
        "worst": WORST if request.report else 0,
        "progress": not request.as_json,
        "keep_going": True,
    }
    if request.predictions and request.truth:
        from segzoo.evaluation import score_predictions

        return score_predictions(
            request.predictions,
            request.truth,
            labels=_labels(request),
            instances=request.instances,
            **shared,
        )
    if request.predictions:
        from segzoo.build import open_dataset
        from segzoo.evaluation import score_predictions

        data, part = str(request.data), request.split or "test"
        dataset = open_dataset(data, root=request.root, split=part, **_options(request))
        shared |= {"data": data, "split": part}
        return score_predictions(request.predictions, dataset, instances=request.instances, **shared)
    return _score_model(request, shared)


def _score_model(request: Request, shared: dict[str, Any]) -> Evaluation:
    from segzoo.config import config_of
    from segzoo.evaluation import for_model, score_model
    from segzoo.machine import parse_device
    from segzoo.training.data.trained import open_scored, training_of
    from segzoo.weights import load

    asked, model = request.prediction, str(request.model)
    cluster = cluster_of(request.on, asked)
    network = load(model).to(parse_device(asked.device))
    config = config_of(network)
    found = open_scored(
        config.labels,
        training_of(model, config.provenance),
        data=request.data,
        root=request.root,
        part=request.split,
        options=_options(request),
    )
    notes = list(found.told)
    if request.save_predictions:
        _check_place(request.save_predictions, found.data, found.root)
    dataset = for_model(
        found.dataset,
        config.labels,
        ignore_unknown=request.ignore_unknown,
        on_message=notes.append,
    )
    for text in notes:
        echo_note(text)
    calibration = []
    if asked.precision == "fastest":
        samples = [dataset[index] for index in range(min(CALIBRATION, len(dataset)))]
        calibration = [(sample.image, sample.info) for sample in samples]
    predictor = asked.predictor([network], calibration=calibration)
    with cluster as entered:
        if entered is not None:
            echo_note(entered.description)
        evaluation = score_model(
            predictor,
            dataset,
            batch=asked.batch,
            subject=model,
            data=found.data,
            split=found.part,
            save_predictions=request.save_predictions,
            overwrite=request.overwrite,
            cluster=entered,
            **shared,
        )
    about = {"data": "; ".join(notes)} if notes else {}
    return replace(evaluation, about={**evaluation.about, **about})


def _check_place(save_predictions: str, data: str, root: str | None) -> None:
    """Refuse a folder for masks that is inside the dataset and not empty: it may hold the ground truth."""
    from segzoo.build import place_of
    from segzoo.files import lies_in, refuse_used

    folder, place = Path(save_predictions), place_of(data, root)
    if place is not None and lies_in(folder, place):
        refuse_used(folder)


def _options(request: Request) -> dict[str, Any]:
    """Return the options of the dataset on the command line."""
    classes = _class_names(request)
    options: dict[str, Any] = {"classes": classes} if classes else {}
    options |= {"background": request.background} if request.background else {}
    options |= {} if request.ignore_index is None else {"ignore_index": request.ignore_index}
    return options | data_options_of(request.data_options)


def _is_folder(data: str) -> bool:
    """Whether the data are images and masks without class names: a folder, or a list of files."""
    from segzoo.errors import UsageError
    from segzoo.recognition import FOLDER, chosen

    try:
        return chosen(data).name == FOLDER
    except UsageError:  # opening the data reports the problem
        return True


def _labels(request: Request) -> Labels:
    from segzoo.labels import named_labels
    from segzoo.specs import numbered_labels

    names = _class_names(request) or numbered_labels(2).classes
    return named_labels(names, request.background, ignore_index=request.ignore_index)


def _class_names(request: Request) -> tuple[str, ...]:
    """Return the class names on the command line; empty if there are none."""
    from segzoo.specs import numbered_labels

    if not request.classes:
        return ()
    if request.classes.isdecimal():
        if not 2 <= int(request.classes[:9]) <= 65535:
            raise click.UsageError(
                f"--classes {request.classes}: give a number from 2 to 65,535 that includes the background",
                click.get_current_context(),
            )
        return numbered_labels(int(request.classes)).classes
    return words_of("--classes", request.classes)


def _show(evaluation: Evaluation) -> None:
    """Print a table of the scores, one of the classes, those of the groups, and then the contracts."""
    from segzoo.evaluation.results import format_number, group_tables, interval_text

    part = f", split {evaluation.split}" if evaluation.split else ""
    echo(f"{evaluation.subject} on {evaluation.data}{part}: {many(len(evaluation.images), 'image')}\n")
    scores = [
        (
            score.metric,
            name,
            format_number(value),
            interval_text(evaluation.intervals.get(score.metric, {}).get(name)),
        )
        for score in evaluation.scores
        for name, value in score.values.items()
    ]
    echo_rows(scores, header=("METRIC", "VALUE", "SCORE", "[95 %]"))
    echo()
    classes = [
        (
            one.name,
            str(one.images),
            format_number(one.iou),
            interval_text(one.iou_interval),
            format_number(one.dice),
            format_number(one.precision),
            format_number(one.recall),
        )
        for one in evaluation.classes
    ]
    echo_rows(classes, header=("CLASS", "IMAGES", "IOU", "[95 %]", "DICE", "PRECISION", "RECALL"))
    for score in evaluation.scores:
        for header, groups in group_tables(evaluation, score.metric):
            echo(f"\n{score.metric}")
            echo_rows(groups, header=header)
    _show_contracts(evaluation)


def _show_contracts(evaluation: Evaluation) -> None:
    """Print how each number is computed."""
    from segzoo.evaluation.results import class_contract

    lines = [f"{score.metric}: {score.contract}" for score in evaluation.scores]
    lines.append(f"classes: {class_contract(evaluation.labels)}")
    if evaluation.left_out:
        lines.append(f"left out: {evaluation.left_out:,} pixels")
    if evaluation.bootstrap.resamples:
        lines.append(f"[95 %]: {evaluation.bootstrap.words(len(evaluation.images))}")
    echo("\nHow these numbers are computed:")
    for line in lines:
        echo(click.wrap_text(line, 78, initial_indent="  ", subsequent_indent="    "))
