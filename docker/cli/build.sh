#!/usr/bin/env bash
# The container image of the command qadapt: qadapt:VERSION and qadapt:latest.
#
#   BASE     image with Python 3.10 or newer (default python:3.12-slim-bookworm)
#   PYTHON   builds the wheel (default python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cp docker/cli/Dockerfile "$folder"
"${PYTHON:-python3}" -m pip wheel --quiet --disable-pip-version-check --no-deps \
  --wheel-dir "$folder/wheels" .
version="$(basename "$folder"/wheels/qadapt_vectors-*.whl | cut -d- -f2)"
docker build --tag "qadapt:$version" --tag qadapt:latest ${BASE:+--build-arg "BASE=$BASE"} "$folder"
