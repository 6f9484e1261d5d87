"""The model card of a repository, generated from the config, so that the two always agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segzoo import __version__
from segzoo.distribution import install_lines
from segzoo.labels import background_name
from segzoo.printing import command_line
from segzoo.words import group_value, preprocessing_steps, stated_scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.config import ModelConfig
    from segzoo.specs import Preprocessing

#: Licences that the Hub lists by their SPDX identifier in lower case; any other is "other" there.
_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "isc", "unlicense"),
        *("bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    }
)


def model_card(
    config: ModelConfig,
    *,
    repo: str = "",
    name: str = "",
    plugin: str = "",
    sha256: str = "",
    sample: str = "",
) -> str:
    """Return a ``README.md``: metadata for the Hub, then text for people.

    Args:
        config: config of the model.
        repo: ``org/name`` of the repository that shows the card.
        name: name under which a plug-in registers the weights, if no repository shows them.
        plugin: plug-in that registers the weights.
        sha256: hash of ``model.safetensors``.
        sample: name of a picture in the repository.
    """
    source = f"hf-hub:{repo}" if repo else name or "local-dir:this-folder"
    name = repo or name or config.architecture.name.replace(":", "-").replace("/", "-")
    sections = [
        f"# {name.rpartition('/')[2]}",
        _about(config),
        f"![{_one_line(', '.join(config.labels.classes))}]({sample})" if sample else "",
        _usage(config, source, plugin),
        _notes(config),
        _classes(config),
        _scores(config),
        *_groups(config),
        _origin(config, sha256),
    ]
    return f"---\n{_metadata(config, name, sample)}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def scores(provenance: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Yield name, value and contract of every number in a mapping that states a ``contract``."""
    for name, value, contract, _ in stated_scores(provenance):
        yield name, value, contract


def _metadata(config: ModelConfig, name: str, sample: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    architecture = config.architecture
    licence = config.licence.lower().removesuffix("-only").removesuffix("-or-later")
    parts = [part.rpartition(":")[2] for part in architecture.name.split("/")]
    results = [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="held-out",
            dataset_name=_flat(config.provenance.get("data", "the data named below")),
            metric_type=_flat(metric).replace(" ", "-"),
            metric_name=_flat(f"{metric} ({contract})"),
            metric_value=round(value, 4),
        )
        for metric, value, contract in scores(config.provenance)
    ]
    # The picture lies in the repository, where the Hub finds it by its name.
    example = {"src": sample, "example_title": name.rpartition("/")[2]}
    shown: dict[str, Any] = {"widget": [example]} if sample else {}
    data: Any = ModelCardData(
        license=(licence if licence in _LICENCES else "other") if licence else None,
        license_name=None if licence in _LICENCES or not licence else _flat(config.licence),
        library_name="segzoo",
        pipeline_tag="image-segmentation",
        tags=["segzoo", "semantic-segmentation", "pytorch", *parts],
        model_name=name.rpartition("/")[2] if results else None,
        eval_results=results or None,
        **shown,
    )
    return data.to_yaml().rstrip("\n") + "\n"


def _about(config: ModelConfig) -> str:
    architecture = config.architecture
    images = {1: "grey images", 3: "colour images"}.get(
        architecture.in_channels, f"images of {architecture.in_channels} channels"
    )
    count = len(config.labels.classes)
    masks = f"a mask of {count} classes"
    if config.labels.overlapping:
        masks = f"masks of {count} classes that overlap" if count > 1 else "a mask of one class"
    return (
        f"A semantic segmentation model, `{architecture.name}`: {images} in, {masks} out.\n"
        "The weights are safetensors and the config is JSON: nothing in this repository is run."
    )


def _usage(config: ModelConfig, source: str, plugin: str) -> str:
    needed = dict.fromkeys((*config.architecture.requires, plugin))
    plugins = [name for name in needed if name not in ("", "timm")]
    install = "\n".join(install_lines(*plugins))
    return f"""## Use it

```sh
{install}
{command_line("segzoo", "predict", "photo.jpg", "--model", source)}
```

```python
import segzoo

result = segzoo.predict("photo.jpg", model="{source}")
model = segzoo.load("{source}")  # an ordinary torch.nn.Module: images in, logits out
```

{preprocessing_in_words(config.preprocessing)}"""


def preprocessing_in_words(known: Preprocessing) -> str:
    """Return a sentence that describes the preprocessing of an image."""
    return f"{preprocessing_steps(known)}. `segzoo.predict` does all of it."


def _notes(config: ModelConfig) -> str:
    """Return what people should know before they use it; a hand-written config may contain anything."""
    notes = config.provenance.get("notes")
    if not isinstance(notes, list | tuple) or not notes:
        return ""
    return "\n".join(["## Before you use it", "", *(f"- {_one_line(note)}" for note in notes)])


def _classes(config: ModelConfig) -> str:
    labels = config.labels
    rows = [
        f"| {index} | {_one_line(name)} | `#{red:02x}{green:02x}{blue:02x}` |"
        for index, (name, (red, green, blue)) in enumerate(zip(labels.classes, labels.colours, strict=True))
    ]
    told = (
        [] if labels.background == 0 else ["", f"Background: {_one_line(background_name(labels) or 'none')}."]
    )
    if labels.overlapping:
        told = [
            "",
            f"Each class has a sigmoid, and includes the pixels where it exceeds {config.threshold:g}: "
            "a pixel may have several classes, or none.",
        ]
    if config.separator is not None:
        told += ["", f"One more logit separates touching objects, by their {config.separator.kind}."]
    if config.thresholds:
        cuts = ", ".join(f"{_one_line(name)} {value:g}" for name, value in config.thresholds.items())
        told += ["", f"Thresholds of probabilities: {cuts}."]
    chosen = config.provenance.get("chosen")
    if isinstance(chosen, dict) and isinstance(chosen.get("reasons"), list | tuple):
        reasons = "; ".join(_one_line(reason) for reason in chosen["reasons"])
        told += ["", f"Selected on validation images: {reasons}."]
    return "\n".join(["## Classes", "", "| index | class | colour |", "|---|---|---|", *rows, *told])


def _scores(config: ModelConfig) -> str:
    found = list(stated_scores(config.provenance))
    claimed = config.provenance.get("claimed")
    lines = ["## Scores", ""] if found or claimed else []
    if found:
        lines += ["| measured | value | contract |", "|---|---|---|"]
        last = ""
        for name, value, contract, interval in found:
            told = "as above" if contract == last else _one_line(contract)
            lines.append(f"| {_one_line(name)} | {value:.4f}{interval} | {told} |")
            last = contract
    if claimed:
        lines += [""] * bool(found) + [f"Claimed by the authors of the weights: {_one_line(claimed)}"]
    return "\n".join(lines)


def _groups(config: ModelConfig) -> Iterator[str]:
    """Yield a table for each tag, or expression, that groups the scored images."""
    scored = config.provenance.get(str(config.provenance.get("scored", "")))
    found = scored.get("groups") if isinstance(scored, Mapping) else None
    groups = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []
    for by in dict.fromkeys(str(one.get("by", "")) for one in groups):
        rows = [one for one in groups if str(one.get("by", "")) == by]
        columns = dict.fromkeys(
            (metric, name)
            for row in rows
            for metric, values in row.items()
            if isinstance(values, Mapping)
            for name, value in values.items()
            if isinstance(value, int | float) and "/" not in name
        )
        header = [by, "images", *(f"{metric} {name.replace('_', ' ')}" for metric, name in columns)]
        lines = [f"## Scores by {_one_line(by)}", "", f"| {' | '.join(map(_one_line, header))} |"]
        lines.append("|---" * len(header) + "|")
        for row in rows:
            cells = [_one_line(row.get("name", "")), _one_line(row.get("images", ""))]
            cells += [group_value(row, metric, name) for metric, name in columns]
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join(lines)


def _origin(config: ModelConfig, sha256: str) -> str:
    rows = [("licence", config.licence or "not stated")]
    rows += [
        (key.replace("_", " "), str(value))
        for key, value in config.provenance.items()
        if not isinstance(value, Mapping) and key not in ("claimed", "notes")
    ]
    rows += [("built with", ", ".join(f"{n} {v}" for n, v in config.architecture.requires.items()))]
    rows += [("sha256 of model.safetensors", f"`{sha256}`")] if sha256 else []
    lines = [f"| {_one_line(name)} | {_one_line(value)} |" for name, value in rows if value]
    told = f"This card was written by segzoo {__version__} from `config.json`."
    return "\n".join(["## Where it comes from", "", "| | |", "|---|---|", *lines, "", told])


def _one_line(text: object) -> str:
    """Return text that fits in a table's cell, for any content of a config."""
    return _flat(text).replace("|", "\\|").replace("<", "&lt;").replace("]", "&#93;")


def _flat(text: object) -> str:
    return " ".join(str(text).split())
