"""The endpoint that shows the settings of the server."""

from fastapi import APIRouter, Response

from ..access.scopes import AccessScope, needs
from .deps import ServicesDep
from .errors import problems
from .replies import JsonReply
from .schemas.shown_settings import SettingList

router = APIRouter(tags=["health"])


@router.get(
    "/settings",
    operation_id="listSettings",
    summary="See the settings",
    response_model=SettingList,
    responses=problems(503),
)
@needs(AccessScope.ADMIN)
async def list_settings(services: ServicesDep) -> Response:
    """Return the settings of the process that answers, without secrets, with their meanings and defaults.

    Keys, secrets and `JWT_PUBLIC_KEY` are not shown. URLs are shown without user, password and the values of their
    query. Other processes may have other settings.
    """
    return JsonReply(SettingList.of(services.settings).model_dump_json())
