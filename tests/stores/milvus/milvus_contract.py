# ruff: noqa: N802
"""A recording Milvus server: the real pymilvus client sends gRPC requests to it.

It stores no vectors. It answers requests about schema, indexes and loading like a server of the
given version, so tests can check the exact requests to versions that cannot be run here.
"""

from __future__ import annotations

from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

OK = common_pb2.Status()


@dataclass
class _Made:
    """One collection."""

    schema: Any
    level: int
    properties: dict[str, str]
    indexes: dict[str, Any] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=lambda: ["_default"])
    loaded: bool = False


class Recorder(milvus_pb2_grpc.MilvusServiceServicer):
    """Collections as they were created, and aliases.

    Attributes:
        requests: (name of the call, request) in order.
        refuse: an index type whose creation is refused.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.requests: list[tuple[str, Any]] = []
        self.refuse: str | None = None
        self.rows = 5000
        self._made: dict[str, _Made] = {}
        self.aliases: dict[str, str] = {}

    def named(self, name: str) -> list[Any]:
        """The requests of one call."""
        return [request for each, request in self.requests if each == name]

    def order(self, *names: str) -> list[str]:
        """The calls of these names, in order."""
        return [each for each, _ in self.requests if each in names]

    def index_params(self, at: int = -1) -> dict[str, str]:
        """Type, metric and parameters of one CreateIndex, as they were on the wire."""
        request = self.named("CreateIndex")[at]
        return {pair.key: pair.value for pair in request.extra_params}

    def _of(self, name: str) -> Any:
        return self._made.get(self.aliases.get(name, name))

    # -- the server's side -------------------------------------------------------------------

    def Connect(self, request: Any, context: Any) -> Any:
        info = common_pb2.ServerInfo(build_tags=self.version, deploy_mode="STANDALONE")
        return milvus_pb2.ConnectResponse(status=OK, server_info=info, identifier=1)

    def GetVersion(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetVersionResponse(status=OK, version=self.version)

    def AllocTimestamp(self, request: Any, context: Any) -> Any:
        return milvus_pb2.AllocTimestampResponse(status=OK, timestamp=1)

    def ShowCollections(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ShowCollectionsResponse(status=OK, collection_names=list(self._made))

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(("CreateCollection", request))
        self._made[request.collection_name] = _Made(
            schema_pb2.CollectionSchema.FromString(request.schema),
            request.consistency_level,
            {pair.key: pair.value for pair in request.properties},
        )
        return OK

    def DescribeCollection(self, request: Any, context: Any) -> Any:
        made = self._of(request.collection_name)
        if made is None:
            status = common_pb2.Status(code=100, reason="collection not found", error_code=4)
            return milvus_pb2.DescribeCollectionResponse(status=status)
        pairs = [common_pb2.KeyValuePair(key=k, value=v) for k, v in made.properties.items()]
        return milvus_pb2.DescribeCollectionResponse(
            status=OK,
            schema=made.schema,
            collectionID=1,
            collection_name=self.aliases.get(request.collection_name, request.collection_name),
            num_partitions=len(made.partitions),
            consistency_level=made.level,
            properties=pairs,
        )

    def AlterCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(("AlterCollection", request))
        changed = {pair.key: pair.value for pair in request.properties}
        self._of(request.collection_name).properties.update(changed)
        return OK

    def CreateIndex(self, request: Any, context: Any) -> Any:
        self.requests.append(("CreateIndex", request))
        params = {pair.key: pair.value for pair in request.extra_params}
        if params["index_type"] == self.refuse:
            return common_pb2.Status(code=65535, reason="invalid index type", error_code=1)
        self._of(request.collection_name).indexes[request.field_name] = request
        return OK

    def DropIndex(self, request: Any, context: Any) -> Any:
        self.requests.append(("DropIndex", request))
        made = self._of(request.collection_name)
        if made.loaded:
            reason = "index cannot be dropped, collection is loaded, please release it first"
            return common_pb2.Status(code=65535, reason=reason, error_code=1)
        made.indexes = {
            field: each
            for field, each in made.indexes.items()
            if each.index_name != request.index_name
        }
        return OK

    def DescribeIndex(self, request: Any, context: Any) -> Any:
        found = [
            milvus_pb2.IndexDescription(
                index_name=each.index_name,
                field_name=field,
                params=each.extra_params,
                state=common_pb2.IndexState.Finished,
                indexed_rows=self.rows,
                total_rows=self.rows,
            )
            for field, each in self._of(request.collection_name).indexes.items()
            if request.index_name in ("", each.index_name)
        ]
        if not found:
            status = common_pb2.Status(code=700, reason="index not found", error_code=25)
            return milvus_pb2.DescribeIndexResponse(status=status)
        return milvus_pb2.DescribeIndexResponse(status=OK, index_descriptions=found)

    def LoadCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(("LoadCollection", request))
        self._of(request.collection_name).loaded = True
        return OK

    def ReleaseCollection(self, request: Any, context: Any) -> Any:
        self.requests.append(("ReleaseCollection", request))
        self._of(request.collection_name).loaded = False
        return OK

    def GetLoadState(self, request: Any, context: Any) -> Any:
        state = common_pb2.LoadState.LoadStateLoaded
        if not self._of(request.collection_name).loaded:
            state = common_pb2.LoadState.LoadStateNotLoad
        return milvus_pb2.GetLoadStateResponse(status=OK, state=state)

    def GetLoadingProgress(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetLoadingProgressResponse(status=OK, progress=100)

    def Flush(self, request: Any, context: Any) -> Any:
        self.requests.append(("Flush", request))
        return milvus_pb2.FlushResponse(status=OK)

    def GetFlushState(self, request: Any, context: Any) -> Any:
        return milvus_pb2.GetFlushStateResponse(status=OK, flushed=True)

    def GetQuerySegmentInfo(self, request: Any, context: Any) -> Any:
        made = self._of(request.collectionName)
        infos = [
            milvus_pb2.QuerySegmentInfo(
                segmentID=1,
                num_rows=self.rows,
                index_name=each.index_name,
                state=common_pb2.SegmentState.Sealed,
            )
            for each in made.indexes.values()
        ]
        return milvus_pb2.GetQuerySegmentInfoResponse(status=OK, infos=infos if made.loaded else [])

    def GetCollectionStatistics(self, request: Any, context: Any) -> Any:
        pair = common_pb2.KeyValuePair(key="row_count", value=str(self.rows))
        return milvus_pb2.GetCollectionStatisticsResponse(status=OK, stats=[pair])

    def Query(self, request: Any, context: Any) -> Any:
        self.requests.append(("Query", request))
        if "count(*)" not in request.output_fields:
            key = schema_pb2.FieldData(
                type=schema_pb2.DataType.VarChar,
                field_name=request.output_fields[0],
                scalars=schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=[])),
            )
            return milvus_pb2.QueryResults(
                status=OK, fields_data=[key], output_fields=request.output_fields
            )
        counts = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[self.rows]))
        data = schema_pb2.FieldData(
            type=schema_pb2.DataType.Int64, field_name="count(*)", scalars=counts
        )
        return milvus_pb2.QueryResults(status=OK, fields_data=[data], output_fields=["count(*)"])

    def Upsert(self, request: Any, context: Any) -> Any:
        self.requests.append(("Upsert", request))
        count = request.num_rows
        return milvus_pb2.MutationResult(status=OK, upsert_cnt=count, succ_index=range(count))

    def ShowPartitions(self, request: Any, context: Any) -> Any:
        names = self._of(request.collection_name).partitions
        return milvus_pb2.ShowPartitionsResponse(status=OK, partition_names=names)

    def CreatePartition(self, request: Any, context: Any) -> Any:
        self.requests.append(("CreatePartition", request))
        self._of(request.collection_name).partitions.append(request.partition_name)
        return OK

    def ListAliases(self, request: Any, context: Any) -> Any:
        return milvus_pb2.ListAliasesResponse(status=OK, aliases=list(self.aliases))

    def DescribeAlias(self, request: Any, context: Any) -> Any:
        return milvus_pb2.DescribeAliasResponse(
            status=OK, alias=request.alias, collection=self.aliases[request.alias]
        )

    def CreateAlias(self, request: Any, context: Any) -> Any:
        self.requests.append(("CreateAlias", request))
        self.aliases[request.alias] = request.collection_name
        return OK

    def AlterAlias(self, request: Any, context: Any) -> Any:
        self.requests.append(("AlterAlias", request))
        self.aliases[request.alias] = request.collection_name
        return OK

    def Search(self, request: Any, context: Any) -> Any:
        self.requests.append(("Search", request))
        ids = schema_pb2.IDs(str_id=schema_pb2.StringArray(data=[]))
        results = schema_pb2.SearchResultData(
            num_queries=request.nq, top_k=0, topks=[0] * request.nq, ids=ids
        )
        return milvus_pb2.SearchResults(status=OK, results=results)


def start(recorder: Recorder) -> tuple[grpc.Server, int]:
    """Serve on a free port of the loopback."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(recorder, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
