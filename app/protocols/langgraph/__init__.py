"""The API of LangGraph's server, below `/langgraph`, for its SDKs and for pages that are built on them."""

from ...api.surfaces import Surface
from . import streams, system
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, [*system.router.routes, *streams.router.routes], error_of)
