"""Elasticsearch and OpenSearch: parts that both share, and a store of each."""
