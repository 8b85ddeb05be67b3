"""Distinguishes truncated model answers from complete ones."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult

FINISHES = {
    "openai": ("finish_reason", "status"),
    "anthropic": ("stop_reason",),
    "bedrock_converse": ("stopReason",),
}
"""The finish fields of each provider, by its name in LangChain. Every complete answer has one of its provider's fields.

`status` belongs to the Responses API. Providers not listed here have no finish field, or may omit it.
"""


class AnswerCutOff(ConnectionError):
    """The model's answer ended without its provider's finish field."""

    def __init__(self) -> None:
        super().__init__("The model's answer broke off: its stream ended without a finish.")


class FinishCheck(BaseCallbackHandler):
    """Fails a model call with a truncated answer, before a node uses the answer.

    The check is needed because clients take an orderly closed connection for the end of the answer.
    """

    raise_error = True
    run_inline = True
    ignore_retriever = ignore_agent = ignore_chain = ignore_retry = ignore_custom_event = True

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:  # noqa: ARG002  the interface of LangChain
        """Raise AnswerCutOff if an answer has no finish."""
        for generations in response.generations:
            for generation in generations:
                message = getattr(generation, "message", None)
                if isinstance(message, AIMessage) and not is_finished(message):
                    raise AnswerCutOff


def is_finished(message: AIMessage) -> bool:
    """Return whether the answer is complete, or its provider sends no finish field.

    An OpenAI answer with token usage counts as complete: usage comes last, and some servers omit the finish.
    """
    metadata = message.response_metadata
    finishes = FINISHES.get(metadata.get("model_provider", ""))
    if finishes is None or any(metadata.get(name) for name in finishes):
        return True
    return metadata["model_provider"] == "openai" and message.usage_metadata is not None
