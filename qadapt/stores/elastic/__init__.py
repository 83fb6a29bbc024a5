"""Elasticsearch and OpenSearch: what both stores share."""
