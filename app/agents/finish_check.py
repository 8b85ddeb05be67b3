"""Tells a truncated model answer from a complete one."""

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

`status` belongs to the Responses API. Other classes have no such name, or may omit the finish.
"""


class AnswerCutOff(ConnectionError):
    """The model's answer ended without its provider's finish field."""

    def __init__(self) -> None:
        super().__init__("The model's answer broke off: its stream ended without a finish.")


class FinishCheck(BaseCallbackHandler):
    """Fails a model call whose answer was truncated, before its node uses the answer.

    To the clients, a connection closed in order looks like the end of the answer.
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
    """Return whether the answer is complete, or its provider does not tell.

    With OpenAI's protocol the usage follows the finish, and some servers send only the usage.
    """
    metadata = message.response_metadata
    finishes = FINISHES.get(metadata.get("model_provider", ""))
    if finishes is None or any(metadata.get(name) for name in finishes):
        return True
    return metadata["model_provider"] == "openai" and message.usage_metadata is not None
