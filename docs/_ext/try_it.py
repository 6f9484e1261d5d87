"""The demo on the first page: `unet-nuclei` runs in the reader's browser, by ONNX Runtime Web.

The directive ``{try-it}`` writes the HTML; `_static/try-it.js` and `_static/try-it-worker.js` do the rest.
They load files that are made once, in `build/try-it`: ONNX Runtime Web from npm, as pinned in `docs/_web`,
and the exported model. If one cannot be made, the build prints a note, and the page has a text instead.

The Chinese site uses the files of the English one, in the folder above it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import from_npm
from docutils import nodes
from PIL import Image
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

    from segzoo.config import ModelConfig

DOCS = Path(__file__).resolve().parents[1]
PINNED = DOCS / "_web"
MADE = DOCS.parent / "build/try-it"
FILES = "_static/try-it"
MODEL = "unet-nuclei"
#: Images of `docs/images` to click on, and the height in pixels of the pictures on their buttons.
SAMPLES = ("nuclei", "tissue")
_THUMBNAIL = 120
#: Initial opacity of the overlay, as in `segzoo predict`.
_OPACITY = 0.35

#: The words of the demo. They are translated with the page that has it.
WORDS = {
    "instead": "The demo needs JavaScript, and this site on a web server. The command "
    "`segzoo demo unet-nuclei` opens a similar page on your computer.",
    "about": "The model `unet-nuclei` runs in your browser, and your image never leaves your computer. "
    "The first image starts a download of {size} MB.",
    "drop": "Drop or paste a microscopy image here, or",
    "choose": "Choose an image",
    "samples": "Sample images",
    "nuclei": "Fluorescence",
    "tissue": "Stained tissue",
    "loading": "Loading the model and ONNX Runtime …",
    "running": "Segmenting …",
    "stop": "Stop",
    "stopped": "Stopped.",
    "threshold": "Threshold",
    "opacity": "Overlay opacity",
    "objects": "Nuclei: {count}",
    "area": "Area: {share} %",
    "seconds": "{seconds} s",
    "picture": "Your image with the nuclei that were found",
    "unreadable": "The browser cannot read {name} as an image. Choose a PNG, JPEG or WebP file.",
    "tiff": "The browser cannot read the TIFF file {name}. Save it as PNG (8 or 16 bits), or run "
    "`segzoo predict`, which reads TIFF.",
    "large": "The image has {pixels} megapixels, and this page takes at most {most}. Crop it, or run "
    "`segzoo predict`, which has no limit.",
    "memory": "The browser has too little memory for this image. Try a smaller image.",
    "network": "The model could not be downloaded. Check the connection, then try again.",
    "failed": "The demo does not run in this browser: {error}",
}


class try_it(nodes.General, nodes.Element):  # noqa: N801 - docutils names nodes so
    """The demo: a paragraph for each of its words, in the language of the page."""


class TryIt(SphinxDirective):
    """The demo."""

    def run(self) -> list[nodes.Node]:
        """Return its node."""
        self.env.metadata[self.env.docname]["try-it"] = "shown"
        node = try_it()
        for text in WORDS.values():
            paragraph = nodes.paragraph(text, "")
            paragraph += self.parse_inline(text)[0]
            self.set_source_info(paragraph)
            node += paragraph
        return [node]


def facts(config: ModelConfig) -> dict[str, Any]:
    """Return what the page needs to know of a model to compute the masks that segzoo computes.

    Raises:
        ExtensionError: the page cannot do what the model needs.
    """
    preprocessing, separator = config.preprocessing, config.separator
    intensity = preprocessing.intensity
    done = (
        (intensity.mode, intensity.per, intensity.over) == ("percentiles", "all", "image"),
        (preprocessing.channels, preprocessing.bands, preprocessing.resize) == ("rgb", (), None),
        separator is not None,
        (config.class_logits, config.temperature, config.smallest_object) == (1, 1, 0),
        not config.thresholds,
    )
    if not all(done) or separator is None:
        raise ExtensionError(f"_static/try-it-worker.js cannot run {MODEL}: see facts() in {__file__}")
    deep = separator.kind == "distance"
    return {
        "percentiles": [intensity.low, intensity.high],
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "threshold": config.threshold,
        # The page computes how near the end of its object a pixel lies: a distance is turned round.
        "sign": 1 if deep else -1,
        "seed": 1 - separator.seed if deep else separator.seed,
        "smallest": separator.smallest,
        "colour": config.labels.colours[1],
        "opacity": _OPACITY,
    }


class MissingError(Exception):
    """A file of the demo cannot be made."""


def runtime(made: Path = MADE) -> Path:
    """Return a folder with ONNX Runtime Web, fetched if it is not there.

    Args:
        made: folder to keep it in.

    Raises:
        MissingError: it cannot be fetched; the message says why.
    """
    return _kept(made, "runtime", [(PINNED / "package-lock.json").read_bytes()], _fetch_runtime)


def _fetch_runtime(folder: Path) -> None:
    if os.environ.get("SEGZOO_OFFLINE"):
        raise MissingError("SEGZOO_OFFLINE is set, and onnxruntime-web was not fetched before")
    with tempfile.TemporaryDirectory() as home:
        wrong = from_npm.install(PINNED, Path(home), from_npm.npm())
        if wrong:
            raise MissingError(f"onnxruntime-web could not be fetched: {wrong}")
        package = Path(home, "node_modules/onnxruntime-web/dist")
        shutil.copyfile(package / "ort.wasm.bundle.min.mjs", folder / "onnxruntime.mjs")
        _pack(package / "ort-wasm-simd-threaded.wasm", folder / "onnxruntime.wasm.gz")


def model(made: Path = MADE) -> Path:
    """Return a folder with the exported model, exported if it is not there; see `runtime`."""
    contents = [one.read_bytes() for one in sorted(weights().iterdir())]
    contents += [version(name).encode() for name in ("segmentation-zoo", "torch")]
    return _kept(made, "model", contents, _export)


def weights() -> Path:
    """Return the folder of the model's weights.

    Raises:
        MissingError: they are not installed.
    """
    from segzoo import zoo
    from segzoo.errors import UnknownNameError
    from segzoo.weights.sources import in_package

    try:
        return in_package(zoo.registry("weights").get(MODEL))
    except UnknownNameError as error:
        raise MissingError(str(error)) from error


def _export(folder: Path) -> None:
    import segzoo
    from segzoo.errors import MissingExtraError

    logging.getLogger("onnx_ir").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "model.onnx")
        try:
            segzoo.export(MODEL, file, certificate=False)
        except MissingExtraError as error:
            raise MissingError(str(error)) from error
        _halve(file)
        _pack(file, folder / "model.onnx.gz")


def _halve(file: Path) -> None:
    """Store the weights of an ONNX file in 16 bits, half the download; they are computed with in 32 bits."""
    import numpy as np
    import onnx

    model = onnx.load(file)
    graph = model.graph
    stored, casts = [], []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 64:
            half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}/half")
            casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor = half
        stored.append(tensor)
    computed = list(graph.node)
    for node in computed:
        del node.metadata_props[:]
    for field, content in (("initializer", stored), ("node", [*casts, *computed])):
        graph.ClearField(field)
        getattr(graph, field).extend(content)
    onnx.save(model, file)


def _pack(file: Path, out: Path) -> None:
    """Compress a file; web servers do it for few types, and differ in which."""
    out.write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))


def _kept(made: Path, name: str, contents: list[bytes], make: Callable[[Path], None]) -> Path:
    """Return a folder that is made again only if what it is made from has changed."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in contents)).hexdigest()[:12]
    folder = made / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    made.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made) as part:
        new = Path(part, "new")
        new.mkdir()
        make(new)
        if not folder.is_dir():
            new.rename(folder)
    for old in made.glob(f"{name}-*"):
        if old != folder:
            shutil.rmtree(old)
    return folder


def _publish(out: Path, folders: list[Path]) -> None:
    """Write the files of the demo, and the sample images with small versions of them."""
    out.mkdir(parents=True, exist_ok=True)
    samples = [DOCS / f"images/{name}.png" for name in SAMPLES]
    for file in (*samples, *(file for folder in folders for file in folder.iterdir())):
        shutil.copyfile(file, out / file.name)
    for file in samples:
        with Image.open(file) as image:
            small = image.convert("RGB")
            small.thumbnail((2 * _THUMBNAIL, _THUMBNAIL))
            small.save(out / f"{file.stem}.jpg", quality=80)


def _visit(writer: HTML5Translator, node: try_it) -> None:
    """Write the HTML: the demo is hidden until its script finds that it can run."""
    words = dict(zip(WORDS, (child.astext() for child in node.children), strict=True))
    chinese = writer.config.language == "zh_CN"
    try:
        made = Path(writer.config.try_it_made)
        folders = [runtime(made), model(made)]
    except MissingError as error:
        print(f"note: the first page has no demo: {error}", file=sys.stderr)
        writer.body.append(f'<p class="try-it-instead">{escape(words["instead"])}</p>')
        raise nodes.SkipNode from error
    if not chinese:
        _publish(Path(writer.builder.outdir, FILES), folders)
    base = f"../{FILES}/" if chinese else f"{FILES}/"
    sizes = {file.name: file.stat().st_size for folder in folders for file in folder.iterdir()}
    megabytes = f"{sum(sizes.values()) / 1e6:.0f}"
    told = {
        "base": base,
        "version": "-".join(folder.name.rpartition("-")[2] for folder in folders),
        "sizes": sizes,
        "model": facts(_config()),
        "words": words,
    }
    say = {name: escape(text) for name, text in words.items()}
    samples = "".join(
        f'<button type="button" data-sample="{name}.png">'
        f'<img src="{base}{name}.jpg" alt="{say[name]}" loading="lazy">'
        f'<span aria-hidden="true">{say[name]}</span></button>'
        for name in SAMPLES
    )
    sliders = "".join(
        f'<label>{say[name]} <input type="range" name="{name}" min="{least}" max="{most}" step="0.05">'
        "<output></output></label>"
        for name, least, most in (("threshold", 0.05, 0.95), ("opacity", 0, 1))
    )
    writer.body.append(
        f"""<p class="try-it-instead">{say["instead"]}</p>
<div class="try-it" data-try-it="{escape(json.dumps(told, ensure_ascii=False))}" hidden>
<p>{say["about"].replace("{size}", megabytes)}</p>
<div class="try-it-drop">
<p>{say["drop"]} <button type="button" data-part="choose">{say["choose"]}</button></p>
<input type="file" accept="image/*" aria-label="{say["choose"]}" hidden>
<div class="try-it-samples" role="group" aria-label="{say["samples"]}">{samples}</div>
<div class="try-it-state"><p role="status"></p>
<progress max="1" aria-label="{say["running"]}" hidden></progress>
<button type="button" data-part="stop" hidden>{say["stop"]}</button></div>
</div>
<div data-part="found" hidden>
<canvas role="img" aria-label="{say["picture"]}"></canvas>
<div class="try-it-controls">{sliders}</div>
</div></div>"""
    )
    raise nodes.SkipNode


def _config() -> ModelConfig:
    from segzoo.weights.folder import read_config

    return read_config(weights())


def _add_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    del page, template
    if doctree is not None and "try-it" in (context.get("meta") or {}):
        app.add_css_file("try-it.css")
        app.add_js_file("try-it.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("try_it_made", str(MADE), "html", types=frozenset({str}))
    app.add_node(try_it, html=(_visit, None))
    app.add_directive("try-it", TryIt)
    app.connect("html-page-context", _add_assets)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
