"""Weaviate, by its server."""
