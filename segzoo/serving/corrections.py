"""Corrected masks of `segzoo demo`: the page sends them, and they are saved as pairs that training reads."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import Header, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from segzoo.data_conversion.targets import FolderTarget, mask_png
from segzoo.errors import OptionError
from segzoo.files import write_whole
from segzoo.printing import command_line
from segzoo.serving.routes import page_route
from segzoo.serving.uploads import TooLargeError, Upload, image_suffix, most_taken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

    from segzoo.serving.service import Service
    from segzoo.specs import Labels

#: Names under which a browser of this machine knows it.
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_CLASSES = 256


def add_corrections(app: FastAPI, folder: Path, *, sources: Mapping[str, str] | None = None) -> None:
    """Add a page to a server on which masks are corrected, and save what it sends.

    Pages of other sites cannot save anything: a request needs a header that no browser lets them send, and
    the server's own address.

    Args:
        app: application that `segzoo.serving.application` made with ``page=False``.
        folder: where pairs are saved, as ``images/NAME`` and ``masks/NAME.png``.
        sources: what `--model` of `segzoo train` takes for each model, if it is not its name.
    """
    service: Service = app.state.service

    async def save(
        request: Request,
        model: Annotated[str, Query(description="Model whose classes the mask has.")],
        bands: Annotated[str, Query(description="Bands that the network got, if they were chosen.")] = "",
        intensity: Annotated[str, Query(description="Rule that scaled the values, if it was chosen.")] = "",
        x_segzoo_page: Annotated[str, Header(description="Sent by the page of this server.")] = "",
    ) -> JSONResponse:
        """Save an image and its corrected mask: a form with the files ``image`` and ``mask``.

        The mask has one byte for each pixel, row by row: the index of its class.
        """
        refuse_strangers(request, x_segzoo_page)
        if model not in service.predictors:
            raise HTTPException(404, f"there is no model {model[:100]!r}")
        most = 2 * service.limits.max_bytes
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > most:
            raise TooLargeError(f"a correction may have at most {most:,} bytes")
        async with request.form(max_files=2, max_fields=2) as form:
            image, mask = form.get("image"), form.get("mask")
            if image is None or mask is None or isinstance(image, str) or isinstance(mask, str):
                raise OptionError("a correction is a form with two files, image and mask")
            content, values = await image.read(), await mask.read()
            name = PurePath(image.filename or "image.png").name
        labels = service.predictors[model].config.labels
        stem = save_pair(folder, content, name, values, labels, most=service.limits.max_pixels)
        train = ["segzoo", "train", "--data", folder, "--model", (sources or {}).get(model, model)]
        # Trained weights lose much of what they know at the default rate for new ones.
        train.append("lr=1e-4")
        chosen = {"bands": bands, "intensity": intensity}
        options = [f"data.{name}={value}" for name, value in chosen.items() if value]
        return JSONResponse(
            {
                "name": stem,
                "folder": str(folder),
                "saved": len(list((folder / "masks").glob("*.png"))),
                "train": command_line(*train, *FolderTarget(labels).options(), *options),
            }
        )

    page = page_route("page.html", sources=sources or {})
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/corrections", save, methods=["POST"], include_in_schema=False)


def refuse_strangers(request: Request, header: str) -> None:
    """Raise unless a request comes from this server's own page, on this machine.

    Args:
        request: the request.
        header: its ``X-Segzoo-Page``, which the browser lets no page of another site send.

    Raises:
        HTTPException: it comes from elsewhere.
    """
    if request.url.hostname not in _LOOPBACK or header != "1":
        raise HTTPException(403, "this address is for the page of this server alone")


def save_pair(
    folder: Path, content: bytes, name: str, values: bytes, labels: Labels, *, most: int = 0
) -> str:
    """Save an image and its mask; the pair of the same image that was saved before is replaced.

    Args:
        folder: where to save them.
        content: bytes of the image's file, which are saved unchanged.
        name: name of the file.
        values: class index of each pixel, one byte each, row by row.
        labels: names and colours of the classes.
        most: pixels that the image may have; as many as readers decode if 0.

    Returns:
        The name of the pair, without suffix.

    Raises:
        ImageError: the content is no image.
        OptionError: the mask does not fit the image or the classes.
        FailureError: the files cannot be written.
    """
    count = len(labels.classes)
    if labels.overlapping or count > _MOST_CLASSES:
        raise OptionError("only masks of at most 256 classes that do not overlap can be corrected")
    suffix = image_suffix(name)
    upload = Upload(content, name=name, suffix=suffix, page=None, most=most or most_taken())
    try:
        upload.measure()
        info = upload.info
    finally:
        upload.close()
    assert info is not None
    if len(values) != info.height * info.width:
        raise OptionError(
            f"the mask has {len(values):,} pixels and the image {info.width} x {info.height}: one byte each"
        )
    mask = np.frombuffer(values, np.uint8).reshape(info.height, info.width)
    if mask.max() >= count:
        raise OptionError(f"the mask holds the class {mask.max()}, and there are {count} classes, from 0")
    stem = _stem(name, suffix, content)
    write_whole(folder / "images" / f"{stem}{suffix or f'.{info.format.lower()}'}", content)
    write_whole(folder / "masks" / f"{stem}.png", mask_png(mask, labels))
    return stem


def _stem(name: str, suffix: str, content: bytes) -> str:
    """Return the name of a pair: the file's, and a few digits by which images of one name differ."""
    plain = re.sub(r"[^\w-]+", "-", name[: len(name) - len(suffix)] if suffix else name).strip("-")[:80]
    return f"{plain or 'image'}-{hashlib.sha256(content).hexdigest()[:8]}"
