"""Bodies of requests about assistants."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ....models.types import JsonObject
from .fields import Name
from .threads import Limit, Offset


class AssistantMatch(BaseModel):
    """A filter of assistants. `name` matches names that contain it in any case."""

    model_config = ConfigDict(extra="ignore")

    graph_id: Name | None = None
    metadata: JsonObject | None = None
    name: Name | None = None


class AssistantSearch(AssistantMatch):
    """A search for assistants. `select` names the fields to return."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[Name] | None = None
