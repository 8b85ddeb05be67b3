"""The queues that we are compared with: their packages, how they run, and what they lack."""

from typing import NamedTuple


class Peer(NamedTuple):
    """A queue on an engine.

    - `packages` are installed into the environment named `environment`.
    - `prepare`, `worker` and `caller` are command lines that begin with a program of the environment.
    - The commands get the engine's URL in `QUEUE_URL`. `{port}` is a free port.
    - `gives_up` is what the queue lacks; it is shown beside the figures.
    - `python`: it is a Python queue, and ours has to be faster.
    """

    name: str
    environment: str
    engine: str
    packages: tuple[str, ...]
    worker: tuple[str, ...]
    caller: tuple[str, ...]
    gives_up: str
    prepare: tuple[str, ...] = ()
    python: bool = True


NO_LOG = "no event log, no threads"

_SAQ = Peer(
    name="SAQ",
    environment="saq",
    engine="valkey",
    packages=("saq[redis,hiredis,postgres]==0.26.4", "psycopg[binary]==3.3.9"),
    worker=("saq", "bench.peers.saq_jobs.settings"),
    caller=("python", "-m", "bench.peers.saq_jobs"),
    gives_up=NO_LOG,
)
_DBOS = Peer(
    name="DBOS",
    environment="dbos",
    engine="sqlite",
    packages=("dbos==3.4.0",),
    prepare=("python", "-m", "bench.peers.dbos_jobs", "prepare"),
    worker=("python", "-m", "bench.peers.dbos_jobs", "worker"),
    caller=("python", "-m", "bench.peers.dbos_jobs", "caller"),
    gives_up="polls each second; no threads",
)

PEERS = (
    Peer(
        name="LangGraph dev server",
        environment="langgraph",
        engine="sqlite",
        packages=("langgraph-cli[inmem]==0.4.40", "langgraph-api==0.16.7"),
        prepare=("python", "-m", "bench.peers.langgraph_jobs", "prepare"),
        worker=("langgraph", "dev", "--no-browser", "--no-reload", "--port", "{port}"),
        caller=("python", "-m", "bench.peers.langgraph_jobs", "caller"),
        gives_up="in memory: nothing is durable; over HTTP",
    ),
    _DBOS,
    Peer(
        name="PgQueuer",
        environment="pgqueuer",
        engine="postgres",
        packages=("pgqueuer[asyncpg]==1.6.0",),
        prepare=("pgq", "--pg-dsn", "{url}", "install"),
        worker=("python", "-m", "bench.peers.pgqueuer_jobs", "worker"),
        caller=("python", "-m", "bench.peers.pgqueuer_jobs", "caller"),
        gives_up="a log of states only, no threads",
    ),
    Peer(
        name="Procrastinate",
        environment="procrastinate",
        engine="postgres",
        packages=("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
        prepare=("procrastinate", "--app=bench.peers.procrastinate_jobs.app", "schema", "--apply"),
        worker=("procrastinate", "--app=bench.peers.procrastinate_jobs.app", "worker"),
        caller=("python", "-m", "bench.peers.procrastinate_jobs"),
        gives_up="a log of states only",
    ),
    _SAQ._replace(engine="postgres"),
    _DBOS._replace(engine="postgres"),
    Peer(
        name="BullMQ",
        environment="bullmq",
        engine="valkey",
        packages=("bullmq@6.7.0", "ioredis@5"),
        worker=("node", "worker.mjs"),
        caller=("node", "caller.mjs"),
        gives_up="events of states only, trimmed; no threads",
        python=False,
    ),
    Peer(
        name="taskiq",
        environment="taskiq",
        engine="valkey",
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4"),
        worker=("taskiq", "worker", "bench.peers.taskiq_jobs:broker"),
        caller=("python", "-m", "bench.peers.taskiq_jobs"),
        gives_up=f"{NO_LOG}, no priorities",
    ),
    _SAQ,
    Peer(
        name="Celery",
        environment="celery",
        engine="valkey",
        packages=("celery[redis]==5.6.3",),
        worker=("celery", "-A", "bench.peers.celery_jobs", "worker", "--loglevel=WARNING"),
        caller=("python", "-m", "bench.peers.celery_jobs"),
        gives_up=f"{NO_LOG}; a job is acknowledged before it runs",
    ),
    Peer(
        name="arq",
        environment="arq",
        engine="valkey",
        packages=("arq==0.28.0",),
        worker=("arq", "bench.peers.arq_jobs.WorkerSettings"),
        caller=("python", "-m", "bench.peers.arq_jobs"),
        gives_up=f"{NO_LOG}; polls each half second",
    ),
)
