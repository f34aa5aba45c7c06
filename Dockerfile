# One image for every role: SERVICE_ROLE chooses api, worker, watcher or migrate; `mailboat up` runs them all on one machine.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/build && python -m venv --without-pip /opt/mailboat
# The dependencies change seldom, so they come first: locked by hash, and wheels only, since no compiler is here.
COPY .ci/requirements.txt /tmp/build.txt
COPY service/requirements.txt /tmp/service.txt
RUN /opt/build/bin/pip install -q --require-hashes --only-binary :all: -r /tmp/build.txt \
 && /opt/build/bin/pip --python /opt/mailboat/bin/python install -q --require-hashes --only-binary :all: -r /tmp/service.txt
COPY . .
RUN PYTHON=/opt/build/bin/python MAILBOAT_PYTHON=/opt/mailboat/bin/python .ci/engine
# Into a tree of its own, laid out like the environment's.
RUN /opt/build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/build/bin/pip --python /opt/mailboat/bin/python install -q --no-deps --prefix /opt/program /tmp/wheel/*.whl
# What the image is made of, as CycloneDX.
ARG SOURCE_DATE_EPOCH
RUN SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH python .ci/sbom.py /opt/program/share/mailboat/sbom.cdx.json

FROM python:3.13-slim-trixie
# A name for the user, since PostgreSQL's tools look it up; the numeric USER below is what Kubernetes checks.
RUN groupadd --gid 10001 mailboat \
 && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin mailboat \
 && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/mailboat /opt/mailboat
# Mailboat itself is a small layer over its dependencies, so that an upgrade does not pull them again.
COPY --from=build /opt/program /opt/mailboat
COPY templates /templates
# pip has written the byte code; nothing is written at run time but to /tmp and, with `mailboat up`, to /data.
ENV PATH=/opt/mailboat/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    MAILBOAT_HOST=0.0.0.0 MAILBOAT_PORT=8080 MAILBOAT_TEMPLATES=/templates
WORKDIR /data
USER 10001:10001
EXPOSE 8080
# Where it comes from: .ci/image fills these in.
ARG VERSION
ARG REVISION
ARG SOURCE
ARG CREATED
LABEL org.opencontainers.image.title=mailboat \
      org.opencontainers.image.description="A self-hosted transactional email platform for Kubernetes" \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE \
      org.opencontainers.image.created=$CREATED
ENTRYPOINT ["mailboat"]
