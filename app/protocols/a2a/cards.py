"""The cards of agents, which tell clients what they can do and where."""

from urllib.parse import quote

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    APIKeySecurityScheme,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from starlette.responses import Response

from ... import __version__
from ...access.principals import Principal
from ...api.replies import JsonReply
from ...services import Services
from .calls import CURSOR
from .dialects import OLD_VERSION, VERSION
from .json_forms import json_text
from .routing import PREFIX

TEXT, JSON = "text/plain", "application/json"

INPUT_MODES = (TEXT, JSON, "image/*", "audio/*", "video/*", "application/*")
OUTPUT_MODES = (TEXT, JSON)

ABOUT = "An agent behind a durable message queue: each task is answered, even if nobody waits for it."

ABOUT_CURSOR = (
    "Each event of a stream has a cursor in its metadata, under this URI, and as the id of the server-sent event. "
    "SubscribeToTask with the header Last-Event-ID goes on behind the event with this cursor."
)


async def card_of(services: Services, caller: Principal, agent: str, base_url: str) -> AgentCard:
    """Return the card of an agent. `base_url` is the address of this server as the client knows it."""
    known = await services.descriptions.get(agent)
    about = (known.description.description if known is not None else "") or ABOUT
    url = f"{base_url.rstrip('/')}{PREFIX}/{quote(agent, safe='')}"
    card = AgentCard(
        name=agent,
        description=about,
        version=(known.description.version if known is not None else None) or __version__,
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version)
            for version in (VERSION, OLD_VERSION)
        ],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=bool(services.settings.webhook_keys),
            extended_agent_card=True,
            extensions=[AgentExtension(uri=CURSOR, description=ABOUT_CURSOR)],
        ),
        default_input_modes=INPUT_MODES if known is None or known.takes_text else (JSON,),
        default_output_modes=OUTPUT_MODES,
        skills=[AgentSkill(id=agent, name=agent, description=about, tags=["agent"])],
        security_schemes={
            "bearer": SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer")),
            "apiKey": SecurityScheme(api_key_security_scheme=APIKeySecurityScheme(location="header", name="X-API-Key")),
        },
    )
    if caller.key_id is not None or caller.by_token:  # else this server asks for none
        card.security_requirements.extend(
            SecurityRequirement(schemes={name: StringList()}) for name in ("bearer", "apiKey")
        )
    return card


async def card_reply(services: Services, caller: Principal, agent: str, base_url: str) -> Response:
    """Return the card of an agent as a reply that clients of all versions read."""
    card = await card_of(services, caller, agent, base_url)
    return JsonReply(json_text(agent_card_to_dict(card)))
