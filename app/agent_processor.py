"""Runs one message: its agent, the time limit, the events, and what the end of it means."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

from app.agents.base import AgentDrained, AgentTask, Drain, FinalResult
from app.agents.registry import AgentRegistry
from app.errors import AgentQueueError, CommitUnknown, LeaseLost, StoreUnavailable
from app.models import Claim, Completed, Failed, Outcome, Released, scrubbed
from app.store.base import EventLog
from app.streams import EventWriter
from app.telemetry import Redactor

logger = logging.getLogger(__name__)

MAX_ERROR_LENGTH = 2_000
AWAY_DELAY_SECONDS = (1.0, 30.0)
"""While the store or the agents' memory is away, messages come again after as long as it has been away by then, within
these bounds."""


class AgentProcessor:
    """Turns a claim into an outcome."""

    def __init__(
        self,
        log: EventLog,
        registry: AgentRegistry,
        *,
        timeout_seconds: float,
        redactor: Redactor,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._registry = registry
        self._timeout_seconds = timeout_seconds
        self._redactor = redactor
        self._monotonic = monotonic
        self._away_since: float | None = None

    async def process(self, claim: Claim, drain: Drain) -> Outcome:
        """Run the agent and write its events. Raises LeaseLost; when the task is cancelled, the attempt ends here."""
        writer = EventWriter(self._log, claim.lease)
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                text = await self._run(claim, drain, writer)
                await writer.drain()
        except BaseException as error:
            await writer.abandon()
            if not isinstance(error, Exception):
                raise
            return self._timed_out(claim) if limit.expired() else self._outcome_of(error, claim)
        self._away_since = None
        logger.info("Message processed successfully: id=%s", claim.message.id)
        return Completed(scrubbed(text))

    async def _run(self, claim: Claim, drain: Drain, writer: EventWriter) -> str:
        message = claim.message
        task = AgentTask(
            lease=claim.lease,
            content=message.content,
            memory_key=message.memory_key,
            memory_fence=(message.number, claim.lease.fence),
            drain=drain,
        )
        async with aclosing(self._registry.get(message.agent).run(task)) as parts:
            async for part in parts:
                if isinstance(part, FinalResult):
                    return part.text
                await writer.write(part)
        return ""

    def _shown(self, text: str) -> str:
        """An error text as anybody may see it and any store can keep it."""
        return scrubbed(self._redactor.redact(text))[:MAX_ERROR_LENGTH]

    def _timed_out(self, claim: Claim) -> Outcome:
        logger.warning("Message failed: id=%s, code=timeout", claim.message.id)
        return Failed(f"Processing took longer than {self._timeout_seconds:g} seconds.", "timeout")

    def _away_delay(self) -> float:
        now = self._monotonic()
        if self._away_since is None:
            self._away_since = now
        least, most = AWAY_DELAY_SECONDS
        return min(most, max(least, now - self._away_since))

    def _outcome_of(self, error: Exception, claim: Claim) -> Outcome:
        """What an exception means for the message. Texts of others' exceptions are shown without secrets."""
        message_id = claim.message.id
        if isinstance(error, StoreUnavailable | CommitUnknown):
            logger.warning("Message put back, the store is not available: id=%s, error=%s", message_id, error)
            return Released(error.public, delay=self._away_delay())
        self._away_since = None
        match error:
            case LeaseLost():
                raise error
            case AgentDrained():
                return Released("The worker was stopped.")
            case AgentQueueError():
                logger.warning("Message failed: id=%s, code=%s", message_id, error.code)
                return Failed(self._shown(str(error)), error.code)
            case _:
                text = self._shown(f"{type(error).__name__}: {error}")
                logger.warning("Message failed: id=%s, code=agent_error, error=%s", message_id, text)
                logger.debug("Traceback of message %s", message_id, exc_info=error)
                return Failed(text, "agent_error")
