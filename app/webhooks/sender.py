"""Sends webhooks about messages to the URLs given with them, in the format of Standard Webhooks.

All processes may send at the same time, since a claim of a delivery lasts longer than a try. If a process dies between
a try and its record, the same `webhook-id` is sent again. Receivers should therefore ignore ids that they have seen.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from ..config import Settings, signing_keys
from ..errors import AgentQueueError, InvalidRequest
from ..models.deliveries import Delivery, DeliveryAttempt, SenderDetails, WebhookEvent, WebhookForm
from ..models.traces import Trace
from ..observability.outages import Outage
from ..store.ports import WebhookStore
from ..text import rfc3339
from .outbound_http import (
    CallFailed,
    Resolve,
    certificate_checks,
    find_destination,
    host_of,
    post,
    resolve_host,
)
from .task_bodies import TOKEN, old_task_body_of, task_body_of

logger = logging.getLogger(__name__)

RETRY_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Pauses after failed tries. The delivery fails when the try after the last pause fails."""

TRY_SECONDS = 15.0
LEASE_SECONDS = 2 * TRY_SECONDS
"""How long a claim of a delivery lasts. A try and its record take less."""

POLL_SECONDS = 1.0
STOP_SECONDS = 1.0
"""How long running tries may take when the process stops. A cancelled try is made again."""

PARALLEL = 32
GONE = 410
REMOVED = "The receiver was removed or replaced after the event, so it was not called."
CONTENT_TYPE = "application/json"
USER_AGENT = "agent-queue-system"


class WebhookSender:
    """Sends due deliveries in a background task, at most PARALLEL at a time.

    No error ends the task. Runs of messages do not wait for webhooks.
    """

    def __init__(
        self, store: WebhookStore, settings: Settings, *, outage: Outage, resolve: Resolve = resolve_host
    ) -> None:
        self._outage = outage
        self._store = store
        self._keys = settings.webhook_keys
        self._allow_private = settings.webhook_allow_private
        self._resolve = resolve
        self._checks: ssl.SSLContext | None = None
        self._loop: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def enabled(self) -> bool:
        """Return whether WEBHOOK_SECRET is set. Without it, no webhook is sent, also for keys with their own secret."""
        return bool(self._keys)

    def start(self) -> None:
        """Start to send, if sending is enabled."""
        if self.enabled:
            self._loop = asyncio.create_task(self._repeat(), name="webhooks")

    async def stop(self) -> None:
        """Claim no more deliveries, and cancel tries that last longer than STOP_SECONDS. A second call does nothing."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=STOP_SECONDS)
            for sending in late:
                sending.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def send_due(self) -> int:
        """Claim as many due deliveries as there are free slots, and start to send them. Return their number."""
        if self._checks is None:
            self._checks = await asyncio.to_thread(certificate_checks)
        claimed = await self._store.claim_deliveries(PARALLEL - len(self._sending), lease_seconds=LEASE_SECONDS)
        for delivery in claimed:
            sending = asyncio.create_task(self._send(delivery, self._checks), name=f"webhook {delivery.id}")
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        return len(claimed)

    async def _repeat(self) -> None:
        while True:
            claimed = 0
            try:
                claimed = await self.send_due()
                self._outage.works("webhooks")
            except AgentQueueError as error:
                self._outage.fails("webhooks", "Webhook deliveries could not be claimed, trying again: error=%s", error)
            except Exception:
                logger.exception("Webhook deliveries could not be claimed, trying again")
            if len(self._sending) >= PARALLEL:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            elif not claimed:
                await asyncio.sleep(POLL_SECONDS)

    async def _send(self, delivery: Delivery, checks: ssl.SSLContext) -> None:
        """Try to send one delivery and record the try."""
        try:
            details = await self._store.sender_details(delivery.message_id, delivery.receiver)
            if delivery.receiver is not None and details.receiver is None:
                attempt, next_in = DeliveryAttempt(at=datetime.now(UTC), status=None, error=REMOVED), None
            else:
                keys = self._keys if details.secret is None else signing_keys(details.secret)
                body, headers = content_of(delivery, details), headers_of(details)
                attempt = await self._attempt(delivery, body, keys, headers, checks)
                next_in = self._seconds_to_next_try(delivery, attempt)
            if not await self._store.settle_delivery(delivery, attempt, next_in=next_in):
                logger.warning("Webhook try not recorded, another process has claimed the delivery: id=%s", delivery.id)
                return
        except AgentQueueError as error:
            logger.warning(
                "Webhook try could not be recorded, it will be made again: id=%s, error=%s", delivery.id, error
            )
            return
        except Exception:
            logger.exception("Webhook try could not be recorded, it will be made again: id=%s", delivery.id)
            return
        host = host_of(delivery.url)
        if attempt.error is None:
            logger.info("Webhook delivered: id=%s, host=%s, status=%s", delivery.id, host, attempt.status)
        else:
            logger.warning(
                "Webhook failed: id=%s, host=%s, try=%d, error=%s, %s",
                delivery.id,
                host,
                delivery.tries,
                attempt.error,
                "no more tries" if next_in is None else f"next in {next_in:g} s",
            )

    async def _attempt(
        self, delivery: Delivery, body: bytes, keys: Sequence[bytes], headers: Mapping[str, str], checks: ssl.SSLContext
    ) -> DeliveryAttempt:
        """Try to send one delivery. Return the result, with an error text for the tenant."""
        at = datetime.now(UTC)
        status = None
        try:
            async with asyncio.timeout(TRY_SECONDS):
                status = await self._call(delivery, body, at, keys, headers, checks)
            error = None if 200 <= status < 300 else f"The receiver answered {status}."
        except TimeoutError:
            error = f"No answer within {TRY_SECONDS:g} s."
        except (CallFailed, InvalidRequest) as failure:
            error = str(failure)
        except Exception:
            # Record this error too. Otherwise the delivery would be tried forever.
            logger.exception("Webhook try failed unexpectedly: id=%s", delivery.id)
            error = "The server that sends the webhook had an unexpected error; its log has the details."
        return DeliveryAttempt(at=at, status=status, error=error)

    async def _call(
        self,
        delivery: Delivery,
        body: bytes,
        at: datetime,
        keys: Sequence[bytes],
        more: Mapping[str, str],
        checks: ssl.SSLContext,
    ) -> int:
        """POST the delivery and return the status of the answer. Raises InvalidRequest, CallFailed."""
        headers = {
            **more,
            "Content-Type": CONTENT_TYPE,
            "User-Agent": USER_AGENT,
            **signed(delivery.id, at, body, keys),
        }
        destination = await find_destination(delivery.url, allow_private=self._allow_private, resolve=self._resolve)
        return await post(destination, body, headers, checks)

    @staticmethod
    def _seconds_to_next_try(delivery: Delivery, attempt: DeliveryAttempt) -> float | None:
        """Return the seconds until the next try. Return None if there is no next try."""
        if attempt.error is None or attempt.status == GONE or delivery.tries > len(RETRY_SECONDS):
            return None
        return RETRY_SECONDS[delivery.tries - 1]


def headers_of(details: SenderDetails) -> dict[str, str]:
    """Return the headers that name the trace of a message, and the sender to a receiver of tasks."""
    headers = {} if details.trace is None else trace_headers(Trace.of(details.trace))
    return headers if details.token is None else {**headers, TOKEN: details.token}


def trace_headers(trace: Trace) -> dict[str, str]:
    """Return the headers that name the trace of a message."""
    parent, state = trace.context
    return {"traceparent": parent, **({"tracestate": state} if state else {})}


def content_of(delivery: Delivery, details: SenderDetails) -> bytes:
    """Return the body of a delivery in the form that its message or its receiver asks for."""
    match details.form:
        case WebhookForm.RESPONSE:
            return response_body_of(delivery, details.alias)
        case WebhookForm.TASK:
            return task_body_of(delivery)
        case WebhookForm.OLD_TASK:
            return old_task_body_of(delivery)
    return body_of(delivery)


def response_body_of(delivery: Delivery, alias: str | None) -> bytes:
    """Return the body that OpenAI's clients unwrap: it names the response, which is that of the newest answer.

    An agent's question completes a response.
    """
    name = (alias or delivery.message_id).rpartition("\n")[2]  # without the subject, which stored aliases begin with
    event = WebhookEvent.COMPLETED if delivery.event is WebhookEvent.INTERRUPTED else delivery.event
    content = {
        "id": f"evt_{delivery.id}",
        "object": "event",
        "type": f"response.{event}",
        "created_at": int(delivery.created_at.timestamp()),
        "data": {"id": f"resp_{name}"},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def body_of(delivery: Delivery) -> bytes:
    """Return the body of a delivery, the same in every try."""
    event = json.loads(delivery.data)
    content = {
        "type": f"message.{delivery.event}",
        "timestamp": rfc3339(delivery.created_at),
        "data": {"message_id": delivery.message_id, "thread_id": delivery.thread_id, **event},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def signed(id: str, at: datetime, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """Return the headers that prove the sender and the time, with one signature for each key."""
    timestamp = str(int(at.timestamp()))
    content = f"{id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
