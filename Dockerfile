# The workers, without the embedded database: tables are in a ClickHouse server. Base: glibc, for the wheels.
FROM python:3.11.15-slim-bookworm AS builder
# An environment without pip: the base image's fills it. Wheels only, each with the hash that is locked, so that nothing
# is compiled here.
RUN python -m venv --without-pip /opt/c360
COPY requirements-image.lock /src/
RUN pip --python /opt/c360/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
    --only-binary :all: --require-hashes -r /src/requirements-image.lock
# What builds the package stays in this stage.
COPY deploy/requirements-build.lock /src/deploy/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
    --only-binary :all: --require-hashes -r /src/deploy/requirements-build.lock
COPY pyproject.toml README.md LICENSE /src/
COPY c360_stream /src/c360_stream
COPY flows /src/flows
COPY schemas /src/schemas
RUN /opt/build/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-index --no-build-isolation \
    --wheel-dir /opt/wheels /src \
    && pip --python /opt/c360/bin/python install --no-cache-dir --disable-pip-version-check --no-deps --no-index \
    /opt/wheels/*.whl

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="c360-stream" \
      org.opencontainers.image.description="Event-streaming churn detection" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.15-slim-bookworm"
# /var/lib/c360 is for the state of a run: a volume that is mounted there and empty takes this owner and mode. It is not
# declared as one, since every container that needs none would leave one behind.
RUN python -m pip uninstall --yes pip setuptools wheel \
    && groupadd --system --gid 10001 c360 \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin c360 \
    && install --directory --owner=c360 --group=c360 --mode=0700 /var/lib/c360 \
    && install --directory /etc/c360
COPY --from=builder /opt/c360 /opt/c360
ENV PATH=/opt/c360/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Where c360.toml may be mounted.
WORKDIR /etc/c360
USER 10001:10001
# Metrics and health of the first two processes.
EXPOSE 8361 8362
STOPSIGNAL SIGTERM
ENTRYPOINT ["c360"]
