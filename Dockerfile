# One image for every role: `docker run telekit-fleet ingest`, `worker`, `api`, `migrate`; `simulator` is beside it.
FROM python:3.12-slim AS build

WORKDIR /src
RUN python -m venv /opt/fleet
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY fleet fleet
COPY simulator simulator
# The lock is a constraint: what only the embedded servers need stays out.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/fleet/bin/pip install --constraint requirements.txt .

FROM python:3.12-slim

RUN groupadd --system --gid 10001 fleet \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin fleet
COPY --from=build /opt/fleet /opt/fleet
ENV PATH=/opt/fleet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLEET_LOG_FORMAT=json
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["fleet"]
CMD ["--help"]
