"""The ASGI application behind `segzoo serve`, also for your own uvicorn."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError, missing_extra
from segzoo.printing import printable

if TYPE_CHECKING:
    from fastapi import FastAPI

    from segzoo.prediction.predictor import Model, Predictor
    from segzoo.serving.limits import Limits

#: Names of models in URLs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def application(
    models: Model | Predictor | Sequence[Model | Predictor] | Mapping[str, Model | Predictor],
    *,
    limits: Limits | None = None,
    page: bool = True,
    allow_origins: Sequence[str] = (),
) -> FastAPI:
    """Return an ASGI application that segments the images sent to it, for a server such as uvicorn.

    Models are loaded by this call; their networks are run once when the server starts, and ``/readyz``
    reports when that is done. Routes are described at ``/docs``.

    Args:
        models: one or several models: names of weights, their folders, models that segzoo made, or a
            `segzoo.Predictor` with its own options. A mapping sets the names in URLs; by default, weights
            keep their name, and a single model is called ``model``.
        limits: size limits and timeouts.
        page: whether ``/`` is a page for dropping images.
        allow_origins: origins of web pages that may use the server from a browser (CORS), such as
            ``https://lab.example``; none by default.

    Raises:
        MissingExtraError: FastAPI or another package of the extra ``serve`` is not installed.
        UnknownNameError: there are no such weights.
        OptionError: two models have the same name, a name cannot be part of a URL, or a model measures its
            intensity over all images of a run.

    Example:
        >>> import segzoo.serving
        >>> app = segzoo.serving.application({"nuclei": "unet-nuclei"})  # then: uvicorn module:app
    """
    require_extra()
    from segzoo.prediction.predictor import Predictor
    from segzoo.serving.limits import Limits
    from segzoo.serving.routes import make_routes
    from segzoo.serving.service import Service

    predictors: dict[str, Predictor] = {}
    for name, model in _named(models).items():
        check_name(name)
        predictors[name] = model if isinstance(model, Predictor) else Predictor(model)
        check_measured(name, predictors[name])
    if not predictors:
        raise OptionError("name at least one model")
    return make_routes(Service(predictors, limits or Limits()), page=page, allow_origins=allow_origins)


def require_extra() -> None:
    """Raise unless the packages for serving are installed.

    Raises:
        MissingExtraError: a package of the extra ``serve`` is not installed.
    """
    try:
        import fastapi
        import prometheus_client
        import python_multipart
        import uvicorn
    except ImportError as error:
        raise missing_extra(f"serving needs {error.name}", "serve") from error
    del fastapi, prometheus_client, python_multipart, uvicorn


def check_name(name: str) -> None:
    """Raise unless a model's name can be part of a URL.

    Raises:
        OptionError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"{printable(name)!r} cannot be part of a URL: a name has letters, digits, '.', '_', '+' and "
            "'-', such as nuclei=runs/best"
        )


def check_measured(name: str, predictor: Predictor) -> None:
    """Raise if a model measures its intensity over all images of a run.

    Raises:
        OptionError: it does.
    """
    from segzoo.specs import intensity_text

    if predictor.needs_measuring:
        rule = intensity_text(predictor.config.preprocessing.intensity)
        raise OptionError(
            f"{name}: intensity {rule} is measured over all images of a run, which a server does not "
            f"know: leave out the last word (intensity={rule.removesuffix(':run')!r}), or measure the "
            "predictor first (Predictor.measure)"
        )


def own_name(model: str | os.PathLike[str]) -> str:
    """Return the name of weights in URLs, from their name, folder or location."""
    word = os.fspath(model).rstrip("/\\")
    return PurePath(word.partition("@")[0].rpartition(":")[2]).name


def _named(
    models: Model | Predictor | Sequence[Model | Predictor] | Mapping[str, Model | Predictor],
) -> dict[str, Model | Predictor]:
    if isinstance(models, Mapping):
        return {str(name): model for name, model in models.items()}
    many: list[Any] = list(models) if isinstance(models, list | tuple) else [models]
    found: dict[str, Model | Predictor] = {}
    for number, model in enumerate(many, start=1):
        plain = isinstance(model, str | os.PathLike)
        name = own_name(model) if plain else "model" if len(many) == 1 else f"model-{number}"
        if name in found:
            raise OptionError(
                f"two models are called {name}: give them different names, {{'first': ..., 'other': ...}}"
            )
        found[name] = model
    return found
