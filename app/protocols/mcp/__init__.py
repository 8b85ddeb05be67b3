"""The Model Context Protocol (MCP) at `/mcp`: the queue and the agents as tools of other agents.

The package `mcp` takes seconds to import, so only the first request imports the modules that need it.
"""

from ...api.surfaces import Surface
from . import endpoints
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, endpoints.router.routes, error_of)
