"""The pages of models and weights: a picture, code to copy, facts, scores and limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from docutils import nodes

from segzoo import zoo
from segzoo.distribution import install_lines, project_of
from segzoo.publishing.card import preprocessing_in_words
from zoo_pages import facts, words
from zoo_pages.drawings import drawing_of
from zoo_pages.markup import as_is, code, definitions, details, html, link, original, paper, prose, refer
from zoo_pages.networks import create, names_of
from zoo_pages.options import options_of
from zoo_pages.overview import abilities
from zoo_pages.pictures import picture_of
from zoo_pages.scores import scores_of
from zoo_pages.table import NOTHING, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from segzoo.config import ModelConfig

#: A longer list of classes is folded.
MANY = 25


def page(one: facts.Model | facts.Weights, docname: str) -> list[nodes.Node]:
    """Return the content of a page below its title; if a plug-in makes this impossible, the page says why."""
    lead = html("span", *_summary(one), sentence=True)
    found: list[nodes.Node] = [nodes.paragraph("", "", lead, classes=["zoo-lead"])]
    if one.trouble:
        found.append(trouble(one.trouble))
    content, why = facts.guarded(lambda: [node for node in _content(one, docname) if node is not None], [])
    return [*found, *([trouble(why)] if why else content)]


def _content(one: facts.Model | facts.Weights, docname: str) -> Iterator[nodes.Node | None]:
    return _model(one, docname) if isinstance(one, facts.Model) else _weights(one, docname)


def _weights(one: facts.Weights, docname: str) -> Iterator[nodes.Node | None]:
    yield picture_of(one)
    yield _section("Use", *_usage(one), searched=False)
    yield _section("Before you use them", *_notes(one))
    yield _section("Facts", definitions(_known(_rows(one, docname))))
    if one.config is not None:
        yield _section("Classes", *_classes(one.config))
    yield _section("Scores", *scores_of(one))
    yield _abilities(facts.guarded(lambda: zoo.find_model(one.network), None)[0] if one.network else None)
    yield _section("Architecture", *drawing_of(one, docname))
    yield _section("Reproduce", *_reproduction(one), searched=False)


def _model(one: facts.Model, docname: str) -> Iterator[nodes.Node | None]:
    yield from drawing_of(one, docname)
    yield _section("Use", *_building(one), searched=False)
    yield _section("Facts", definitions(_known(_rows_of_model(one, docname))))
    yield _section("Options", *options_of(one.known, opened=True))
    yield _abilities(one.entry)
    yield _section("Weights", *(names_of("weights", one.weights, docname) if one.weights else []))


def _summary(one: facts.Model | facts.Weights) -> list[nodes.Node | str]:
    """Return the summary, or else text that describes the page."""
    kind = "a model" if isinstance(one, facts.Model) else "weights"
    package = as_is(project_of(one.entry.owner))
    return [*prose(one.entry.spec.summary)] or [f"{kind} of ", package, " for semantic segmentation"]


def _section(title: str, *content: nodes.Node | str, searched: bool = True) -> nodes.section | None:
    """Return a section, or nothing if it is empty.

    Args:
        title: title of the section.
        content: its content.
        searched: whether the site's search finds the page by words of the section.
    """
    if not content:
        return None
    found = nodes.section(ids=[nodes.make_id(title)], names=[title.lower()])
    found["classes"] += ["zoo-card", *([] if searched else ["no-search"])]
    found += [
        nodes.title("", "", html("span", title)),
        *(nodes.Text(one) if isinstance(one, str) else one for one in content),
    ]
    return found


def _abilities(network: Any) -> nodes.section | None:
    if network is None:
        return None
    limits, _ = facts.guarded(lambda: zoo.limits_of(network), None)
    return None if limits is None else _section("What the network can do", abilities(limits), searched=False)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _known(
    rows: Iterable[tuple[str, list[nodes.Node]]],
) -> Iterator[tuple[list[nodes.Node], list[nodes.Node]]]:
    for term, said in rows:
        if said:
            yield [nodes.Text(term)], said


def _rows(one: facts.Weights, docname: str) -> Iterator[tuple[str, list[nodes.Node]]]:
    spec, config, measured = one.entry.spec, one.config, one.measured
    yield "Network", _network(one, docname)
    yield "Parameters", _text(words.millions(measured.parameters)) if measured.parameters else _text(NOTHING)
    if measured.parameters:
        yield "GFLOPs", [as_is(words.giga(measured.flops)), nodes.Text(" at "), *_size(one)]
    yield "File", _file(one)
    if config is not None:
        yield "Channels", _text(str(config.architecture.in_channels))
        if one.shipped or spec.preprocessing is not None:
            yield "Input", [original(preprocessing_in_words(config.preprocessing))]
        else:
            yield "Input", _text("As the downloaded files state.")
        if config.class_logits == 1:
            yield "Threshold", _text(f"{config.threshold:g}")
    yield "Data", _data(one, docname)
    yield "Licence", [original(spec.licence)] if spec.licence else _text("not stated")
    yield "Paper", [paper(spec.paper)] if spec.paper else []
    yield "Homepage", [link(spec.homepage)] if spec.homepage else []
    yield "Package", [code(project_of(one.entry.owner))]
    yield "Other names", _codes(spec.aliases)
    if spec.sha256:
        yield "SHA-256", [code(spec.sha256)]


def _rows_of_model(one: facts.Model, docname: str) -> Iterator[tuple[str, list[nodes.Node]]]:
    spec, measured = one.entry.spec, one.measured
    if not spec.factory:
        pair = zoo.pair_of(one.entry)
        yield "Encoder", [part_of("encoders", pair.encoder, docname)]
        yield "Decoder", [part_of("decoders", pair.decoder, docname)]
    if measured.parameters:
        yield "Parameters", [as_is(words.millions(measured.parameters)), nodes.Text(", with two classes")]
        size = as_is(words.size(measured.size))
        yield "GFLOPs", [as_is(words.giga(measured.flops)), *_text(" at "), size, *_text(" pixels")]
    yield "Stride", _text(str(measured.stride)) if measured.stride else []
    yield "Paper", [paper(spec.paper)] if spec.paper else []
    yield "Package", [code(project_of(one.entry.owner))]
    yield "Other names", _codes(spec.aliases)


def part_of(kind: str, entry: Any, docname: str) -> nodes.Node:
    """Return a link to a registered encoder or decoder; code for a backbone of timm."""
    names = {found.full_name: name for name, found in zoo.registry(kind).items()}
    return refer(kind, names[entry.full_name], docname) if entry.full_name in names else code(entry.full_name)


def _codes(names: Iterable[str]) -> list[nodes.Node]:
    found: list[nodes.Node] = [piece for name in names for piece in (nodes.Text(", "), code(name))]
    return found[1:]


def _text(text: str) -> list[nodes.Node]:
    return [nodes.Text(text)]


def _size(one: facts.Weights) -> list[nodes.Node]:
    resize = one.config.preprocessing.resize if one.config else None
    why = "the size to which images are resized" if resize and resize.mode != "scale" else "any size works"
    if one.config and one.config.provenance.get("recipe") and why == "any size works":
        why = "the size of crops in training; any size works"
    return [as_is(words.size(one.measured.size)), nodes.Text(f" pixels, {why}")]


def _network(one: facts.Weights, docname: str) -> list[nodes.Node]:
    if one.config is None:
        return [nodes.Text("encoder " if one.of_encoder else ""), code(one.entry.spec.model)]
    architecture = one.config.architecture
    options = {**architecture.options, **architecture.encoder, **architecture.decoder}
    told = [
        piece for name, value in options.items() for piece in (nodes.Text(", "), code(f"{name}={value!r}"))
    ]
    model = next((m for m in facts.models() if one.network in facts.networks_of(m.entry)), None)
    return [refer("models", model.name, docname) if model else code(architecture.name), *told]


def _notes(one: facts.Weights) -> list[nodes.Node]:
    """Return what the card says about limits and terms; a hand-written config may contain anything."""
    provenance: Any = one.config.provenance if one.config else {}
    notes = provenance.get("notes")
    told = [*(notes if isinstance(notes, list | tuple) else []), provenance.get("terms")]
    found = [html("li", original(_sentence(str(note).rstrip(".")))) for note in told if note]
    return [html("ul", *found)] if found else []


def _file(one: facts.Weights) -> list[nodes.Node]:
    size = as_is(words.megabytes(one.bytes))
    if one.shipped:
        return [size, nodes.Text(", ships in the package")]
    return [nodes.Text("downloaded at first use, "), size if one.bytes else nodes.Text("size not stated")]


def _data(one: facts.Weights, docname: str) -> list[nodes.Node]:
    told: list[nodes.Node] = [original(one.entry.spec.data)] if one.entry.spec.data else []
    name = str(one.config.provenance.get("data", "")) if one.config else ""
    if name in zoo.registry("datasets").names():
        told += [nodes.Text(": " if told else ""), refer("datasets", name, docname)]
    return told


def _classes(config: ModelConfig) -> list[nodes.Node]:
    labels = config.labels
    shown = [
        html(
            "li",
            html(
                "span", classes=["zoo-swatch"], style=f"background-color: {_hex(colour)}", aria_hidden="true"
            ),
            as_is(name),
            " ",
            code(_hex(colour)),
        )
        for name, colour in zip(labels.classes, labels.colours, strict=True)
    ]
    listed = html("ul", *shown, classes=["zoo-classes"])
    return [
        details(html("span", as_is(str(len(shown))), " classes"), listed) if len(shown) > MANY else listed
    ]


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _usage(one: facts.Weights) -> Iterator[nodes.Node]:
    name, install = one.name, _install(one.entry.owner)
    if one.of_encoder:
        network = f"unet/{one.entry.spec.model}"
        line = f"model = {create(network, f'weights={json.dumps(name)}')}"
        yield _block(f"{install}$ segzoo train --data FOLDER --model {network} --weights {name}", "console")
        yield _block(f"import segzoo\n\n{line}", "python")
        return
    lines = (
        f"$ segzoo predict photo.jpg --model {name}     # masks of images or folders",
        f"$ segzoo train --data FOLDER --model {name}   # fine-tune on your images",
    )
    yield _block(install + "\n".join(_aligned(lines)), "console")
    yield _block(
        "import segzoo\n\n"
        f'result = segzoo.predict("photo.jpg", model="{name}")\n'
        f'model = segzoo.create("{name}")  # a torch.nn.Module: images in, logits out',
        "python",
    )
    yield _hub(name)


def _building(one: facts.Model) -> Iterator[nodes.Node]:
    takes = one.known.get("takes") or {}
    needed = [f"{name}=..." for name, said in takes.items() if said["default"] == "(required)"]
    settings = "".join(f" model.{one}" for one in needed)
    lines = [f"$ segzoo train --data FOLDER --model {one.name}{settings}   # train on your images"]
    if not needed:
        lines.append(f"$ segzoo draw {one.name}                          # its architecture as a picture")
    yield _block(_install(one.entry.owner) + "\n".join(_aligned(lines)), "console")
    yield _block(f"import segzoo\n\nmodel = {create(one.name, *needed)}", "python")
    yield _hub(one.name, "num_classes=2", *needed)


def _install(owner: str) -> str:
    note, install = install_lines(owner)
    return f"{note}\n$ {install}\n"


def _hub(name: str, *options: str) -> nodes.Node:
    given = "".join(f", {option}" for option in options)
    line = f'model = torch.hub.load("org/segzoo", "segzoo", "{name}"{given})'
    return _block(f"import torch\n\n{line}  # without installing segzoo", "python")


def _block(text: str, language: str) -> nodes.Node:
    return nodes.literal_block(text, text, language=language)


def _reproduction(one: facts.Weights) -> list[nodes.Node]:
    provenance: Any = one.config.provenance if one.config else {}
    if not provenance.get("recipe"):
        told = "No command repeats their training, because they were not trained with segzoo. Details: "
        return [html("p", told, code(f"segzoo reproduce {one.name}"), ".")]
    data = f" --root path/to/{provenance['data']}" if provenance.get("data") else ""
    lines = (
        f"$ segzoo reproduce {one.name}                 # the commands that created them",
        f"$ segzoo reproduce {one.name} --check{data}   # scores now, compared with the published ones",
        f"$ segzoo reproduce {one.name} --run{data}     # trained again, scored and compared",
    )
    return [_block("\n".join(_aligned(lines)), "console")]


def _aligned(lines: Sequence[str]) -> Iterator[str]:
    split = [[piece.rstrip() for piece in line.split("#")] for line in lines]
    width = max(len(command) for command, _ in split) + 2
    for command, comment in split:
        yield f"{command.ljust(width)}#{comment}"
