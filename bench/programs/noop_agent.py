"""An agent that returns at once, without LangGraph: `AGENTS=noop=bench.programs.noop_agent:answer`.

If the message's text is `PORT NUMBER`, it sends the number to that port in a datagram, as the jobs of `bench.peers` do.
"""

from bench.peers.signals import send_signal


async def answer(text: str) -> str:
    """Return an empty answer. Send the signal first if the text asks for it."""
    if " " in text:
        send_signal(text)
    return ""
