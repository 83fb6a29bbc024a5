"""Losses of a migration that can be accepted; imports nothing, for shell completion."""

from __future__ import annotations

# Data and settings that a target may be unable to hold. Each can be left behind (--allow NAME).
LOSSES = {
    "sparse-vectors": "sparse vectors are not copied",
    "multivectors": "multivectors are not copied",
    "other-metrics": "vectors with a metric that qadapt does not support are not copied",
    "other-vectors": "vectors of a type that qadapt does not read are not copied",
    "payload-indexes": "some payload indexes, or some of their settings, are not created",
    "typed-fields": "values of typed fields are copied, their declarations are not",
    "partitions": "all partitions become one collection; each row keeps its partition's name",
    "shard-keys": "the rows of all shard keys become one collection",
    "tenants": "all tenants become one collection; each row keeps its tenant's name",
    "inactive-tenants": "rows of inactive tenants are not copied",
    "references": "references to other collections are not copied",
    "quantization": "the target is not quantized, because it has no equivalent",
    "duplicate-ids": "one of several rows with the same id is kept; which one is undefined",
    "rejected-rows": "rows that the target rejects are skipped and listed",
    "missing-vectors": "rows that lack a vector are skipped and listed",
    "payload": "payload values are changed by the target",
    "existing-target": "rows are added to a collection that exists already",
}
