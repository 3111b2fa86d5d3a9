# smartmoney in a container. Build: docker build -t smartmoney .     Run on paper: docker run --rm -it smartmoney
# With podman: podman build --format docker, or there is no health check.
# Published bases are pinned by digest with --build-arg BASE=docker.io/library/python@sha256:...
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/smartmoney
COPY deploy/requirements.lock /src/deploy/
RUN /opt/smartmoney/bin/pip install --quiet --no-compile --require-hashes --only-binary :all: -r /src/deploy/requirements.lock
COPY pyproject.toml README.md /src/
COPY config /src/config
COPY smartmoney /src/smartmoney
# What nobody runs in a container is left out: the libraries' own tests, and pip.
RUN /opt/smartmoney/bin/pip install --quiet --no-compile --no-deps --no-build-isolation /src \
 && find /opt/smartmoney/lib -type d -name tests -prune -exec rm -rf {} + \
 && rm -rf /opt/smartmoney/bin/pip* /opt/smartmoney/lib/python3*/site-packages/pip*
# Kernels are compiled here, for any x86-64 or arm64 machine, so that the first start in a container is as quick as the second. With them
# comes the bytecode of what a daemon imports, no more: the file system may be read-only later, and a health check must not compile Python.
ENV NUMBA_CPU_NAME=generic SMARTMONEY_CACHE_DIR=/opt/smartmoney/cache
RUN /opt/smartmoney/bin/smartmoney kernels \
 && /opt/smartmoney/bin/smartmoney run --paper --for 5 --set sim.prerun_s=60 --state-dir /tmp/state >/dev/null \
 && chmod -R a+rX /opt/smartmoney/cache

FROM ${BASE}
ENV PATH=/opt/smartmoney/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=generic SMARTMONEY_CACHE_DIR=/opt/smartmoney/cache SMARTMONEY_STATE_DIR=/state
COPY --from=build /opt/smartmoney /opt/smartmoney
COPY config /etc/smartmoney
RUN install -d -m 0700 -o 65532 -g 65532 /state
USER 65532:65532
VOLUME /state
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["smartmoney", "status", "--check"]
ENTRYPOINT ["smartmoney"]
CMD ["run", "--paper", "--config", "/etc/smartmoney/paper.yaml"]
