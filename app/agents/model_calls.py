"""Tracks the model calls of a run: their streamed pieces, which calls are internal, and which calls failed."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.constants import TAG_NOSTREAM

from .finish_check import AnswerCutOff, FinishCheck
from .joined_text import JoinedText
from .shown_events import path_of
from .token_usage import TokenUsage

MIDDLEWARE_HOOKS = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""Suffixes of the names of nodes in which `create_agent` runs middleware."""

UNNAMED_MODEL = "unknown"

INTERNAL_METADATA = ("lc_source", "lc_internal_call")
"""Metadata keys of the model calls that LangChain's middleware makes itself, such as for a summary."""


def reported_usage(answer: AIMessage) -> Mapping[str, Any]:
    """Return the token counts of an answer by name; empty for none, and for what is no mapping.

    LangChain does not check what a model of the user reports.
    """
    counts: object = answer.usage_metadata
    return counts if isinstance(counts, Mapping) else {}


class ModelCall:
    """A call of a chat model, with the part of its answer that was shown.

    - `message` is the id of the answer's message; None before the first piece.
    - `texts` are the shown pieces of content.
    - `ended`: the answer is complete.
    - `settled`: the task that made the call has finished.
    - `kept`: the message is in the conversation.
    """

    __slots__ = (
        "content", "ended", "failed", "kept", "message", "metadata", "namespace", "node", "path", "reasoning",
        "settled", "texts",
    )  # fmt: skip

    def __init__(self, node: str | None, metadata: Mapping[str, Any]) -> None:
        self.metadata = metadata
        self.node = node
        self.namespace: str = metadata.get("langgraph_checkpoint_ns", "")
        self.path = path_of(self.namespace.split("|")[:-1])
        self.message: str | None = None
        self.content = JoinedText()
        self.reasoning = JoinedText()
        self.texts: list[str] = []
        self.ended = self.failed = self.settled = self.kept = False

    @property
    def text(self) -> str:
        """Return the content that was shown."""
        return "".join(self.texts)


class ModelCalls(FinishCheck):
    """The model calls of one run.

    LangGraph streams each piece with its call's metadata; all pieces of a call share one metadata object. Calls that
    LangGraph does not stream are not tracked.
    """

    def __init__(self, tool_nodes: Collection[str], direct_tools: Collection[str], usage: TokenUsage) -> None:
        self.direct_tools = direct_tools
        """The names of tools whose result is the answer."""
        self._tool_nodes = tool_nodes
        self._usage = usage
        self._models: dict[UUID, tuple[str, str]] = {}
        self._by_metadata: dict[int, ModelCall] = {}
        self._by_run: dict[UUID, ModelCall] = {}

    @property
    def has_usage(self) -> bool:
        """Return whether calls have ended whose usage nobody has taken."""
        return self._usage.pending

    def of(self, metadata: Mapping[str, Any]) -> ModelCall | None:
        """Return the tracked call with this metadata; None if there is none."""
        return self._by_metadata.get(id(metadata))

    def forget(self, call: ModelCall) -> None:
        """Stop tracking a call. Further pieces of it are ignored."""
        self._by_metadata.pop(id(call.metadata), None)

    def is_internal(self, namespace: str) -> bool:
        """Return whether a task with this namespace runs inside a tool or middleware."""
        names = [part.split(":", 1)[0] for part in namespace.split("|")]
        return any(name in self._tool_nodes or name.endswith(MIDDLEWARE_HOOKS) for name in names)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  the interface of LangChain
        messages: list[list[BaseMessage]],  # noqa: ARG002  as above
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Track a call that begins, unless it is internal or not streamed."""
        given = metadata or {}
        self._models[run_id] = given.get("ls_model_name") or UNNAMED_MODEL, given.get("ls_provider") or ""
        if not metadata or TAG_NOSTREAM in (tags or ()):
            return
        internal = (
            any(key in metadata for key in INTERNAL_METADATA)
            or "ls_structured_output_format" in (kwargs.get("options") or {})
            or self.is_internal(metadata.get("langgraph_checkpoint_ns", ""))
        )
        if not internal:
            call = ModelCall(metadata.get("langgraph_node"), metadata)
            self._by_metadata[id(metadata)] = self._by_run[run_id] = call

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Count the tokens of the call. Raise AnswerCutOff if the answer is truncated."""
        self._count(response, *self._models.pop(kwargs["run_id"], (UNNAMED_MODEL, "")))
        call = self._by_run.pop(kwargs["run_id"], None)
        try:
            super().on_llm_end(response, **kwargs)
        except AnswerCutOff:
            self._note_failure(call)
            raise

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002  LangChain's
        """Mark a call as failed."""
        self._models.pop(run_id, None)
        self._note_failure(self._by_run.pop(run_id, None))

    def _count(self, response: LLMResult, model: str, provider: str) -> None:
        for generations in response.generations:
            for generation in generations[:1]:
                message = getattr(generation, "message", None)
                if isinstance(message, AIMessage) and (counts := reported_usage(message)):
                    named = str(message.response_metadata.get("model_name") or model)
                    self._usage.add(named, counts, str(provider))

    @staticmethod
    def _note_failure(call: ModelCall | None) -> None:
        if call is not None:
            call.failed = True
