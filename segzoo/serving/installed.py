"""Weights on this machine that the page of `segzoo demo` offers: each is loaded when it is chosen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from segzoo.serving.asgi import check_measured
from segzoo.serving.corrections import refuse_strangers
from segzoo.weights.inventory import installed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from segzoo.prediction.predictor import Predictor
    from segzoo.serving.service import Service


def add_installed(app: FastAPI, load: Callable[[str], Predictor]) -> None:
    """Let the page of a server list the weights on this machine, and load those that a person chooses.

    Args:
        app: application that `segzoo.serving.application` made.
        load: makes the predictor for the name of registered weights.
    """
    service: Service = app.state.service
    loading = asyncio.Lock()

    async def names() -> JSONResponse:
        """List the weights that can be loaded without a download."""
        found = await asyncio.to_thread(installed)
        return JSONResponse({"weights": [name for name in found if name not in service.predictors]})

    async def add(
        request: Request,
        model: Annotated[str, Query(description="Name of weights in the list.")],
        x_segzoo_page: Annotated[str, Header(description="Sent by the page of this server.")] = "",
    ) -> JSONResponse:
        """Load weights."""
        refuse_strangers(request, x_segzoo_page)
        async with loading:
            if model not in service.predictors:
                if model not in await asyncio.to_thread(installed):
                    raise HTTPException(404, f"there are no weights {model[:100]!r} on this machine")
                predictor = await asyncio.to_thread(load, model)
                check_measured(model, predictor)
                service.add(model, predictor)
        return JSONResponse({"name": model})

    app.add_api_route("/installed", names, methods=["GET"], include_in_schema=False)
    app.add_api_route("/installed", add, methods=["POST"], include_in_schema=False)
