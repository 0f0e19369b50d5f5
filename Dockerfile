# The server and the resident model in one image that runs on any x86-64 or Arm processor: llama.cpp's kernels
# come as modules, of which each machine takes the best it can run.
#
#   docker build -t caravan .
#   docker run -p 127.0.0.1:8000:8000 -e CARAVAN_ALLOW_ANONYMOUS=true caravan
#
# Where other machines reach the port, make keys instead: docker run -v caravan:/data caravan keys add NAME
#
# With CUDA, from NVIDIA's images (the toolkit to build, its libraries to run):
#
#   docker build -t caravan:cuda --build-arg BACKEND=portable-cuda \
#     --build-arg BUILD_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04 \
#     --build-arg RUNTIME_IMAGE=nvidia/cuda:13.0.2-runtime-ubuntu24.04 .
ARG BUILD_IMAGE=debian:trixie-slim
ARG RUNTIME_IMAGE=debian:trixie-slim

FROM ${BUILD_IMAGE} AS build
ARG BACKEND=portable
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# What llama.cpp's build reads and no more, so that a change elsewhere does not compile it again.
COPY Makefile constraints.txt ./
COPY deploy/__init__.py deploy/
COPY deploy/build deploy/build
COPY server/caravan/__init__.py server/caravan/
COPY server/caravan/llama/__init__.py server/caravan/llama/library.py server/caravan/llama/
RUN make native BACKEND=${BACKEND} LLAMA_WHEEL_CACHE=
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY server server
# The environment of the server alone: no compilers, no build tools.
RUN python3 -m venv /opt/caravan \
 && /opt/caravan/bin/python -m pip install --no-cache-dir --constraint constraints.txt setuptools \
 && /opt/caravan/bin/python -m pip install --no-cache-dir --constraint constraints.txt \
      --no-build-isolation build/wheels/*/*.whl '.[kv-events]' \
 && /opt/caravan/bin/python -m pip uninstall --yes setuptools pip

FROM ${RUNTIME_IMAGE}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /data caravan
COPY --from=build /opt/caravan /opt/caravan
ENV PATH=/opt/caravan/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CARAVAN_HOST=0.0.0.0 \
    CARAVAN_DATA_DIR=/data
USER 10001
WORKDIR /data
# Models, stored responses, keys: what has to outlive the container.
VOLUME /data
EXPOSE 8000
# Green as soon as the process answers; whether a model is loaded says /ready. The server has written down where it
# listens, so flags and files that set a port or TLS are no matter.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s CMD ["caravan", "healthcheck"]
ENTRYPOINT ["caravan"]
CMD ["serve"]
