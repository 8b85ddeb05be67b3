"""Reads what a client that comes back to a thread has to have: its messages and its state."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ag_ui.core import BaseEvent, Message, MessagesSnapshotEvent, StateSnapshotEvent

from ...access.principals import Principal
from ...errors import ThreadNotFound
from ...errors.threads import AgentWithoutState
from ...services import Services
from ..run_streams import stored_events
from ..runs import Run
from .conversations import given_messages, merged, shown_messages
from .projection import Progress, RunView, events_of, state_without_messages
from .schemas import AgentRun
from .transcripts import Transcript


class Snapshot(NamedTuple):
    """The content that a client has up to the event `after` of a run. `events` give it to the client."""

    events: Sequence[BaseEvent]
    progress: Progress
    after: int


async def snapshot_of(
    services: Services, caller: Principal, body: AgentRun, run: Run | None, view: RunView
) -> Snapshot:
    """Return the messages and the state of a thread as they are now, and where a run goes on.

    The state is read first, since a step is in the log before it is in the state. Raises what
    `ThreadManager.read_state` raises.
    """
    values = await _values(services, caller, body.thread_id)
    state = state_without_messages(values)
    listed = values.get("messages") if isinstance(values, dict) else None
    before = shown_messages(listed) if isinstance(listed, list) and listed else list(body.messages)
    if run is None:
        return Snapshot(_snapshot(before, state), Progress(), 0)
    made, progress, after = await _read_log(services, caller, run, view)
    given = given_messages(run.message)
    messages = merged(before, given, made, ended=run.message.completed_at is not None)
    if progress.state:
        state = json.loads(progress.state)
    return Snapshot([*_snapshot(messages, state), *progress.parts.opened_again()], progress, after)


async def progress_before(services: Services, caller: Principal, run: Run, view: RunView) -> Progress:
    """Return the progress at the first event of a run, which clients have seen up to there.

    Raises what `stored_events` raises.
    """
    progress = Progress()
    async for events in stored_events(services, caller, run, 0, run.seen_before):
        _, progress = events_of(view, progress, events)
    return progress


async def _read_log(
    services: Services, caller: Principal, run: Run, view: RunView
) -> tuple[list[Message], Progress, int]:
    """Return the messages that a run has made so far, its progress, and the event up to which they go.

    Messages that do not count after the answer to the run's question are left out. A log that was pruned gives nothing
    but the end, which is always kept. The state has its messages.
    """
    progress, transcript = Progress(), Transcript()
    page = await services.log.read(caller.tenant, run.message.id, after=0, limit=1)
    later, unended = Progress(), view._replace(first_event=page.last + 1)
    async for events in stored_events(services, caller, run, 0, page.last):
        made, progress = events_of(view, progress, events)
        transcript.take(made)
        if run.is_answered:
            _, later = events_of(unended, later, events)
    gone = later.gone if run.is_answered else progress.gone
    return transcript.messages(without=gone), progress, page.last


async def _values(services: Services, caller: Principal, thread_id: str) -> Any:
    """Return the newest values of a thread; an empty object for one that has none."""
    try:
        read = await services.threads.read_state(caller, thread_id, agent=None, checkpoint_id=None, subgraphs=False)
    except (ThreadNotFound, AgentWithoutState):
        return {}
    return json.loads(read.text)["values"]


def _snapshot(messages: Sequence[Message], state: Any) -> list[BaseEvent]:
    shown: list[BaseEvent] = [MessagesSnapshotEvent(messages=list(messages))]
    return [*shown, StateSnapshotEvent(snapshot=state)] if state else shown
