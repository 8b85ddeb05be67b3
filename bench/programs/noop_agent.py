"""The agent that returns at once: `AGENTS=noop=bench.programs.noop_agent:answer`, without LangGraph.

A text of `PORT NUMBER` is told back to that port as the jobs of `bench.peers` do: one datagram with the number.
"""

from bench.peers.signals import tell


async def answer(text: str) -> str:
    """Nothing, after the signal if one is asked for."""
    if " " in text:
        tell(text)
    return ""
