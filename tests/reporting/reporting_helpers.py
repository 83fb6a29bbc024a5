"""Documents of eval for reports, and parsing of a page."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from qadapt.evaluation.documents import Evaluation
from qadapt.evaluation.results import Figure, Latency, Result, Truth
from qadapt.model import Evidence, Metric, Quantization, Server, State, Status

VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


def result(
    setting: str, recall: float | None, size: float | None, p95: float | None = None, **more: Any
) -> Result:
    """One setting, measured."""
    live = setting == "live"
    figure = (
        None if recall is None else Figure(recall, max(0, recall - 0.01), min(1, recall + 0.01))
    )
    times = [] if p95 is None else [Latency("warm", 1, p95 / 2, p95, 2 * p95, p95 / 2, 900.0, 300)]
    return Result(
        setting=setting,
        quantization=Quantization.parse(more.pop("quantization", "none" if live else setting)),
        where="live" if live else "copy",
        recall=None if recall is None else figure,
        latency=tuple(times),
        bytes_per_vector=size,
        status=Status(State.ACTIVE, evidence=(Evidence("segments", 3),)),
        **more,
    )


def evaluation(*results: Result, **more: Any) -> Evaluation:
    """An evaluation of them."""
    given: dict[str, Any] = {
        "store": "edge:./data",
        "server": Server("edge", "0.9.0", "embedded"),
        "collection": "articles",
        "vector": "",
        "dim": 384,
        "metric": Metric.COSINE,
        "datatype": "float32",
        "count": 5183,
        "k": 10,
        "queries": 300,
        "source": "300 queries from q.npy",
        "truth": Truth(5183, 5183, 10, 300, "q.npy", 0.4),
        "created": "2026-11-22T10:00:00+00:00",
        "command": "qadapt eval edge:./data articles binary",
    }
    return Evaluation(results=results, **{**given, **more})


def usual() -> Evaluation:
    """The live one without codes, and five settings, one of them not measured."""
    return evaluation(
        result("live", 1.0, 1536, 0.4),
        result("scalar", 0.992, 388, 0.2),
        result("rotational:bits=4", 0.953, 200, 0.1),
        result("binary:rescore=1", 0.568, 48, 0.09),
        result("binary:rescore=10", 0.946, 48, 0.13),
        result("rotational:bits=3", None, None, state="unsupported", notes=("no 3 bits here",)),
    )


class Page(HTMLParser):
    """Contents of a page; raises if tags are not balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> has no opening tag"

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> list[str]:
        """All ids."""
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]
