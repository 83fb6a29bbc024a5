"""The MCP server, called by the client of the official SDK."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

pytest.importorskip("mcp", reason="needs the environment of `make test-integrations`")
import anyio
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import ElicitResult

from qadapt.integrations.mcp import server

READ_ONLY = ["inspect", "doctor", "plan", "cost", "advise", "verify"]
MODES = ("auto", "legacy")  # the newest protocol, and the one with a handshake


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """An edge collection ``notes`` with 1,500 rows of 64 dimensions; the database is closed."""
    vectors = np.random.default_rng(3).standard_normal((1_500, 64), dtype=np.float32)
    place = f"edge:{tmp_path / 'data'}"
    with qa.open(place) as database:
        notes = database.create("notes", dim=64, metric="cosine")
        notes.write(
            qa.Batch(
                np.arange(len(vectors)),
                {"": vectors},
                payloads=[{"topic": "art" if row % 3 else "law"} for row in range(len(vectors))],
            )
        )
    yield place


def called(
    target: Any,
    tool: str,
    arguments: dict[str, Any],
    *,
    answer: ElicitResult | None = None,
    mode: str = "auto",
) -> tuple[Any, list[str], list[tuple[float, str | None]]]:
    """Call a tool: its result, the questions to the user, and progress with its messages."""
    questions: list[str] = []
    progress: list[tuple[float, str | None]] = []

    async def ask(_context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        assert answer is not None
        return answer

    async def on(done: float, _total: float | None, message: str | None) -> None:
        progress.append((done, message))

    async def run() -> Any:
        callback = ask if answer is not None else None
        async with Client(target, mode=mode, elicitation_callback=callback) as client:
            return await client.call_tool(tool, arguments, progress_callback=on)

    return anyio.run(run), questions, progress


def document(result: Any) -> Any:
    """The JSON document of a successful call."""
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def status(address: str) -> str:
    with qa.open(address) as database:
        return database["notes"].info().vectors[""].status.state.value


def listed(target: Any) -> dict[str, Any]:
    async def run() -> Any:
        async with Client(target) as client:
            return await client.list_tools()

    return {tool.name: tool for tool in anyio.run(run).tools}


def test_all_tools_are_read_only_by_default(address: str) -> None:
    tools = listed(server(address))
    assert list(tools) == READ_ONLY
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    assert all(tool.description for tool in tools.values())


def test_apply_is_added_by_its_option_and_marked_as_destructive(address: str) -> None:
    tools = listed(server(address, allow_apply=True))
    assert list(tools) == [*READ_ONLY, "apply"]
    assert tools["apply"].annotations.destructive_hint
    assert not tools["apply"].annotations.read_only_hint
    assert set(tools["apply"].input_schema["properties"]) == {
        "collection", "quantization", "vector", "guard",
    }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_inspect_returns_the_verified_status(address: str, mode: str) -> None:
    found = document(called(server(address), "inspect", {}, mode=mode)[0])
    assert [each["name"] for each in found["collections"]] == ["notes"]
    assert found["collections"][0]["vectors"][""]["status"]["state"] == status(address)


def test_each_tool_returns_the_document_of_its_command(address: str) -> None:
    target = server(address)
    plan = document(
        called(target, "plan", {"collection": "notes", "quantization": "binary:rescore=4"})[0]
    )
    assert plan["steps"] and status(address) != "active"
    arguments = {"collection": "notes", "quantization": "scalar", "ram_price": 2.0}
    cost = document(called(target, "cost", arguments)[0])
    assert cost["after"]["footprint"]
    doctor = document(called(target, "doctor", {"collection": "notes"})[0])
    assert "findings" in doctor
    arguments = {"collection": "notes", "queries": 60, "filter": {"topic": "art"}}
    result, _, progress = called(target, "verify", arguments)
    assert document(result)["results"][0]["recall"]["value"] == 1.0
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})
    assert progress
    advice = document(called(target, "advise", {"collection": "notes", "recall": 0.9})[0])
    assert advice["best"]


def test_the_database_is_closed_between_calls(address: str) -> None:
    async def run() -> None:
        async with Client(server(address)) as client:
            await client.call_tool("inspect", {})
            assert status(address)  # edge is opened by one process, and by one handle, at a time
            assert not (await client.call_tool("inspect", {})).is_error

    anyio.run(run)


def test_concurrent_calls_wait_for_each_other(address: str) -> None:
    results: list[Any] = []

    async def run() -> None:
        async with Client(server(address)) as client, anyio.create_task_group() as group:

            async def one() -> None:
                results.append(await client.call_tool("inspect", {"collection": "notes"}))

            for _ in range(4):
                group.start_soon(one)

    anyio.run(run)
    assert len(results) == 4 and not any(each.is_error for each in results)


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("inspect", {"collection": "missing"}, "existing: notes"),
        ("plan", {"collection": "notes", "quantization": "tiny"}, "tiny"),
        ("verify", {"collection": "notes", "k": 0}, "greater than or equal to 1"),
        ("verify", {"collection": "notes", "filter": {"topic": {"near": 1}}}, "near"),
    ],
)
def test_an_error_says_what_to_do(
    address: str, tool: str, arguments: dict[str, Any], text: str
) -> None:
    result, _, _ = called(server(address), tool, arguments)
    assert result.is_error
    shown = result.content[0].text
    assert text in shown and "Traceback" not in shown


def test_a_key_that_was_used_does_not_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret-key-of-the-test")
    result, _, _ = called(server("qdrant+http://127.0.0.1:1"), "inspect", {})
    assert result.is_error
    assert "secret-key-of-the-test" not in str(result)


YES = ElicitResult(action="accept", content={"apply": True})
ARGUMENTS = {"collection": "notes", "quantization": "scalar:rescore=2"}


@pytest.mark.parametrize("mode", MODES)
def test_apply_shows_the_plan_and_applies_it_after_consent(address: str, mode: str) -> None:
    result, questions, _ = called(
        server(address, allow_apply=True), "apply", ARGUMENTS, answer=YES, mode=mode
    )
    assert document(result)["state"] == "applied"
    assert len(questions) == 1 and "scalar" in questions[0]
    assert status(address) == "active"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "answer",
    [
        ElicitResult(action="accept", content={"apply": False}),
        ElicitResult(action="decline"),
        ElicitResult(action="cancel"),
    ],
    ids=["no", "decline", "cancel"],
)
def test_without_consent_nothing_changes(address: str, mode: str, answer: ElicitResult) -> None:
    before = status(address)
    target = server(address, allow_apply=True)
    result, questions, _ = called(target, "apply", ARGUMENTS, answer=answer, mode=mode)
    assert result.is_error and len(questions) == 1
    assert status(address) == before


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_cannot_ask_the_user_cannot_apply(address: str, mode: str) -> None:
    before = status(address)

    async def run() -> Any:
        async with Client(server(address, allow_apply=True), mode=mode) as client:
            return await client.call_tool("apply", ARGUMENTS)

    try:
        assert anyio.run(run).is_error
    except Exception as error:  # noqa: BLE001 - the SDK raises its own errors, or a group of them
        assert "licit" in repr(error)
    assert status(address) == before


def test_apply_needs_its_option(address: str) -> None:
    result, _, _ = called(server(address), "apply", ARGUMENTS, answer=YES)
    assert result.is_error and "apply" in result.content[0].text


def test_the_command_serves_on_standard_input_and_output(address: str, tmp_path: Path) -> None:
    environment = {**os.environ, "QADAPT_STATE_DIR": str(tmp_path / "state")}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "qadapt", "mcp", address], env=environment
    )
    found = document(called(stdio_client(command), "inspect", {"collection": "notes"})[0])
    assert found["collections"][0]["count"] == 1_500
