"""The routes of the server: URLs, their answers, and the status codes of errors."""

from __future__ import annotations

import logging
import math
import re
import time
import uuid
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

import segzoo
from segzoo.errors import ImageError, MissingExtraError, SegzooError, UsageError, did_you_mean
from segzoo.prediction.outputs import OutputOptions
from segzoo.prediction.shortage import MemoryShortageError
from segzoo.printing import as_json, markup, printable
from segzoo.serving.answers import NotAcceptableError, answers, class_facts, requested_output
from segzoo.serving.batching import QueueFullError, StoppedError
from segzoo.serving.choices import Choices, option_of
from segzoo.serving.service import GoneError
from segzoo.serving.uploads import ForeignBodyError, SlowClientError, TooLargeError
from segzoo.specs import intensity_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from segzoo.serving.batching import QueuedImage
    from segzoo.serving.service import Service

#: One line for each request.
_log = logging.getLogger("segzoo.serving")
#: Request ids of clients that are accepted; others are replaced.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}")
#: HTTP status by error class; the first match counts.
_STATUS: tuple[tuple[type[SegzooError], int], ...] = (
    (TooLargeError, 413),
    (MemoryShortageError, 413),
    (SlowClientError, 408),
    (ForeignBodyError, 415),
    (NotAcceptableError, 406),
    (QueueFullError, 429),
    (StoppedError, 503),
    (ImageError, 422),
    (MissingExtraError, 422),
    (UsageError, 400),
)
#: Status in logs and metrics for a client that disconnected before the answer.
_GONE = 499
#: URLs that monitoring systems request.
_LOOKS = ("/healthz", "/readyz", "/metrics")

Name = Annotated[str, PathParameter(description="Name of a model, as listed at `/v1/models`.")]
Page = Annotated[int | None, Query(ge=0, description="Page of a stack, from 0; the first by default.")]
Output = Annotated[
    str | None,
    Query(
        description="`json`, or an output of `segzoo list outputs`, optionally with a format after a colon, "
        "such as `mask:tif`. By default, the `Accept` header decides."
    ),
]
Threshold = Annotated[
    float | None,
    Query(gt=0, lt=1, description="Probability threshold of a binary model or of all overlapping classes."),
]
ClassThresholds = Annotated[
    list[str] | None,
    Query(description="Probability threshold of one class, such as `roof=0.4`; may be repeated."),
]
Bands = Annotated[
    str | None,
    Query(description="Bands of the image for the network, by name or by number from 1, such as `4,3,2`."),
]
IntensityRule = Annotated[
    str | None,
    Query(
        description="Rule for scaling pixel values, such as `percentiles:1,99.8`, `range:0,4095`, "
        "`window:40,400`, `dtype` or `uint8`."
    ),
]
Only = Annotated[list[str] | None, Query(description="Show only these classes; others become background.")]
Opacity = Annotated[float, Query(ge=0, le=1, description="Overlay opacity.")]
LineWidth = Annotated[
    int | None, Query(ge=0, le=100, description="Width of outlines in pixels; 0 for no outlines.")
]
Simplify = Annotated[
    float,
    Query(
        ge=0,
        le=1000,
        description="Largest distance in pixels between a polygon and a corner that is left out.",
    ),
]
Coco = Annotated[Literal["rle", "polygons"], Query(description="Format of objects in `coco`.")]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of an image, in any format that segzoo reads, or a form with one file.",
        "content": {
            "application/octet-stream": _BINARY,
            "image/*": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "string", "format": "binary"}},
                    "required": ["image"],
                }
            },
        },
    }
}
_ERROR = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {"type": "string"},
                    "request_id": {"type": "string"},
                    "option": {
                        "type": "string",
                        "description": "Option that the error is about.",
                    },
                    "bands": {"type": "array", "description": "Bands of the image, if they do not fit."},
                },
            }
        }
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask, or the output that was requested.",
        "content": {
            "image/png": _BINARY,
            "application/json": {"schema": {"type": "object"}},
            "application/geo+json": {"schema": {"type": "object"}},
        },
    },
    **{
        status: {"description": text, **_ERROR}
        for status, text in {
            400: "An option is wrong.",
            404: "There is no such model.",
            406: "None of the accepted media types is available.",
            408: "The image did not arrive in time.",
            413: "The body has too many bytes, or the image has too many pixels.",
            415: "The body is compressed.",
            422: "The body is not an image, is damaged, or has bands or values that do not fit the model.",
            429: "The queue is full; `Retry-After` says when to try again.",
            503: "The server is stopping.",
        }.items()
    },
}


def make_routes(service: Service, *, page: bool, allow_origins: Sequence[str]) -> FastAPI:
    """Return the application.

    Args:
        service: service that answers.
        page: whether ``/`` is a page for dropping images.
        allow_origins: origins of web pages that may use it from a browser.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="segzoo",
        version=segzoo.__version__,
        description="Semantic segmentation: an image in, a mask out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    if allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(allow_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Server-Timing", "Retry-After"],
        )
    app.add_middleware(RequestLog, service=service)
    app.add_exception_handler(SegzooError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_prediction(app, service)
    _add_facts(app, service)
    if page:
        app.add_api_route("/", page_route("page.html"), methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/docs", page_route("docs.html"), methods=["GET", "HEAD"], include_in_schema=False)
    return app


def _add_prediction(app: FastAPI, service: Service) -> None:
    async def named(name: Name) -> str:
        _check(service, name)
        return name

    async def only_model() -> str:
        if len(service.predictors) > 1:
            known = ", ".join(f"/v1/models/{name}/predict" for name in service.predictors)
            raise HTTPException(404, f"this server has several models: post to {known}")
        return next(iter(service.predictors))

    for path, name, chosen in (
        ("/v1/models/{name}/predict", "predict", named),
        ("/predict", "predict_only", only_model),
    ):
        app.add_api_route(
            path,
            _predict(service, chosen),
            name=name,
            methods=["POST"],
            responses=_ANSWERS,
            response_class=Response,
            openapi_extra=_BODY,
            tags=["masks"],
        )


def _predict(service: Service, chosen: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[Response]]:
    """Return the route that segments an image.

    Args:
        service: service that answers.
        chosen: returns the name of the model that a request is for.
    """

    async def predict(
        request: Request,
        name: str = Depends(chosen),
        output: Output = None,
        only: Only = None,
        threshold: Threshold = None,
        class_threshold: ClassThresholds = None,
        bands: Bands = None,
        intensity: IntensityRule = None,
        opacity: Opacity = 0.35,
        line_width: LineWidth = None,
        simplify: Simplify = 0.0,
        coco: Coco = "rle",
        page: Page = None,
    ) -> Response:
        """Segment an image.

        The answer is a PNG whose values are class indices and whose palette has the colours of the classes,
        unless `?output=` or `Accept` requests something else. `/predict` works if the server has one model.
        """
        request.state.model = name
        labels = service.predictors[name].config.labels
        options = OutputOptions(
            classes=tuple(only or ()), opacity=opacity, line_width=line_width, simplify=simplify, coco=coco
        )
        choices = Choices(
            threshold=threshold,
            class_thresholds=tuple(class_threshold or ()),
            bands=bands,
            intensity=intensity,
        )
        requested = requested_output(output, request.headers.get("accept", ""), labels, options)
        try:
            answer, image, notes = await service.segment(request, name, requested, choices, page)
        except (GoneError, ClientDisconnect):
            return Response(status_code=_GONE)
        stages = _stages(image)
        service.measures.stages(name, stages)
        request.state.batch = image.batch
        timing = ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages.items())
        headers = {"Server-Timing": timing, "X-Segzoo-Model": name}
        if notes:
            headers["X-Segzoo-Note"] = (
                "; ".join(map(printable, notes))[:1000].encode("ascii", "replace").decode()
            )
        return Response(answer.body, media_type=answer.media_type, headers=headers)

    return predict


def _stages(image: QueuedImage) -> dict[str, float]:
    """Return the seconds in each stage of an image, including waiting."""
    moments = [image.moments[name] for name in ("accepted", "decoded", "segmented", "answered")]
    names = ("decode", "network", "encode")
    return {name: moments[place + 1] - moments[place] for place, name in enumerate(names)}


def _add_facts(app: FastAPI, service: Service) -> None:
    async def models() -> JSONResponse:
        """List the models, their classes, and the available outputs."""
        found = [_described(service, name) for name in service.predictors]
        return JSONResponse({"models": found, "outputs": answers()})

    async def model(name: Name) -> JSONResponse:
        """Describe one model."""
        _check(service, name)
        return JSONResponse(_described(service, name))

    async def healthz() -> JSONResponse:
        """Report that the process is alive."""
        return JSONResponse({"status": "alive"})

    async def readyz() -> JSONResponse:
        """Report whether images are accepted: all networks have been run, and the server is not stopping."""
        status = "stopping" if service.draining else "ready" if service.ready else "warming up"
        return JSONResponse({"status": status}, status_code=200 if service.ready else 503)

    async def metrics() -> Response:
        """Return the metrics in Prometheus' format."""
        return Response(service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path, route, tag in (
        ("/v1/models", models, "models"),
        ("/v1/models/{name}", model, "models"),
        ("/healthz", healthz, "health"),
        ("/readyz", readyz, "health"),
        ("/metrics", metrics, "health"),
    ):
        app.add_api_route(path, route, tags=[tag], response_class=Response)
        app.add_api_route(path, route, methods=["HEAD"], include_in_schema=False)


def _check(service: Service, name: str) -> None:
    if name not in service.predictors:
        known = list(service.predictors)
        told = did_you_mean(name[:100], known, f"there are {', '.join(known)}")
        raise HTTPException(404, f"there is no model {printable(name[:100])!r}{told}")


def _described(service: Service, name: str) -> dict[str, Any]:
    predictor = service.predictors[name]
    config = predictor.config
    labels, preprocessing = config.labels, config.preprocessing
    return {
        "name": name,
        "path": f"/v1/models/{name}/predict",
        "network": config.architecture.name,
        "engine": predictor.engine.description,
        "channels": config.architecture.in_channels,
        "bands": list(preprocessing.bands),
        "intensity": intensity_text(preprocessing.intensity),
        "threshold": config.threshold if config.has_threshold else None,
        "class_thresholds": predictor.class_thresholds,
        "overlapping": labels.overlapping,
        "classes": class_facts(labels),
        "queue": service.batchers[name].length,
    }


def page_route(name: str, *, sources: Mapping[str, str] | None = None) -> Any:
    """Return the route of a page that ships with this package.

    Args:
        name: name of its file.
        sources: weights of each model, for a page that loads weights and saves corrected masks, which
            `segzoo.serving.corrections` and `segzoo.serving.installed` answer.
    """
    folder = files("segzoo.serving")
    text = folder.joinpath(name).read_text(encoding="utf-8")
    if "<script></script>" in text:  # the script is a file of its own
        script = folder.joinpath(name.replace(".html", ".js")).read_text(encoding="utf-8")
        text = text.replace("<script></script>", f"<script>\n{script}</script>")
    if sources is not None:
        text = text.replace("<html ", f'<html data-sources="{markup(as_json(sources))}" ', 1)
    # The page loads nothing from other servers, and may not be embedded in a frame.
    policy = (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    async def show() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    return show


def _error(
    request: Request, status: int, text: str, headers: dict[str, str] | None = None, *, option: str = ""
) -> JSONResponse:
    told: dict[str, Any] = {"error": text, "request_id": request.state.id}
    if option:
        told["option"] = option
    if option == "bands" and (bands := getattr(request.state, "bands", [])):
        told["bands"] = bands
    request.state.error = text
    return JSONResponse(told, status_code=status, headers=headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        _log.error("%s failed", request.state.id, exc_info=error)
        return _error(request, status, "the server could not segment the image; its log says why")
    headers: dict[str, str] = {}
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(min(max(math.ceil(error.seconds), 1), 120))
    if status == 408:
        headers["Connection"] = "close"
    return _error(request, status, str(error), headers, option=option_of(error))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = error.detail
    if text == "Invalid multipart data.":
        text = "the form cannot be read: its encoding does not match its Content-Type"
    if error.status_code == 404 and text == "Not Found":
        text = "there is nothing at this URL; /docs lists all URLs"
    if error.status_code == 405:
        text = f"this URL does not accept {request.method}; /docs shows what it accepts"
    return _error(request, error.status_code, text, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [(".".join(map(str, one["loc"][1:])), one["msg"].lower()) for one in error.errors()]
    return _error(request, 400, "; ".join(f"{name}: {text}" for name, text in wrong), option=wrong[0][0])


class RequestLog:
    """Gives every request an id, counts it, and logs it in one line.

    Args:
        app: application that answers.
        service: service whose metrics count the request.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request = Request(scope)
        request.state.id = name = _id(request.headers.get("x-request-id", ""))
        status, sent = 0, 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
                # Else the client would send its next request to a closed connection.
                if self._service.draining:
                    message["headers"].append((b"connection", b"close"))
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception as error:
            _log.error("%s failed", name, exc_info=error)
            if not status:
                answer = _error(request, 500, "the server could not answer; its log says why")
                await answer(scope, receive, counted)
        finally:
            state = request.state
            model, received = getattr(state, "model", ""), getattr(state, "received", 0)
            seconds = time.perf_counter() - began
            self._service.measures.request(model, status or _GONE, seconds, received, sent)
            # Health checks are frequent.
            level = logging.DEBUG if scope["path"] in _LOOKS and status < 400 else logging.INFO
            batch = f", batch of {state.batch}" if hasattr(state, "batch") else ""
            error = f": {printable(state.error)}" if hasattr(state, "error") else ""
            _log.log(
                level,
                "%s %s %s %d in %.1f ms, %d bytes in, %d out%s%s",
                name,
                scope["method"],
                printable(scope["path"][:200]),
                status or _GONE,
                seconds * 1000,
                received,
                sent,
                batch,
                error,
            )


def _id(given: str) -> str:
    return given if _SANE.fullmatch(given) else uuid.uuid4().hex
