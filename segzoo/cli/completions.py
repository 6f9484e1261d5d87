"""Completions for the values of arguments and options. Nothing here imports torch.

Each function is passed to click as ``shell_complete``. It never raises, because the user is typing a line.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

from click.shell_completion import CompletionItem

from segzoo import zoo
from segzoo.listing import engine_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import click

    Offer = tuple[str, str]
    Find = Callable[[click.Context, str], Iterable[Offer]]
    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]

_DEVICES = ("cpu", "cuda", "cuda:0", "mps", "npu")


def offering(paths: Literal["", "file", "dir"] = "") -> Callable[[Find], Complete]:
    """Turn a function that finds words and their meanings into a completion function for click.

    Args:
        paths: kind of path that the shell should complete too.
    """

    def decorate(find: Find) -> Complete:
        @wraps(find)
        def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
            try:
                found = [offer for offer in find(ctx, incomplete) if offer[0].startswith(incomplete)]
            except Exception:
                found = []
            # If a word is offered twice, the first offer counts.
            items = [CompletionItem(word, help=about) for word, about in dict(reversed(found)).items()][::-1]
            return [*([CompletionItem(incomplete, type=paths)] if paths else []), *items]

        return complete

    return decorate


def _named(*kinds: str) -> Iterator[Offer]:
    for kind in kinds:
        for name, entry in sorted(zoo.registry(kind).items(), key=lambda item: item[0]):
            yield name, entry.spec.summary
            for alias in entry.spec.aliases:
                yield alias, entry.spec.summary


def _pairs(incomplete: str) -> Iterator[Offer]:
    """Yield decoders with encoders of plug-ins, after the name of a decoder has been typed."""
    for decoder, about in _named("decoders"):
        begun = next((f"{decoder}{mark}" for mark in "/-" if incomplete.startswith(f"{decoder}{mark}")), "")
        if begun:
            yield from ((f"{begun}{encoder}", told) for encoder, told in _named("encoders"))
        else:
            yield f"{decoder}/", f"{about}, on any encoder"


@offering("dir")
def weights(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer weights, and folders."""
    return _named("weights")


@offering()
def fetchable(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer weights that must be downloaded, because they do not ship with a plug-in."""
    there = zoo.registry("weights").items()
    return ((name, entry.spec.summary) for name, entry in there if not entry.spec.folder)


@offering("dir")
def models(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer models, weights, decoders on encoders, and folders."""
    return [*_named("models", "weights", "decoders"), *_pairs(incomplete)]


@offering("dir")
def anything(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer every name in the zoo, and folders."""
    return [*_named(*zoo.KINDS), *_pairs(incomplete)]


@offering()
def kinds(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the kinds of entries."""
    return ((kind, "") for kind in zoo.KINDS)


@offering()
def of_kind(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the names of the chosen kind."""
    kind = ctx.params.get("kind")
    return _named(kind) if kind in zoo.KINDS else ()


@offering("file")
def data(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer datasets, folders and files."""
    return _named("datasets")


@offering()
def datasets(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer datasets."""
    return _named("datasets")


@offering()
def metrics(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer metrics."""
    return _named("metrics")


@offering()
def listed_metrics(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer metrics, separated by commas."""
    return _listed(incomplete, _named("metrics"))


@offering()
def losses(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer losses."""
    return _named("losses")


@offering()
def optimizers(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer optimizers."""
    return _named("optimizers")


@offering()
def schedules(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer schedules."""
    return _named("schedules")


@offering()
def listed_trackers(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer trackers, separated by commas."""
    return _listed(incomplete, _named("trackers"))


@offering("file")
def recipes(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer recipes, and files."""
    return _named("recipes")


@offering("dir")
def folders(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer folders."""
    return ()


@offering()
def layouts(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the programs whose checkpoints can be converted."""
    return _named("layouts")


@offering()
def outputs(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer outputs, separated by commas, and their formats after a colon."""
    if ":" not in incomplete.rpartition(",")[2]:
        return _listed(incomplete, _named("outputs"))
    kinds = [(name, entry.spec) for name, entry in zoo.registry("outputs").items()]
    words = ((f"{name}:{form[1:]}", spec.summary) for name, spec in kinds for form in spec.formats)
    return _listed(incomplete, words)


@offering()
def devices(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer devices that torch supports; only torch knows which of them this machine has."""
    return ((name, "") for name in (*_DEVICES, *(["auto"] if ctx.info_name == "train" else [])))


@offering()
def splits(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the usual parts of datasets."""
    return (("train", "for training"), ("val", "for validation"), ("test", "for testing"))


@offering()
def runs(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer the ways to run a model that can be measured."""
    return ((name, "") for name in ("all", *engine_runs()))


@offering()
def clusters(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer clusters."""
    return _named("clusters")


@offering()
def engines(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer inference engines."""
    return _named("engines")


@offering()
def exports(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer export formats."""
    return _named("exports")


@offering("file")
def files(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer files."""
    return ()


@offering("dir")
def plugins(ctx: click.Context, incomplete: str) -> Iterable[Offer]:
    """Offer distributions that provide a plug-in, and folders."""
    return ((record.distribution, record.version) for record in zoo.plugins)


def _listed(incomplete: str, offers: Iterable[Offer]) -> Iterator[Offer]:
    """Yield words for the place after the last comma, together with the text before it, and none twice."""
    before, comma, _ = incomplete.rpartition(",")
    taken = before.split(",")
    return ((f"{before}{comma}{word}", about) for word, about in offers if word not in taken)
