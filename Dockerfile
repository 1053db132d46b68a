# The service alone; the database is a DATABASE_URL. Same steps as the Makefile's.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/geoingest
COPY pyproject.toml constraints.txt README.md ./
COPY geoingest geoingest
COPY sql sql
RUN /opt/geoingest/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --constraint constraints.txt .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="geoingest" \
      org.opencontainers.image.description="Location pings in, committed in batches, read back from a replica."
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/geoingest/bin:$PATH \
    GEOINGEST_HOST=0.0.0.0 \
    GEOINGEST_LOG_FORMAT=json \
    GEOINGEST_DATA_DIR=/var/lib/geoingest
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin geoingest \
    && install -d -o geoingest -g geoingest /var/lib/geoingest
COPY --from=build /opt/geoingest /opt/geoingest
USER 10001
VOLUME /var/lib/geoingest
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('GEOINGEST_ADMIN_PORT', '9090') + '/livez', timeout=2)"]
ENTRYPOINT ["geoingest"]
CMD ["serve"]
