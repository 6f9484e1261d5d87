"""The tables of models, weights, encoders and decoders."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.distribution import project_of
from zoo_pages import facts, words
from zoo_pages.drawings import drawing_of
from zoo_pages.markup import as_is, code, details, html, original, paper, prose, refer
from zoo_pages.options import options_of
from zoo_pages.table import NOTHING, Row, Table, cell, rows_of, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from docutils import nodes

    from zoo_pages.measuring import Measured
    from zoo_pages.table import Cell


def heading(
    name: nodes.Node, summary: Sequence[nodes.Node | str], *more: nodes.Node, aliases: Iterable[str] = ()
) -> Cell:
    """Return the cell with the name of a part and its description."""
    named: list[nodes.Node | str] = [html("span", name, classes=["zoo-name"])]
    others = [piece for alias in aliases for piece in (", ", code(alias))]
    if others:
        named.append(html("span", " or ", *others[1:], classes=["zoo-aliases"]))
    said = [html("p", *summary, classes=["zoo-summary"])] if summary else []
    return cell(html("div", *named), *said, *more)


def title(part: facts.Part, *more: nodes.Node) -> Cell:
    """Return the cell with the name of a registered part, its options and its problems."""
    spec = part.entry.spec
    told = [origin(part.entry.owner)]
    if spec.paper:
        told.append(html("p", "Paper: ", paper(spec.paper)))
    told += more
    told += options_of(part.known)
    if part.trouble:
        told.append(trouble(part.trouble))
    return heading(code(part.name), prose(spec.summary), *told, aliases=spec.aliases)


def origin(owner: str) -> nodes.Node:
    """Return the package that contains a part."""
    return html("p", "From ", code(project_of(owner)))


def figures(measured: Measured) -> tuple[Cell, Cell]:
    """Return the cells of parameters and operations."""
    if not measured.parameters:
        return cell(NOTHING), cell(NOTHING)
    return (
        cell(words.millions(measured.parameters), sort=measured.parameters),
        cell(words.giga(measured.flops), sort=measured.flops),
    )


def models(docname: str) -> Table:
    """Return the table of models, and of decoders on encoders."""
    columns = ("Model", "Parameters", "GFLOPs", "Stride", "Weights")
    rows = rows_of(lambda one: _model(one, docname), facts.models(), len(columns))
    rows += rows_of(lambda one: _pairing(one, docname), facts.pairings(), len(columns))
    return Table(
        kind="models",
        caption="Models: two classes, images of 256 x 256 pixels and three channels",
        columns=columns,
        rows=rows,
        facets={"kind": "Kind", "package": "Package", "stride": "Stride"},
        flags={"weights": "with trained weights"},
    )


def _model(one: facts.Model, docname: str) -> Row:
    told = [trouble(one.trouble)] if one.trouble else []
    return Row(
        name=one.name,
        cells=(
            heading(
                refer("models", one.name, docname),
                prose(one.entry.spec.summary),
                origin(one.entry.owner),
                *told,
                aliases=one.entry.spec.aliases,
            ),
            *_sizes(one, docname),
        ),
        **_found_by(one, "model", one.entry.owner),
    )


def _pairing(one: facts.Pairing, docname: str) -> Row:
    told = [trouble(one.measured.trouble)] if one.measured.trouble else []
    on = "the timm encoder" if one.from_timm else "the encoder"
    drawing = drawing_of(one, docname)
    return Row(
        name=one.name,
        cells=(
            heading(
                code(one.name),
                ["decoder ", code(one.decoder), f" on {on} ", code(one.encoder)],
                origin(one.owner),
                *([details("Architecture", *drawing)] if drawing else []),
                *told,
            ),
            *_sizes(one, docname),
        ),
        **_found_by(one, "decoder on encoder", one.owner),
        linked=False,
    )


def _sizes(one: facts.Model | facts.Pairing, docname: str) -> tuple[Cell, ...]:
    stride = one.measured.stride
    return (
        *figures(one.measured),
        cell(str(stride), sort=stride) if stride else cell(NOTHING),
        cell(*names_of("weights", one.weights, docname)),
    )


def _found_by(one: facts.Model | facts.Pairing, kind: str, owner: str) -> dict[str, Any]:
    """Return the facets and flags of a row."""
    stride = one.measured.stride
    return {
        "facets": {"kind": [kind], "package": [project_of(owner)], "stride": [str(stride)] if stride else []},
        "flags": ["weights"] if one.weights else [],
    }


def names_of(kind: str, names: Iterable[str], docname: str) -> list[nodes.Node | str]:
    """Return a list of links to parts."""
    found = [html("li", refer(kind, name, docname)) for name in names]
    return [html("ul", *found, classes=["zoo-names"])] if found else [NOTHING]


def weights(docname: str) -> Table:
    """Return the table of weights, with a link to the page of each."""
    columns = ("Weights", "Classes", "Parameters", "File", "Measured", "Licence")
    return Table(
        kind="weights",
        caption="Trained weights",
        columns=columns,
        rows=rows_of(lambda one: _weights(one, docname), facts.weights(), len(columns)),
        facets={"package": "Package", "class": "Class", "kind": "Kind"},
        flags={"ships": "no download", "measured": "measured by segzoo"},
    )


def _weights(one: facts.Weights, docname: str) -> Row:
    spec = one.entry.spec
    told = [origin(one.entry.owner), *([trouble(one.trouble)] if one.trouble else [])]
    return Row(
        name=one.name,
        cells=(
            heading(refer("weights", one.name, docname), prose(spec.summary), *told, aliases=spec.aliases),
            cell(*(["an encoder, no classes"] if one.of_encoder else _short(one.classes))),
            figures(one.measured)[0],
            cell(*_file(one), sort=one.bytes or None),
            cell(*_best(one)),
            cell(original(re.split("[:;]", spec.licence)[0]) if spec.licence else "not stated"),
        ),
        facets={
            "package": [project_of(one.entry.owner)],
            "class": one.classes,
            "kind": ["encoder only" if one.of_encoder else "whole model"],
        },
        flags=[flag for flag, fits in (("ships", one.shipped), ("measured", bool(one.scores))) if fits],
    )


def _short(classes: tuple[str, ...], most: int = 4) -> list[nodes.Node | str]:
    more = len(classes) - most
    some = as_is(", ".join(classes[:most]))
    return [some, " and ", as_is(str(more)), " more"] if more > 0 else [some]


def _file(one: facts.Weights) -> list[nodes.Node | str]:
    size = [", ", as_is(words.megabytes(one.bytes))] if one.bytes else []
    return ["ships" if one.shipped else "download", *size]


def _best(one: facts.Weights) -> list[nodes.Node | str]:
    found = [
        html("p", as_is(f"{name} {value:.3f}"), f" {average.replace('_', ' ')}")
        for name, metric in list(words.metrics(one.scores))[:1]
        for average, value in words.values(metric)
    ]
    return list(found) or ["not by segzoo"]


def create(name: str, *options: str) -> str:
    """Return the line of Python that builds a model."""
    return f"segzoo.create({', '.join((json.dumps(name), 'num_classes=2', *options))})"


def encoders(docname: str) -> Table:
    """Return the table of encoders."""
    columns = ("Encoder", "Parameters", "Channels of the features", "Strides")
    return Table(
        kind="encoders",
        caption="Registered encoders; most backbones of timm can be used in addition",
        columns=columns,
        rows=rows_of(lambda one: _encoder(one, docname), facts.parts("encoders"), len(columns)),
        facets={"package": "Package", "stride": "Coarsest stride"},
        flags={"pretrained": "with pretrained weights"},
    )


def _encoder(one: facts.Part, docname: str) -> Row:
    spec = one.entry.spec
    build = html("p", code(create(f"unet/{one.name}")))
    trained = [html("p", "ImageNet weights with ", code("pretrained=True"))] if spec.pretrained else []
    found = [w.name for w in facts.weights() if w.config is None and _same(w, one)]
    if found:
        trained.append(html("p", "Weights: ", *names_of("weights", found, docname)))
    return Row(
        name=one.name,
        cells=(
            title(one, build, *trained),
            _parameters(one.known),
            cell(" ".join(map(str, spec.channels))),
            cell(" ".join(map(str, spec.strides)), sort=spec.strides[-1]),
        ),
        facets={"package": [project_of(one.entry.owner)], "stride": [str(spec.strides[-1])]},
        flags=["pretrained"] if spec.pretrained else [],
    )


def _same(weights: facts.Weights, encoder: facts.Part) -> bool:
    meant = zoo.registry("encoders").meant(weights.entry.spec.model, weights.entry.owner)
    return meant in (encoder.name, encoder.entry.full_name)


def _parameters(known: dict[str, Any]) -> Cell:
    count = known.get("parameters", 0)
    return cell(words.millions(count), sort=count) if count else cell(NOTHING)


def decoders(docname: str) -> Table:
    """Return the table of decoders."""
    columns = ("Decoder", "Parameters", "Default encoder", "Features")
    return Table(
        kind="decoders",
        caption="Decoders",
        columns=columns,
        rows=rows_of(lambda one: _decoder(one, docname), facts.parts("decoders"), len(columns)),
        facets={"package": "Package"},
    )


def _decoder(one: facts.Part, docname: str) -> Row:
    spec = one.entry.spec
    encoder = zoo.registry("encoders").meant(spec.encoder, one.entry.owner).rpartition(":")[2]
    known = encoder in zoo.registry("encoders").names()
    fits = f"at least {spec.min_features}" + (", each with twice the stride" if spec.halving else "")
    build = html("p", code(create(f"{one.name}/resnet50")))
    return Row(
        name=one.name,
        cells=(
            title(one, build),
            _parameters(one.known),
            cell(refer("encoders", encoder, docname) if known else code(encoder)),
            cell(fits),
        ),
        facets={"package": [project_of(one.entry.owner)]},
    )
