"""OpenAI's API, below `/v1`, for its SDKs and for the tools that speak it."""

from ...api.surfaces import Surface
from . import chat, conversations, models, responses
from .errors import error_of
from .limit_names import with_openai_names
from .routing import PREFIX

_MODULES = (models, chat, responses, conversations)

BARE_PATHS = ("/chat/completions", "/responses", "/models", "/conversations")

SURFACE = Surface(
    PREFIX, [route for module in _MODULES for route in module.router.routes], error_of, BARE_PATHS, with_openai_names
)
