"""The API that the AI SDK's chat pages (`useChat`) post to, below `/api/chat`."""

from ...api.surfaces import Surface
from . import chats
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, chats.router.routes, error_of)
