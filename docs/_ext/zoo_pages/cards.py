"""A section for each of the weights: a picture, a description, scores, and how to use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes

from segzoo import zoo
from segzoo.distribution import install_lines, project_of
from segzoo.publishing.card import preprocessing_in_words
from zoo_pages import facts, words
from zoo_pages.markup import anchor, code, definitions, html, link, paper, prose, refer
from zoo_pages.pictures import picture_of
from zoo_pages.scores import scores_of
from zoo_pages.table import NOTHING, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.config import ModelConfig


def card(one: facts.Weights, docname: str) -> nodes.section:
    """Return the section of weights; if their config makes this impossible, the section shows the reason."""
    identity = anchor("weights", one.name)
    section = nodes.section(ids=[identity], names=[one.name.lower()], classes=["zoo-card"])
    section += nodes.title("", "", code(one.name))
    if one.entry.spec.summary:
        section += html("p", *prose(_sentence(one.entry.spec.summary)), classes=["zoo-summary"])
    if one.trouble:
        section += trouble(one.trouble)
    content, why = facts.guarded(lambda: list(_content(one, docname)), [])
    section += [trouble(why)] if why else content
    return section


def _content(one: facts.Weights, docname: str) -> Iterator[nodes.Node]:
    yield picture_of(one)
    yield definitions(_known(one, docname))
    if one.config is not None:
        yield _classes(one.config)
    yield from scores_of(one)
    yield html("p", html("strong", "Use"), classes=["zoo-heading"])
    yield from _usage(one)
    yield from _reproduction(one)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _known(one: facts.Weights, docname: str) -> Iterator[tuple[list[nodes.Node], list[nodes.Node]]]:
    for term, said in _rows(one, docname):
        if said:
            yield [nodes.Text(term)], said


def _rows(one: facts.Weights, docname: str) -> Iterator[tuple[str, list[nodes.Node]]]:
    spec, config, measured = one.entry.spec, one.config, one.measured
    yield "Network", _network(one)
    yield "Parameters", _text(words.millions(measured.parameters)) if measured.parameters else _text(NOTHING)
    if measured.parameters:
        yield "GFLOPs", _text(f"{words.giga(measured.flops)} at {_size(one)}")
    yield "File", _text(_file(one))
    if spec.sha256:
        yield "SHA-256", [code(spec.sha256)]
    if config is not None:
        yield "Channels", _text(str(config.architecture.in_channels))
        yield "Input", prose(preprocessing_in_words(config.preprocessing))
        if config.class_logits == 1:
            yield "Threshold", _text(f"{config.threshold:g}")
    yield "Data", _data(one, docname)
    yield "Licence", _text(spec.licence or "not stated")
    yield "Paper", [paper(spec.paper)] if spec.paper else []
    yield "Homepage", [link(spec.homepage)] if spec.homepage else []
    yield "Package", [code(project_of(one.entry.owner))]


def _text(text: str) -> list[nodes.Node]:
    return [nodes.Text(text)]


def _size(one: facts.Weights) -> str:
    height, width = one.measured.size
    resize = one.config.preprocessing.resize if one.config else None
    why = "the size to which images are resized" if resize and resize.mode != "scale" else "any size works"
    if one.config and one.config.provenance.get("recipe") and why == "any size works":
        why = "the size of crops in training; any size works"
    return f"{height} x {width} pixels, {why}"


def _network(one: facts.Weights) -> list[nodes.Node]:
    if one.config is None:
        return [nodes.Text("encoder " if one.of_encoder else ""), code(one.entry.spec.model)]
    architecture = one.config.architecture
    options = {**architecture.options, **architecture.encoder, **architecture.decoder}
    told = [
        piece for name, value in options.items() for piece in (nodes.Text(", "), code(f"{name}={value!r}"))
    ]
    return [code(architecture.name), *told]


def _file(one: facts.Weights) -> str:
    if one.shipped:
        return f"{words.megabytes(one.bytes)}, ships in the package"
    size = words.megabytes(one.bytes) if one.bytes else "size not stated"
    return f"downloaded at first use, {size}"


def _data(one: facts.Weights, docname: str) -> list[nodes.Node]:
    told = _text(one.entry.spec.data) if one.entry.spec.data else []
    name = str(one.config.provenance.get("data", "")) if one.config else ""
    if name in zoo.registry("datasets").names():
        told += [nodes.Text(": " if told else ""), refer("datasets", name, docname)]
    return told


def _classes(config: ModelConfig) -> nodes.Node:
    labels = config.labels
    shown = [
        html(
            "li",
            html(
                "span", classes=["zoo-swatch"], style=f"background-color: {_hex(colour)}", aria_hidden="true"
            ),
            html("span", name),
            " ",
            code(_hex(colour)),
        )
        for name, colour in zip(labels.classes, labels.colours, strict=True)
    ]
    return html(
        "div",
        html("p", html("strong", f"{len(shown)} classes"), classes=["zoo-heading"]),
        html("ul", *shown, classes=["zoo-classes"]),
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _usage(one: facts.Weights) -> Iterator[nodes.Node]:
    name, owner = one.name, one.entry.owner
    note, install = install_lines(owner)
    install = f"{note}\n$ {install}\n"
    if one.of_encoder:
        network = f"unet/{one.entry.spec.model}"
        text = f'import segzoo\n\nmodel = segzoo.create("{network}", num_classes=2, weights="{name}")'
        yield _block(f"{install}$ segzoo train --data FOLDER --model {network} --weights {name}", "console")
        yield _block(text, "python")
        return
    yield _block(f"{install}$ segzoo predict photo.jpg --model {name}", "console")
    yield _block(
        "import segzoo\n\n"
        f'result = segzoo.predict("photo.jpg", model="{name}")\n'
        f'model = segzoo.create("{name}")  # a torch.nn.Module: images in, logits out',
        "python",
    )
    hub = f'model = torch.hub.load("org/segzoo", "segzoo", "{name}")'
    yield _block(f"import torch\n\n{hub}  # without installing segzoo", "python")


def _block(text: str, language: str) -> nodes.Node:
    return nodes.literal_block(text, text, language=language)


def _reproduction(one: facts.Weights) -> list[nodes.Node]:
    title = html("p", html("strong", "Reproduce"), classes=["zoo-heading"])
    provenance: Any = one.config.provenance if one.config else {}
    if not provenance.get("recipe"):
        told = "No command repeats their training, because they were not trained with segzoo. Details: "
        return [title, html("p", told, code(f"segzoo reproduce {one.name}"), ".")]
    data = f" --root path/to/{provenance['data']}" if provenance.get("data") else ""
    lines = (
        f"$ segzoo reproduce {one.name}                 # the commands that created them",
        f"$ segzoo reproduce {one.name} --check{data}   # scores now, compared with the published ones",
        f"$ segzoo reproduce {one.name} --run{data}     # trained again, scored and compared",
    )
    return [title, _block("\n".join(_aligned(lines)), "console")]


def _aligned(lines: tuple[str, ...]) -> Iterator[str]:
    split = [[piece.rstrip() for piece in line.split("#")] for line in lines]
    width = max(len(command) for command, _ in split) + 2
    for command, comment in split:
        yield f"{command.ljust(width)}#{comment}"
