"""Weaviate as a store."""
