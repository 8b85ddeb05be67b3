"""The endpoint for scrapes of metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response

from ..access.scopes import AccessScope, needs
from ..errors import NotFound
from .deps import services_of
from .errors import problems

router = APIRouter(tags=["health"])

TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics in Prometheus's text format.", "content": {"text/plain": {}}}
}

OFF = "This server counts no metrics, since METRICS is false."


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Read the metrics",
    response_class=Response,
    responses=TEXT | problems(404, 503),
)
@needs(AccessScope.METRICS)
async def get_metrics(request: Request) -> Response:
    """Return the metrics of this process, and those of the queue of all tenants.

    OpenMetrics if `Accept` asks for it. The reply is 200 also while the store is away; `agentq_store_up` is then 0.
    """
    metrics = services_of(request).metrics
    if metrics is None:
        raise NotFound(OFF)
    body, media_type = await metrics.exposition(request.headers.get("accept", ""))
    return Response(body, media_type=media_type)
