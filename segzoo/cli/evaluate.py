"""``segzoo evaluate``: scores with their contracts."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.prediction_options import (
    CALIBRATION,
    PredictionRequest,
    cluster_of,
    cluster_option,
    prediction_options,
)
from segzoo.cli.table import echo_json, table
from segzoo.cli.words import data_options_of, words_of
from segzoo.printing import echo, printable

if TYPE_CHECKING:
    from segzoo.evaluation import Evaluation
    from segzoo.specs import Labels

#: How many of the worst images a report shows.
WORST = 8


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for on the command line."""

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


@click.command("evaluate")
@click.argument("model", required=False, shell_complete=offers.weights)
@click.option(
    "--data",
    shell_complete=offers.data,
    help="A data set by name, or a folder or file of any format that is recognised [default: the data that "
    "MODEL was trained on].",
)
@click.option("--root", type=click.Path(), help="Location of a named data set [default: $SEGZOO_DATA/NAME].")
@click.option("--split", shell_complete=offers.splits, help="Which part of it [default: test, else val].")
@click.option(
    "--data-option",
    "data_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the data set, such as values=[0,128]; may be repeated [default: those that MODEL was "
    "trained with, where the same data set reads the data].",
)
@click.option("--ignore-unknown", is_flag=True, help="Leave out pixels of classes that MODEL does not know.")
@click.option("--predictions", type=click.Path(), help="Masks to score instead of a model, one per image.")
@click.option("--truth", type=click.Path(), help="Their true masks, in a folder, paired by name.")
@click.option(
    "--classes",
    help="Number or names of the classes of masks in folders [default: the model's, else 2].",
)
@click.option(
    "--background",
    metavar="CLASS",
    help="Background class of masks in folders, or none [default: the model's, else the first].",
)
@click.option(
    "--ignore-index", type=click.IntRange(0, 65535), help="Value of masks in folders that is not scored."
)
@click.option(
    "--instances",
    is_flag=True,
    help="The numbers in predicted and true masks in folders are objects of one class.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=offers.metrics,
    help="A metric by name; may be repeated [default: iou, dice].",
)
@click.option(
    "--by",
    multiple=True,
    metavar="TAG|REGEX",
    help="Score groups of images by themselves too: by a tag of the data set, such as stain, or by what a "
    "regular expression finds in their names, such as '^[^_]+'; may be repeated.",
)
@click.option(
    "--resamples",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Bootstrap resamples for the intervals; 0 for none.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the bootstrap.")
@prediction_options(None, "eager where precision is exact, else torch")
@cluster_option
@click.option("--save-predictions", type=click.Path(), help="A folder for the predicted masks.")
@click.option("--report", type=click.Path(), help="A folder for report.html, images.csv and report.json.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace masks and reports that exist, but nothing in the data set's own folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(**options: Any) -> None:
    """Score a model, or a folder of predictions.

    \b
    segzoo evaluate MODEL [--data NAME|PATH] [--split test]
    segzoo evaluate --predictions DIR --truth DIR [--classes 4]
    segzoo evaluate --predictions DIR --data NAME|PATH [--split test]

    MODEL is weights by name, or a folder that training left: masks are then read as in its training, and
    classes are matched by name. Every score comes with its contract: which pixels and classes it counts, how
    it averages, and what an empty mask scores. In brackets is the interval that holds 95 % of the scores of
    resampled images. Predictions are images of one value a pixel or .npy arrays, named like their truths;
    scoring them needs no torch. Files that cannot be read are left out and listed at the end; the exit code
    is then 1.

    Masks are made by the network as it is, in float32, unless options say how: they mean what they mean to
    segzoo predict, and the report tells them.
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
        _tell(evaluation)
        for path in written:
            echo(f"wrote {printable(path)}")
    if evaluation.unscored:
        from segzoo.errors import FailureError

        told = f"{len(evaluation.unscored)} could not be scored, and are not in these numbers:"
        raise FailureError("\n".join([told, *map(printable, evaluation.unscored)]))


def _check(request: Request) -> None:
    """Refuse options that do not go together, saying which do."""
    wrong = None
    if request.model and request.predictions:
        wrong = "MODEL and --predictions were both given: score the one or the other"
    elif not request.model and not request.predictions:
        wrong = "say what to score: a MODEL with --data, or --predictions DIR with --truth DIR"
    elif request.model and request.truth:
        wrong = "--truth goes with --predictions; a MODEL needs the images too: --data"
    elif request.data and request.truth:
        wrong = "--data and --truth were both given: the truth is in the one or the other"
    elif not request.model and not request.data and not request.truth:
        wrong = "say what to score it on: --data or --truth"
    elif request.truth and (request.root or request.split or request.data_options):
        wrong = "--root, --split and --data-option go with --data; a folder of truths is scored as a whole"
    elif request.instances and not request.predictions:
        wrong = "--instances goes with --predictions; of a data set say --data-option instances=true"
    elif request.predictions and request.save_predictions:
        wrong = "--save-predictions goes with a MODEL; these predictions are files already"
    elif request.predictions and request.on:
        wrong = "--on goes with a MODEL; these predictions are masks already"
    elif request.predictions and request.ignore_unknown:
        wrong = "--ignore-unknown goes with a MODEL"
    elif request.predictions and request.prediction.first:
        wrong = f"{request.prediction.first} goes with a MODEL; these predictions are masks already"
    elif request.data and _tells_classes(request) and not _is_folder(request.data):
        wrong = (
            "--classes, --background and --ignore-index are for folders of images and masks; "
            f"{request.data!r} has its own: name them as in --data-option classes=cat,dog"
        )
    if wrong:
        raise click.UsageError(wrong, click.get_current_context())


def _tells_classes(request: Request) -> bool:
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
    said = list(found.told)
    if request.save_predictions:
        _check_place(request.save_predictions, found.data, found.root)
    dataset = for_model(
        found.dataset,
        config.labels,
        ignore_unknown=request.ignore_unknown,
        on_message=said.append,
    )
    for text in said:
        echo(text, err=True)
    calibration = []
    if asked.precision == "fastest":
        samples = [dataset[index] for index in range(min(CALIBRATION, len(dataset)))]
        calibration = [(sample.image, sample.info) for sample in samples]
    predictor = asked.predictor([network], calibration=calibration)
    with cluster as entered:
        if entered is not None:
            echo(entered.description, err=True)
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
    about = {"data": "; ".join(said)} if said else {}
    return replace(evaluation, about={**evaluation.about, **about})


def _check_place(save_predictions: str, data: str, root: str | None) -> None:
    """Refuse a folder for masks in the data set's own that is not empty: what it holds may be the truth."""
    from segzoo.build import place_of
    from segzoo.files import lies_in, refuse_used

    folder, place = Path(save_predictions), place_of(data, root)
    if place is not None and lies_in(folder, place):
        refuse_used(folder)


def _options(request: Request) -> dict[str, Any]:
    """Return the options of the data set that were given on the command line."""
    classes = _class_names(request)
    options: dict[str, Any] = {"classes": classes} if classes else {}
    options |= {"background": request.background} if request.background else {}
    options |= {} if request.ignore_index is None else {"ignore_index": request.ignore_index}
    return options | data_options_of(request.data_options)


def _is_folder(data: str) -> bool:
    """Say whether the data are images and masks without names of classes: a folder, or a list of files."""
    from segzoo.errors import UsageError
    from segzoo.recognition import FOLDER, chosen

    try:
        return chosen(data).name == FOLDER
    except UsageError:  # opening it says what is wrong
        return True


def _labels(request: Request) -> Labels:
    from segzoo.labels import named_labels
    from segzoo.specs import numbered_labels

    names = _class_names(request) or numbered_labels(2).classes
    return named_labels(names, request.background, ignore_index=request.ignore_index)


def _class_names(request: Request) -> tuple[str, ...]:
    """Return the names of the classes that were told; none if none were."""
    from segzoo.specs import numbered_labels

    if not request.classes:
        return ()
    if request.classes.isdecimal():
        if not 2 <= int(request.classes[:9]) <= 65535:
            raise click.UsageError(
                f"--classes {request.classes}: from 2 to 65,535, the background among them if there is one",
                click.get_current_context(),
            )
        return numbered_labels(int(request.classes)).classes
    return words_of("--classes", request.classes)


def _tell(evaluation: Evaluation) -> None:
    """Print the scores, their contracts, and a table of the classes."""
    from segzoo.evaluation.results import format_number, group_tables, interval_text

    part = f", split {evaluation.split}" if evaluation.split else ""
    echo(f"{evaluation.subject} on {evaluation.data}{part}: {len(evaluation.images)} images")
    for score in evaluation.scores:
        intervals = evaluation.intervals.get(score.metric, {})
        echo(f"\n{score.metric}")
        rows = [
            (f"  {name}", format_number(value), interval_text(intervals.get(name)))
            for name, value in score.values.items()
        ]
        echo(table(rows))
        for header, groups in group_tables(evaluation, score.metric):
            echo(table([(f"  {row[0]}", *row[1:]) for row in groups], header=(f"  {header[0]}", *header[1:])))
        _tell_rule(score.contract)
    echo()
    header = ("class", "images", "IoU", "[95 %]", "Dice", "precision", "recall")
    rows = [
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
    echo(table(rows, header=header))
    _tell_rules(evaluation)


def _tell_rules(evaluation: Evaluation) -> None:
    from segzoo.evaluation.results import class_contract

    _tell_rule(class_contract(evaluation.labels))
    if evaluation.left_out:
        echo(f"  {evaluation.left_out:,} pixels left out")
    if evaluation.bootstrap.resamples:
        echo(f"  [...]: {evaluation.bootstrap.words(len(evaluation.images))}")


def _tell_rule(text: str) -> None:
    echo(click.wrap_text(text, 100, initial_indent="  ", subsequent_indent="  "))
