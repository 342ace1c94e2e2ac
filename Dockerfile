# docker build -t hammerlib . && docker run --rm -it -v "$PWD/results:/hammerlib/results" hammerlib make run
# On a GPU: docker build --build-arg TORCH_INDEX= -t hammerlib . && docker run --gpus all ...
# Not built by us.
FROM python:3.11-slim

# Debian keeps one version of each package, so a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /hammerlib
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# The environment first: it is built anew only when what it is made of changes.
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY hammerlib hammerlib
RUN make .venv/.ready TORCH_INDEX="$TORCH_INDEX" && rm -rf /root/.cache/pip
COPY . .
# A later date than what was copied, so that make does not install again.
RUN touch .venv/.ready
ENV PATH="/hammerlib/.venv/bin:$PATH"
CMD ["hammer", "doctor"]
