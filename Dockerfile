# lading's server. Embedded PostgreSQL below /data by default; with LADING_SERVER_DATABASE_URL the one it names.
#   docker build -t lading . && docker run -d -p 8321:8321 -v lading-data:/data lading

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lading
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY lading ./lading
COPY catalog ./catalog
COPY metadata ./metadata
COPY transfer ./transfer
COPY storage_plugins ./storage_plugins
COPY migrations ./migrations
COPY doors ./doors
RUN /opt/lading/bin/pip install '.[server,fsspec]'

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="lading" \
      org.opencontainers.image.description="A catalogue of scientific files and their replicas, that also moves the bytes." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 lading \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin lading \
 && install -d -o lading -g lading -m 0755 /data
COPY --from=build /opt/lading /opt/lading
ENV PATH=/opt/lading/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LADING_SERVER_DATA=/data \
    LADING_SERVER_HOST=0.0.0.0 \
    LADING_SERVER_PORT=8321
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8321
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['LADING_SERVER_PORT'] + '/readyz', timeout=4)"]
ENTRYPOINT ["lading-server"]
CMD ["run"]
