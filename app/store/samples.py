"""Converts rows of sampled messages."""

from collections.abc import Sequence
from typing import Any

from ..clock import to_datetime
from ..models.diagnosis import SampledMessage
from ..models.messages import MessageState, Readiness


def to_sampled_message(row: Sequence[Any]) -> SampledMessage:
    """Return a message from a row with the fields of a `SampledMessage`. Numbers may be texts."""
    message_id, tenant, thread_id, agent, state, readiness, attempt, crashes, worker_id, at, error_code = row
    return SampledMessage(
        message_id,
        tenant,
        thread_id,
        agent,
        MessageState(state),
        None if readiness is None else Readiness(readiness),
        int(attempt),
        int(crashes),
        worker_id,
        to_datetime(int(at)),
        error_code,
    )
