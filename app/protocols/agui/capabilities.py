"""Tells clients what they can do with an agent. Pure."""

from ag_ui.core import (
    AgentCapabilities,
    HumanInTheLoopCapabilities,
    IdentityCapabilities,
    ReasoningCapabilities,
    StateCapabilities,
    ToolsCapabilities,
    TransportCapabilities,
)


def capabilities_of(agent: str) -> AgentCapabilities:
    """Return what this server does for each agent. What depends on the model is left out."""
    return AgentCapabilities(
        identity=IdentityCapabilities(name=agent),
        transport=TransportCapabilities(
            streaming=True, websocket=False, http_binary=False, push_notifications=False, resumable=True
        ),
        tools=ToolsCapabilities(supported=True, client_provided=False),
        state=StateCapabilities(snapshots=True, deltas=False, memory=True, persistent_state=True),
        reasoning=ReasoningCapabilities(supported=True, streaming=True),
        human_in_the_loop=HumanInTheLoopCapabilities(supported=True, interrupts=True),
    )
