"""Runs as JSON."""

from typing import Any

from ...models.messages import Message
from ...text import rfc3339
from ..runs import Run
from .ids import assistant_id_of
from .kept import Kept
from .run_lookup import status_of
from .schemas.metadata import whole


def run_view(run: Run) -> dict[str, Any]:
    """Return a run as LangGraph's clients read it. Its message has its options."""
    message = run.message
    kept = Kept.of(message)
    changes = [run.created_at, *filter(None, (message.started_at, message.completed_at))]
    return {
        "run_id": run.id,
        "thread_id": run.thread_id,
        "assistant_id": assistant_id_of(message.agent),
        "created_at": rfc3339(run.created_at),
        "updated_at": rfc3339(max(changes)),
        "status": status_of(run),
        "metadata": whole(message.metadata),
        "kwargs": _kwargs(message, kept),
        "multitask_strategy": kept.multitask_strategy,
    }


def _kwargs(message: Message, kept: Kept) -> dict[str, Any]:
    """Return what the client gave for the run."""
    given = message.options.run
    return {
        "input": None if given.goes_on else message.content if given.input is None else given.input,
        "command": None if given.command is None else given.command.model_dump(mode="json"),
        "config": given.config.model_dump(mode="json", exclude_defaults=True),
        "context": given.context or {},
        "stream_mode": kept.stream_mode,
        "stream_subgraphs": kept.stream_subgraphs,
        "interrupt_before": given.interrupt_before,
        "interrupt_after": given.interrupt_after,
        "checkpoint_id": given.checkpoint_id,
        "webhook": message.webhook_url,
    }
