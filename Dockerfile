# The service, with the training code that makes a demo artifact at the first start.
#   docker build -t kindred .
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t kindred .     for an NVIDIA GPU
#   docker run -p 127.0.0.1:8000:8000 -e KINDRED_OPEN=true kindred      KINDRED_OPEN=true allows it to run without keys
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /app
# The sources come later, so that a change in them does not install the packages again.
COPY pyproject.toml ./
COPY requirements/run.lock requirements/torch.lock requirements/
COPY scripts/install.sh scripts/
RUN touch README.md && PIP_NO_CACHE_DIR=1 sh scripts/install.sh /opt/venv run
COPY . .
RUN /opt/venv/bin/python -m compileall -q model service training

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp \
    KINDRED_HOST=0.0.0.0 \
    KINDRED_PORT=8000 \
    KINDRED_ARTIFACTS=/var/lib/kindred/artifacts \
    KINDRED_DATABASE_URL=sqlite:////var/lib/kindred/registry/registry.db
# A new named volume gets the owner of the folder that it is mounted on.
RUN groupadd --gid 10001 kindred \
 && useradd --uid 10001 --gid kindred --home-dir /tmp --no-create-home --shell /usr/sbin/nologin kindred \
 && install -d -o kindred -g kindred /var/lib/kindred/artifacts /var/lib/kindred/registry
VOLUME ["/var/lib/kindred/artifacts", "/var/lib/kindred/registry"]
EXPOSE 8000
# The check uses no proxy: Docker and podman pass the machine's proxy settings on to the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as web; web.build_opener(web.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['KINDRED_PORT'] + '/readyz', timeout=4)"]
WORKDIR /app
USER kindred
ENTRYPOINT ["sh", "/app/scripts/entrypoint.sh"]
CMD ["python", "-m", "service"]
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
