"""Qdrant's engine in this process: ``edge:DIR``, one folder a collection."""
