# llmbench on NVIDIA GPUs. docs/containers.md explains.
#   docker build -f docker/gpu.Dockerfile -t llmbench:gpu .
FROM python:3.12.12-slim-bookworm

# bubblewrap, libseccomp and patch: the sandbox for programs and patches that models write; git: SWE-bench;
# gcc and C's headers: Triton compiles its launcher with them
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap gcc git libc6-dev libseccomp2 patch \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir uv==0.13.9

WORKDIR /src
COPY requirements/ requirements/
COPY pyproject.toml README.md LICENSE ./
COPY conf/ conf/
COPY llmbench/ llmbench/

# The versions are the lock's, without the development tools. CUDA's libraries come with the wheels, the driver from the host.
RUN uv pip install --system --no-cache --compile-bytecode \
        --constraints requirements/gpu.txt --overrides requirements/overrides.txt \
        -r requirements/model.in -r requirements/gpu.in '.[gpu,replicas]' \
    && rm -rf /src/*

RUN useradd --create-home --uid 1000 llmbench \
    && install -d -o llmbench -g llmbench /work /home/llmbench/.cache
USER 1000
WORKDIR /work
VOLUME ["/work", "/home/llmbench/.cache"]

ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["python", "-m", "llmbench"]
