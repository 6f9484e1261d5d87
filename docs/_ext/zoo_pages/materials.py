"""The tables of datasets, metrics, outputs, recipes, layouts, and of other parts such as losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes

from segzoo import zoo
from segzoo.build import make_metric
from segzoo.distribution import project_of
from segzoo.specs import Labels
from zoo_pages import facts
from zoo_pages.markup import as_is, code, details, html, link, original, prose, refer
from zoo_pages.networks import title
from zoo_pages.table import NOTHING, Cell, Row, Table, cell, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from segzoo.specs import DatasetSpec

#: The classes for which the contracts of metrics are shown.
_LABELS = Labels(classes=("background", "object"))


def datasets(docname: str) -> Table:
    """Return the table of datasets."""
    del docname
    columns = ("Dataset", "Classes", "Splits", "Terms", "How to get it")
    return Table(
        kind="datasets",
        caption="Datasets: content, terms of use, and how to get them",
        columns=columns,
        rows=rows_of(_dataset, facts.parts("datasets"), len(columns)),
        facets={"package": "Package", "class": "Class"},
        flags={"fetched": "can be downloaded by a command"},
    )


def _dataset(one: facts.Part) -> Row:
    spec: DatasetSpec = one.entry.spec
    classes = spec.labels.classes if spec.labels else ()
    layout = [details("content of the folder", html("p", *prose(spec.layout)))] if spec.layout else []
    page = [html("p", link(spec.homepage, html("span", "Homepage")))] if link_of(spec.homepage) else []
    named = details(str(len(classes)), html("p", ", ".join(classes), as_is=True)) if classes else "yours"
    return Row(
        name=one.name,
        cells=(
            title(one, *page, *layout),
            cell(named, sort=len(classes) or None),
            cell(as_is(", ".join(spec.splits))),
            cell(original(spec.licence) if spec.licence else "yours"),
            _how(one.name, spec),
        ),
        facets={"package": [project_of(one.entry.owner)], "class": classes},
        flags=["fetched"] if _fetched(spec) else [],
    )


def link_of(address: str) -> str:
    """Return an address that a browser may follow, or nothing."""
    return address if address.startswith(("http://", "https://")) else ""


def _fetched(spec: DatasetSpec) -> bool:
    return bool(spec.archives)


def _how(name: str, spec: DatasetSpec) -> Cell:
    if spec.archives:
        return cell(code(f"segzoo data download {name} --out {name}"))
    if spec.by_hand:
        return cell(html("span", "Download it yourself: ", *prose(spec.by_hand), classes=["zoo-long"]))
    return cell("your own data")


def metrics(docname: str) -> Table:
    """Return the table of metrics with their contracts."""
    del docname
    columns = ("Metric", "Contract", "Better", "Needs")
    return Table(
        kind="metrics",
        caption="Metrics with their contracts, for the classes background and object",
        columns=columns,
        rows=rows_of(_metric, facts.parts("metrics"), len(columns)),
        facets={"package": "Package", "needs": "Needs"},
    )


def _metric(one: facts.Part) -> Row:
    spec = one.entry.spec
    contract, trouble = facts.guarded(lambda: make_metric(one.entry.full_name, _LABELS).contract, "")
    told = _contract(str(contract)) if contract else [f"not known: {trouble or 'the metric has no contract'}"]
    needs = ("masks", *spec.needs)
    return Row(
        name=one.name,
        cells=(
            title(one),
            cell(*told),
            cell("higher" if spec.higher_is_better else "lower"),
            cell(", ".join(needs)),
        ),
        facets={"package": [project_of(one.entry.owner)], "needs": needs},
    )


def _contract(text: str) -> list[nodes.Node | str]:
    first, _, rest = text.partition("; ")
    lines = [html("li", original(line)) for line in rest.split("; ") if line]
    return [
        html("p", original(first)),
        *([details("the whole contract", html("ul", *lines))] if lines else []),
    ]


def plain(
    kind: str, heading: str, columns: Mapping[str, Callable[[facts.Part], str]]
) -> Callable[[str], Table]:
    """Return the table of a kind whose other columns each contain code, or nothing."""
    names = (heading, *columns)

    def row(one: facts.Part) -> Row:
        texts = [column(one) for column in columns.values()]
        return Row(
            name=one.name,
            cells=(title(one), *(cell(code(text) if text else "") for text in texts)),
            facets={"package": [project_of(one.entry.owner)]},
        )

    def made(docname: str) -> Table:
        del docname
        rows = rows_of(row, facts.parts(kind), len(names))
        return Table(
            kind=kind, caption=kind.capitalize(), columns=names, rows=rows, facets={"package": "Package"}
        )

    return made


def named(kind: str, heading: str, setting: str, *, when: str = "In training") -> Callable[[str], Table]:
    """Return the table of a kind whose parts are selected by a recipe key or an option."""
    return plain(kind, heading, {when: lambda one: setting.format(one.name)})


outputs = plain(
    "outputs",
    "Output",
    {
        "File": lambda one: f"NAME{one.entry.spec.suffix}",
        "Formats": lambda one: " ".join(one.entry.spec.formats),
    },
)
readers = plain(
    "readers",
    "Reader",
    {"Files": lambda one: " ".join(one.entry.spec.suffixes), "Needs": lambda one: one.entry.spec.extra},
)
exports = plain(
    "exports",
    "Format",
    {
        "Files": lambda one: one.entry.spec.suffix,
        "Number types": lambda one: " ".join(one.entry.spec.precisions),
        "Needs": lambda one: one.entry.spec.extra,
    },
)


def recipes(docname: str) -> Table:
    """Return the table of recipes with their files."""
    columns = ("Recipe", "Data", "Model", "Settings from")
    return Table(
        kind="recipes",
        caption="Recipes: files with settings for training",
        columns=columns,
        rows=rows_of(lambda one: _recipe(one, docname), facts.parts("recipes"), len(columns)),
        facets={"package": "Package", "data": "Data"},
    )


def _recipe(one: facts.Part, docname: str) -> Row:
    from segzoo.training.recipe.files import shipped_text

    spec = one.entry.spec
    text, _ = facts.guarded(lambda: shipped_text(spec), "")
    command = code(f"segzoo train {one.name}" + ("" if spec.data else " --data FOLDER"))
    file = [details("the file", nodes.literal_block(text, text, language="toml"))] if text else []
    settings = one.known.get("settings", {})
    model = settings.get("model", "") if isinstance(settings, dict) else ""
    model = model.get("name", "") if isinstance(model, dict) else model
    return Row(
        name=one.name,
        cells=(
            title(one, html("p", command), *file),
            cell(_data(one, docname)),
            cell(code(str(model)) if model else NOTHING),
            cell(link(spec.homepage, spec.origin) if spec.origin else as_is("segzoo")),
        ),
        facets={"package": [project_of(one.entry.owner)], "data": [spec.data or "yours"]},
    )


def _data(one: facts.Part, docname: str) -> nodes.Node:
    data = one.entry.spec.data
    name = zoo.registry("datasets").meant(data, one.entry.owner).rpartition(":")[2] if data else ""
    if not name:
        return nodes.Text("yours")
    return refer("datasets", name, docname) if name in zoo.registry("datasets").names() else code(data)


def layouts(docname: str) -> Table:
    """Return the table of layouts of other programs' checkpoints."""
    del docname
    columns = ("Layout", "Recognised by these tensors", "Licence of the program")
    return Table(
        kind="layouts",
        caption="Layouts: checkpoints of other programs that segzoo reads",
        columns=columns,
        rows=rows_of(_layout, facts.parts("layouts"), len(columns)),
        facets={"package": "Package"},
    )


def _layout(one: facts.Part) -> Row:
    spec = one.entry.spec
    page = [html("p", link(spec.homepage, html("span", "The program")))] if link_of(spec.homepage) else []
    signature = html("ul", *(html("li", code(tensor)) for tensor in spec.signature), classes=["zoo-names"])
    return Row(
        name=one.name,
        cells=(
            title(one, *page),
            cell(signature),
            cell(original(spec.licence) if spec.licence else "not stated"),
        ),
        facets={"package": [project_of(one.entry.owner)]},
    )
