"""Separate process that removes containers when the tests end.

    python reaper.py LABEL=VALUE

Its standard input is a pipe whose other end the tests hold: when it closes (also by kill -9 of
pytest), the containers with that label are removed, their volumes with them.
"""

from __future__ import annotations

import sys

import docker


def remove(label: str) -> int:
    """Remove all containers with this label; their number."""
    client = docker.from_env()
    try:
        found = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        for each in found:
            try:
                each.remove(force=True, v=True)
            except (docker.errors.NotFound, docker.errors.APIError) as error:
                if getattr(error, "status_code", None) not in (404, 409):  # gone, or on its way
                    raise
        return len(found)
    finally:
        client.close()


if __name__ == "__main__":
    sys.stdin.read()
    remove(sys.argv[1])
