# segzoo in a container: docs/start/container.md says how it is built and run.
#
#     docker build -t segzoo .                                  # for the CPU
#     docker build -t segzoo:cuda --build-arg DEVICE=cuda .     # for NVIDIA's GPUs
#
# BASE needs Python 3.11 or later with venv; any Debian that has it will do.
ARG BASE=python:3.12.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/segzoo
# torch first: it is large, and changes less often than what follows. torchvision must be built for the same device.
ARG DEVICE=cpu
# Another index to take torch from, such as a mirror of yours.
ARG TORCH_INDEX=
RUN case "${DEVICE}" in \
        cpu) index=https://download.pytorch.org/whl/cpu ;; \
        cuda) index=https://pypi.org/simple ;; \
        *) echo "DEVICE must be cpu or cuda, got ${DEVICE}" >&2; exit 2 ;; \
    esac && \
    /opt/segzoo/bin/pip install --index-url "${TORCH_INDEX:-$index}" "torch>=2.7" "torchvision>=0.22" && \
    /opt/segzoo/bin/python -c "import torchvision"
ARG EXTRAS=train,tune,serve,metrics,tiff,geo,video,s3
ARG PLUGINS="attention carvana decoders driving formats medical nested science steel torchvision voc"
COPY pyproject.toml README.md LICENSE /src/
COPY segzoo /src/segzoo
COPY plugins /src/plugins
RUN set -e; \
    packages="/src[${EXTRAS}]"; \
    for name in ${PLUGINS}; do packages="${packages} /src/plugins/segzoo-${name}"; done; \
    /opt/segzoo/bin/pip install ${packages}

FROM ${BASE}
LABEL org.opencontainers.image.title="segzoo" \
      org.opencontainers.image.description="A plug-in based model zoo for semantic segmentation" \
      org.opencontainers.image.licenses="Apache-2.0"
# Whoever runs it with --user, so that files belong to them, has no home: both folders take files of anybody.
RUN groupadd --gid 1000 segzoo && \
    useradd --uid 1000 --gid segzoo --no-create-home --home-dir /cache segzoo && \
    install -d -m 1777 /cache /work
COPY --from=build /opt/segzoo /opt/segzoo
COPY docker/health.py /opt/segzoo/health.py
ENV PATH=/opt/segzoo/bin:$PATH \
    HOME=/cache \
    SEGZOO_HOME=/cache/segzoo \
    XDG_CACHE_HOME=/cache \
    HF_HOME=/cache/huggingface \
    TORCH_HOME=/cache/torch \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME ["/cache"]
WORKDIR /work
USER segzoo
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/segzoo/bin/python", "/opt/segzoo/health.py"]
ENTRYPOINT ["segzoo"]
CMD ["--help"]
