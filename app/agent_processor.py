"""Runs one message: its agent, the time limit, the events, and the outcome."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple, cast

from .agents.base import AgentDrained, AgentInterrupted, AgentTask, Drain, FinalResult
from .agents.loop import AgentLoop
from .agents.registry import AgentRegistry
from .agents.runs import AgentRaised, AgentRun
from .config import Settings
from .errors import AgentQueueError, CommitUnknown, LeaseLost, StoreError, StoreUnavailable
from .events.writer import EventWriter
from .models.attempts import Claim, Completed, Failed, Interrupted, Outcome, Released, Retry
from .models.failures import FailureDetails
from .models.messages import Message
from .models.parts import TEXT_CHUNKS, USAGE
from .models.usage import MeteredCall
from .observability.logging import TRACEBACK, Redactor
from .observability.recorder import Recorder
from .observability.tracing import RunTrace
from .observability.worker_load import TextRate
from .policy.failures import UNREADABLE, class_name, described, text_of
from .policy.provider_errors import address_of
from .policy.retry import AGENT_ERROR, TIMEOUT, Backoff, Verdict, fingerprint, judge
from .policy.tracebacks import details_of, details_of_stack, node_of, traceback_of
from .prices.file import default_prices
from .prices.table import PriceTable
from .store.ports import EventLog
from .text import scrubbed

logger = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""How long a run may take to stop. After that it is abandoned, and fenced off from the agents' memory."""

USAGE_SECONDS = 1.0
"""How long the store may take to store the usage of an attempt without a result."""

READ_SECONDS = 2.0
"""How long the code of an error's class may take to describe the error."""

LOGGED_ERROR_LENGTH = 100
"""Maximum characters logged of an error's text, since it may have users' texts. The attempt stores more."""

AWAY_DELAY_SECONDS = (1.0, 30.0)
"""Bounds of the delay of messages put back while the store or the agents' memory is unavailable.

The delay is as long as the outage has lasted."""


class AgentProcessor:
    """Runs claimed messages and returns their outcomes."""

    def __init__(
        self,
        log: EventLog,
        loop: AgentLoop,
        registry: AgentRegistry,
        settings: Settings,
        *,
        redactor: Redactor,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        recorder: Recorder | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self._recorder = recorder or Recorder()
        self._log = log
        self._loop = loop
        self._registry = registry
        self._settings = settings
        self._prices = prices or default_prices()
        self._backoff = Backoff(settings.retry_base_seconds, settings.retry_max_seconds, uniform)
        self._redactor = redactor
        self._monotonic = monotonic
        self._away_since: float | None = None
        self.text = TextRate(monotonic)

    async def process(self, claim: Claim, drain: Drain, trace: RunTrace | None = None) -> Outcome:
        """Run the agent, write its events, and return the outcome. Cancel the calling task to end the attempt.

        `trace` is the place of the run in a trace.

        The time limit begins with this call. Within STOP_SECONDS after a time limit or cancellation, the run is over or
        abandoned. Raises LeaseLost if another attempt, a rescue or a cancel has taken the message.
        """
        writer = EventWriter(self._log, claim.lease)
        seconds = self._time_limit(claim.message)
        run: AgentRun | None = None
        try:
            async with asyncio.timeout(seconds) as limit:
                task = self._task(claim, drain, trace)
                run = self._loop.start(self._registry.get(claim.message.agent), claim.message.agent, task)
                outcome = await self._answer(run, writer, claim.message.agent)
                await self._count_calls(run, writer)
                await writer.drain()
        except BaseException as error:
            place = self._place_of(run) if limit.expired() else None
            await self._stop(run, writer)
            if not isinstance(error, Exception):
                raise
            if place is not None:
                return self._ended(
                    claim,
                    Verdict(permanent=False, code=TIMEOUT),
                    f"Processing took longer than {seconds:g} seconds.",
                    fingerprint(TIMEOUT, None, ""),
                    place,
                )
            if isinstance(error, AgentRaised) and run is not None:
                return await self._outcome_of_agent_error(error.cause, claim, run)
            return self._outcome_of_server_error(error, claim)
        await self._loop.end(run, stop_seconds=STOP_SECONDS)
        self._away_since = None
        logger.info("%s: id=%s", _LOG_TEXTS[type(outcome)], claim.message.id)
        return outcome

    def _place_of(self, run: AgentRun | None) -> FailureDetails:
        """Return the place in the code that a run is executing; empty details if the run has not started."""
        return details_of_stack([] if run is None else self._loop.stack_of(run), self._redactor.shown)

    async def _stop(self, run: AgentRun | None, writer: EventWriter) -> None:
        """End the run and the writer. This takes a bounded time, so ignore further cancellations of this task."""
        stopping = asyncio.create_task(self._stop_all(run, writer))
        while not stopping.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([stopping])
        stopping.result()

    async def _stop_all(self, run: AgentRun | None, writer: EventWriter) -> None:
        if run is not None:
            await self._loop.end(run, stop_seconds=STOP_SECONDS)
        await writer.abandon()
        if run is not None:
            with suppress(AgentQueueError, TimeoutError):
                async with asyncio.timeout(USAGE_SECONDS):
                    await self._count_calls(run, writer)
                    await writer.drain()

    async def _count_calls(self, run: AgentRun, writer: EventWriter) -> None:
        """Give the writer what the model calls of the run have used since the last call of this."""
        if calls := [MeteredCall(each.counts, self._prices.usage_of(each)) for each in run.usage.take()]:
            self._recorder.used([each.usage for each in calls])
            await writer.count(calls)

    def _task(self, claim: Claim, drain: Drain, trace: RunTrace | None) -> AgentTask:
        message = claim.message
        return AgentTask(
            lease=claim.lease,
            content=message.content,
            memory_key=message.memory_key,
            memory_fence=(message.number, claim.lease.fence),
            drain=drain,
            resume=None if message.resume_value is None else json.loads(message.resume_value),
            rollback=message.rollback,
            given=message.options.run,
            metadata=message.metadata,
            max_output_bytes=self._settings.max_output_bytes,
            tenant=message.tenant,
            subject=message.subject,
            trace=trace,
        )

    async def _answer(self, run: AgentRun, writer: EventWriter, agent: str) -> Completed | Interrupted:
        final = FinalResult("")
        record, last = self._recorder.first_token, time.perf_counter()
        try:
            while pieces := await run.take():
                has_text = False
                for piece in pieces:
                    if isinstance(piece, FinalResult):
                        final = piece
                    elif piece is USAGE:
                        await self._count_calls(run, writer)
                    else:
                        if piece.type in TEXT_CHUNKS:
                            has_text = True
                            self.text.count(len(str(piece.chunk)))
                        await writer.write(piece)
                if has_text:
                    now = time.perf_counter()
                    record(agent, now - last)
                    record, last = self._recorder.next_tokens, now
        except AgentRaised as raised:
            if issubclass(type(raised.cause), AgentInterrupted):  # `isinstance` would call its `__class__`
                interrupted = cast(AgentInterrupted, raised.cause)
                return Interrupted(interrupted.interrupts, self._settings.interrupt_ttl_hours * 3600)
            raise
        return Completed(scrubbed(final.text), final.output)

    def _time_limit(self, message: Message) -> float:
        given = message.options.timeout_seconds
        return self._settings.processing_timeout if given is None else given

    def _max_attempts(self, message: Message) -> int:
        given = message.options.max_attempts
        return self._settings.max_attempts if given is None else given

    def _shown(self, text: str) -> str:
        """Return the error text without secrets, in storable form."""
        return scrubbed(self._redactor.shown(text))

    def _away_delay(self) -> float:
        now = self._monotonic()
        if self._away_since is None:
            self._away_since = now
        least, most = AWAY_DELAY_SECONDS
        return min(most, max(least, now - self._away_since))

    async def _outcome_of_agent_error(self, error: BaseException, claim: Claim, run: AgentRun) -> Outcome:
        """Return the outcome, without secrets, of an attempt whose agent raised an error.

        Reading the error may run code of its class, such as `__str__`. Read it on another thread, for at most
        READ_SECONDS.
        """
        if issubclass(type(error), AgentQueueError | AgentDrained):  # `isinstance` would call its `__class__`
            return self._outcome_of_server_error(error, claim)
        self._away_since = None
        report = await self._loop.read(run, lambda: self._report(error, claim.message.id), seconds=READ_SECONDS)
        if report is None:
            text = self._shown(f"{class_name(error)}: {UNREADABLE}")
            report = _ReportedError(
                Verdict(permanent=False, code=AGENT_ERROR), text, fingerprint(class_name(error), None, "")
            )
        verdict = report.verdict
        if not issubclass(type(error), Exception):  # sys.exit() and the like would happen again
            verdict = Verdict(permanent=True, code=AGENT_ERROR)
        return self._ended(claim, verdict, report.text, report.fingerprint, report.details, report.frames)

    def _report(self, error: BaseException, message_id: str) -> "_ReportedError":
        """Return an error of agent code as it is stored, shown and logged."""
        shown = self._redactor.shown
        if logger.isEnabledFor(logging.DEBUG):  # with `exc_info`, `logging` would read the error
            text = traceback_of(error, shown, every_frame=True)
            logger.debug("Traceback of message %s", message_id, extra={TRACEBACK: text})
        address = address_of(error)
        address_note = "" if address is None else f" (asked at {address})"
        return _ReportedError(
            judge(error, datetime.now(UTC)),
            self._shown(f"{described(error)}{address_note}"),
            fingerprint(class_name(error), node_of(error), self._shown(text_of(error))),
            details_of(error, shown),
            traceback_of(error, shown, texts=False),
        )

    def _outcome_of_server_error(self, error: BaseException, claim: Claim) -> Outcome:
        """Return the outcome of an attempt after an error of this server.

        Raises the error again if it is LeaseLost or if this server did not raise it on purpose.
        """
        message_id = claim.message.id
        if isinstance(error, StoreUnavailable | CommitUnknown):
            logger.warning("Message put back, the store is unavailable: id=%s, error=%s", message_id, error)
            return Released(error.public, delay=self._away_delay())
        self._away_since = None
        match error:
            case LeaseLost():
                raise error
            case AgentDrained():
                return Released("The worker was stopped.")
            case StoreError():
                logger.warning("The store failed: id=%s, error=%s", message_id, error)
                return self._ended(claim, Verdict(permanent=False, code=error.code), error.public, error.code)
            case AgentQueueError():
                verdict = Verdict(permanent=True, code=error.code)
                return self._ended(claim, verdict, self._shown(str(error)), error.code)
            case _:
                raise error

    def _ended(
        self,
        claim: Claim,
        verdict: Verdict,
        text: str,
        fingerprint: str,
        details: FailureDetails | None = None,
        frames: str | None = None,
    ) -> Failed | Retry:
        """Return Failed after the last attempt or a permanent error, otherwise Retry. Log the failure.

        `text` is the error's text, and `fingerprint` is the same for failures of one kind. The log gets `frames`, the
        traceback without texts of errors; if None, it gets the traceback in `details`.
        """
        attempt = claim.lease.attempt
        frames = frames or (None if details is None else details.traceback)
        if verdict.permanent or attempt >= self._max_attempts(claim.message):
            self._log_failure("Message failed", claim, verdict, text, details, frames)
            return Failed(text, verdict.code, fingerprint, details)
        delay = self._backoff.pause_after(attempt) if verdict.pause is None else verdict.pause
        self._log_failure(f"Attempt failed, trying again in {delay:.1f} s", claim, verdict, text, details, frames)
        return Retry(text, verdict.code, delay, details)

    def _log_failure(
        self,
        summary: str,
        claim: Claim,
        verdict: Verdict,
        text: str,
        details: FailureDetails | None,
        frames: str | None,
    ) -> None:
        """Log one record: what failed and where, the beginning of the error's text, and the traceback `frames`."""
        details = details or FailureDetails()
        logger.warning(
            "%s: id=%s, attempt=%d, agent=%s, node=%s, code=%s, type=%s, where=%s, error=%s",
            summary,
            claim.message.id,
            claim.lease.attempt,
            claim.message.agent,
            details.node,
            verdict.code,
            details.error_type,
            details.where,
            _beginning(text),
            extra={TRACEBACK: frames},
        )


class _ReportedError(NamedTuple):
    """An error in the form that is stored, shown and logged."""

    verdict: Verdict
    text: str
    fingerprint: str
    details: FailureDetails | None = None
    frames: str | None = None


def _beginning(text: str) -> str:
    """Return the beginning of the first line; add `…` if the text has more."""
    first = text.split("\n", 1)[0][:LOGGED_ERROR_LENGTH]
    return first if first == text else f"{first}…"


_LOG_TEXTS = {Completed: "Message processed successfully", Interrupted: "Message asks a human"}
