# llmbench on a CPU, with the small model of the first run. docs/containers.md explains.
#   docker build -f docker/cpu.Dockerfile -t llmbench:cpu .
FROM python:3.11.14-slim-bookworm

# bubblewrap, libseccomp and patch: the sandbox for programs and patches that models write; git: SWE-bench; libnuma: vLLM
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap git libnuma1 libseccomp2 patch \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir uv==0.13.9

WORKDIR /src
COPY requirements/ requirements/
COPY pyproject.toml README.md LICENSE ./
COPY conf/ conf/
COPY llmbench/ llmbench/

# The versions are the lock's, without the development tools; torch for the CPU comes from PyTorch's own index.
RUN uv pip install --system --no-cache --compile-bytecode --torch-backend cpu \
        --constraints requirements/cpu.txt --overrides requirements/overrides.txt --overrides requirements/cpu-overrides.txt \
        -r requirements/model.in -r requirements/cpu.in '.[cpu]' \
    && rm -rf /src/*

RUN useradd --create-home --uid 1000 llmbench \
    && install -d -o llmbench -g llmbench /work /home/llmbench/.cache
USER 1000
WORKDIR /work
VOLUME ["/work", "/home/llmbench/.cache"]

ENTRYPOINT ["python", "-m", "llmbench"]
