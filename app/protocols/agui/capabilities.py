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


def capabilities_of(agent: str, *, takes_tools: bool) -> AgentCapabilities:
    """Return what this server does for an agent. What depends on the model is left out.

    With `takes_tools`, the agent is given the tools of pages.
    """
    return AgentCapabilities(
        identity=IdentityCapabilities(name=agent),
        transport=TransportCapabilities(
            streaming=True, websocket=False, http_binary=False, push_notifications=False, resumable=True
        ),
        tools=ToolsCapabilities(supported=True, client_provided=takes_tools),
        state=StateCapabilities(snapshots=True, deltas=False, memory=True, persistent_state=True),
        reasoning=ReasoningCapabilities(supported=True, streaming=True),
        human_in_the_loop=HumanInTheLoopCapabilities(supported=True, interrupts=True),
    )
