"""Tells a model's answer that was cut from one that is complete."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult

FINISHES = {
    "openai": ("finish_reason", "status"),
    "anthropic": ("stop_reason",),
    "bedrock_converse": ("stopReason",),
}
"""The fields that end every answer, by the provider's name in LangChain. Each answer's last piece has one of them.

`status` is that of the Responses API. Other classes give no such name, or may leave the finish out.
"""


class AnswerCutOff(ConnectionError):
    """The model's answer ended without the finish that all of its answers have."""

    def __init__(self) -> None:
        super().__init__("The model's answer broke off: its stream ended without a finish.")


class FinishCheck(BaseCallbackHandler):
    """Fails a model call whose answer was cut, before its node takes the answer for a whole one.

    A connection that is closed in order looks to the clients like the end of the answer.
    """

    raise_error = True
    run_inline = True
    ignore_retriever = ignore_agent = ignore_chain = ignore_retry = ignore_custom_event = True

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # noqa: ARG002  the interface of LangChain
        """Raise AnswerCutOff for an answer without its finish."""
        for generations in response.generations:
            for generation in generations:
                message = getattr(generation, "message", None)
                if isinstance(message, AIMessage) and not is_finished(message):
                    raise AnswerCutOff


def is_finished(message: AIMessage) -> bool:
    """Return whether the answer is whole, as far as its provider tells.

    With OpenAI's protocol the usage comes behind the finish, and some servers send only that.
    """
    told = message.response_metadata
    finishes = FINISHES.get(told.get("model_provider", ""))
    if finishes is None or any(told.get(name) for name in finishes):
        return True
    return told["model_provider"] == "openai" and message.usage_metadata is not None
