"""Weaviate behind the interface of all stores."""
