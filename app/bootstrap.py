"""Builds the running parts from the settings, as the only module that names concrete stores."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from uvicorn.loops.auto import auto_loop_factory

from .access.jwts import JwtRules, JwtVerifier, ProviderKeys
from .access.limits import LimitRules, SubmitLimits
from .access.proxy_users import EVERYBODY, ProxyRole, ProxyRules, ProxyUsers
from .access.quotas import QuotaChecks
from .access.request_limits import ReadLimits
from .access.rule import Access
from .access.sessions import SessionLimits, Sessions
from .access.sign_in import SignIn
from .access.stream_limits import StreamLimits
from .access.tokens import Tokens
from .access.verification import KeyVerifier
from .access.watch import AccessWatch
from .agent_loader import AgentLoader
from .agent_processor import AgentProcessor
from .agents.conversations import Conversations
from .agents.descriptions import AgentDescriptions
from .agents.loop import AgentLoop
from .bulk_manager import BulkManager
from .checkpoints.factory import checkpoint_url, memory_file
from .config import Settings
from .delivery_manager import DeliveryManager
from .doctor import Doctor
from .erasure_manager import Eraser, ErasureManager
from .events.changes import ChangeStreams
from .events.tail import Streams
from .item_manager import ItemManager
from .list_manager import ListManager
from .maintenance import Maintenance
from .observability.outages import Outage
from .observability.recent_streams import RecentStreams
from .observability.recorder import Recorder
from .observability.trace_setup import make_tracing
from .prices.file import read_prices
from .queue_manager import QueueManager
from .services import Services
from .startup import redactor_of
from .statistics_manager import StatisticsManager
from .storage_manager import StorageManager
from .store.factory import make_store
from .store.measured import measured
from .store.ports import Store
from .thread_manager import ThreadManager
from .usage_manager import UsageManager
from .webhooks.outbound_http import certificate_checks, fetch
from .webhooks.sender import WebhookSender
from .worker import QueueWorker

if TYPE_CHECKING:
    from .metrics import MetricsReport
    from .observability.metrics import Metrics

logger = logging.getLogger(__name__)

SPARE_THREADS = 8

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def _metrics_of(settings: Settings) -> "Metrics | None":
    """Return the counters of the process; None if metrics are off. Raises ConfigurationError."""
    if not settings.metrics:
        return None
    # prometheus-client reads the variable when it is imported, and takes an empty one for a folder.
    if settings.prometheus_multiproc_dir is None:
        os.environ.pop(MULTIPROCESS_FOLDER, None)
    else:
        os.environ[MULTIPROCESS_FOLDER] = str(settings.prometheus_multiproc_dir)
    from .metrics import make_metrics

    return make_metrics(settings)


def _agent_loop(settings: Settings) -> AgentLoop:
    # Each message's synchronous nodes may need a thread, and so may libraries for short work.
    return AgentLoop(
        threads=settings.worker_concurrency + SPARE_THREADS,
        run_threads=1 + SPARE_THREADS,
        max_abandoned=settings.max_abandoned,
        make_loop=auto_loop_factory(),
    )


def _make_access(
    settings: Settings, store: Store, recheck: Callable[[], None], forgetting: Callable[[], None]
) -> tuple[Tokens, Sessions, KeyVerifier, Access]:
    """Return the parts that decide who may use the server. `recheck` is called when the provider's keys change.

    `forgetting` is called when keys or tenants may have changed.
    """
    tokens = Tokens(store, allow_anonymous=settings.allow_anonymous)
    limits = SessionLimits(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours))
    sessions = Sessions(store, tokens, limits)
    jwts = _jwt_verifier(settings, recheck)
    keys = KeyVerifier(store, [tokens, sessions, *([] if jwts is None else [jwts])], forgetting=forgetting)
    proxy_users = _proxy_users(settings, store)
    access = Access(
        keys,
        tokens,
        sessions,
        allow_anonymous=settings.allow_anonymous,
        needs_credentials=jwts is not None or proxy_users is not None,
        proxy_users=proxy_users,
    )
    return tokens, sessions, keys, access


def _limit_rules(settings: Settings) -> LimitRules:
    return LimitRules(
        per_key=settings.submits_per_minute_per_key,
        per_tenant=settings.submits_per_minute_per_tenant,
        per_subject=settings.submits_per_minute_per_subject,
        per_address=settings.submits_per_minute_per_address,
        queued_per_tenant=settings.max_queue_size_per_tenant,
    )


class Runtime:
    """All parts of one process. `running` opens and closes them."""

    def __init__(self, settings: Settings, *, store: Store | None = None) -> None:
        self.settings = settings
        self._draining: asyncio.Task[None] | None = None
        self._store = store or make_store(settings)
        self._recorder = (metrics := _metrics_of(settings)) or Recorder()
        self._tracing = make_tracing(redactor_of(settings).shown)
        if metrics is not None:
            self._store = measured(self._store, metrics)
        outage = Outage("The database can be used again")
        self.agent_loop = _agent_loop(settings)
        self._agents = AgentLoader(settings, self._store, self.agent_loop, redactor_of(settings).shown)
        registry = self._agents.registry
        self.worker = self._make_worker(outage)
        descriptions = AgentDescriptions(registry, self._store)
        self._maintenance = self._make_maintenance(outage)
        self._webhooks = WebhookSender(self._store, settings, outage=outage)
        self.streams, self.changes = Streams(self._store, outage), ChangeStreams(self._store, outage)
        self.metrics = self._report(metrics)
        self._limits = SubmitLimits(self._store, _limit_rules(settings))
        self._quotas = QuotaChecks(self._store, self._limits)
        self._storage = StorageManager(self._store, self._agents.open_memory, memory_file(checkpoint_url(settings)))
        queue = self._make_queue(descriptions)
        tokens, sessions, keys, access = _make_access(settings, self._store, self._recheck, self._limits.forget)
        self._access_watch = AccessWatch(self._store, keys, access, outage)
        recent_streams = RecentStreams()
        self.services = Services(
            settings=settings,
            access=access,
            tokens=tokens,
            sessions=sessions,
            sign_in=SignIn(keys, sessions),
            queue=queue,
            bulk=BulkManager(self._store, queue, lambda: self._agents.memory, self._quotas),
            lists=ListManager(self._store),
            deliveries=DeliveryManager(self._store),
            usage=UsageManager(self._store, self._quotas),
            storage=self._storage,
            read_limits=ReadLimits(self._store, settings.reads_per_minute),
            stream_limits=StreamLimits(self._limits, settings.max_streams, settings.max_streams_per_tenant),
            erasures=ErasureManager(self._store),
            items=ItemManager(self._store, ttl=settings.project.item_ttl, max_value_bytes=settings.max_body_bytes),
            statistics=StatisticsManager(self._store, retention_days=settings.stats_retention_days),
            threads=self._thread_manager(queue),
            streams=self.streams,
            changes=self.changes,
            log=self._store,
            store=self._store,
            registry=registry,
            descriptions=descriptions,
            worker=self.worker,
            prove_memory=self._agents.prove_memory,
            outage=outage,
            memory_outage=Outage("The agents' memory can be used again"),
            recorder=self._recorder,
            metrics=self.metrics,
            doctor=self._make_doctor(recent_streams),
            recent_streams=recent_streams,
        )

    def _thread_manager(self, queue: QueueManager) -> ThreadManager:
        registry, load = self._agents.registry, self._agents.load
        conversations = Conversations(self.agent_loop, registry, load)
        return ThreadManager(self._store, registry, conversations, self._agents.open_memory, queue)

    def _recheck(self) -> None:
        """Verify all credentials again."""
        self._access_watch.recheck()

    def _make_maintenance(self, outage: Outage) -> Maintenance:
        eraser = Eraser(self._store, lambda: self._agents.memory)
        return Maintenance(self._store, lambda: self._agents.memory, self.settings, erase=eraser.work, outage=outage)

    def _make_worker(self, outage: Outage) -> QueueWorker:
        settings, registry, redactor = self.settings, self._agents.registry, redactor_of(self.settings)
        processor = AgentProcessor(
            self._store,
            self.agent_loop,
            registry,
            settings,
            redactor=redactor,
            recorder=self._recorder,
            prices=read_prices(settings.prices),
        )
        return QueueWorker(
            self._store,
            processor,
            registry,
            settings,
            loop=self.agent_loop,
            outage=outage,
            recorder=self._recorder,
            tracing=self._tracing,
        )

    def _make_queue(self, descriptions: AgentDescriptions) -> QueueManager:
        settings = self.settings
        return QueueManager(
            self._store,
            self._agents.registry,
            max_queue_size=settings.max_queue_size,
            limits=self._limits,
            quotas=self._quotas,
            sends_webhooks=self._webhooks.enabled,
            allow_private_webhooks=settings.webhook_allow_private,
            descriptions=descriptions,
            configurable_keys=settings.configurable_keys,
            tracing=self._tracing,
        )

    def _make_doctor(self, streams: RecentStreams) -> Doctor:
        return Doctor(
            self._store,
            self.settings,
            worker=self.worker,
            loop=self.agent_loop,
            prove_memory=self._agents.prove_memory,
            streams=streams,
        )

    def _report(self, metrics: "Metrics | None") -> "MetricsReport | None":
        if metrics is None:
            return None
        from .metrics import MetricsReport

        readers = (self.streams, self.changes)
        return MetricsReport(metrics, self._store, self.settings, worker=self.worker, readers=readers)

    def begin_stop(self) -> None:
        """End all tails, stop claiming, and drain the worker. The grace period starts with this call."""
        self.streams.close()
        self.changes.close()
        if self._draining is None:
            self.worker.begin_stop()
            self._draining = asyncio.create_task(self.worker.stop(self.settings.shutdown_grace_seconds), name="drain")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the store, then claim messages and load agents in the background. On exit, drain and close all parts."""
        settings = self.settings
        await self._store.open()
        logger.info("Store opened: kind=%s, %s", self._store.capabilities.name, self._store.capabilities.promise)
        if settings.allow_anonymous:
            logger.warning("ALLOW_ANONYMOUS is on: everybody who reaches this server may use it")
        await self._access_watch.start()
        await self.agent_loop.open()
        self._begin_loading()
        self.worker.start()
        self._maintenance.start()
        self._webhooks.start()
        self._tracing.start()
        if self.metrics is not None:
            self.metrics.start()
        try:
            yield
        finally:
            self.begin_stop()
            await asyncio.gather(*filter(None, [self._draining]))
            if self.metrics is not None:
                await self.metrics.stop()
            parts = (self._tracing, self._webhooks, self._maintenance, self._storage, self._access_watch, self._agents)
            for stop in [part.stop for part in parts]:
                await stop()
            await self._agents.close()
            await self.agent_loop.close()
            await self._store.close()
            logger.info("Stopped")

    def _begin_loading(self) -> None:
        if self.worker.slots:
            self._agents.load()
        else:  # the first request for the state of a thread loads the agents
            self._agents.registry.loaded.set()
            logger.info("WORKER_CONCURRENCY is 0: this process takes messages and runs none")


def _proxy_users(settings: Settings, store: Store) -> ProxyUsers | None:
    """Return what admits the users whom a proxy has signed in, None without such a proxy."""
    if settings.proxy_user_header is None:
        return None
    rules = ProxyRules(
        settings.proxy_user_header,
        settings.proxy_groups_header,
        settings.proxy_tenant_header,
        {group: ProxyRole(role) for group, role in settings.proxy_roles.items()} or {EVERYBODY: ProxyRole.VIEWER},
    )
    return ProxyUsers(rules, store.now, timedelta(minutes=settings.session_idle_minutes))


def _jwt_verifier(settings: Settings, on_change: Callable[[], None]) -> JwtVerifier | None:
    """Return the verifier of the identity provider's tokens, None without one. Calls `on_change` when its keys do."""
    url, public_key = settings.jwt_jwks_url, settings.jwt_public_key
    if url is None and public_key is None:
        return None
    rules = JwtRules(
        settings.jwt_issuer or "",
        settings.jwt_audience or "",
        settings.jwt_algorithms,
        settings.jwt_tenant_claim,
        settings.jwt_subject_claim,
        settings.jwt_scopes_claim,
    )
    checks = certificate_checks()
    return JwtVerifier(rules, ProviderKeys(public_key, None if url is None else partial(fetch, url, checks), on_change))
