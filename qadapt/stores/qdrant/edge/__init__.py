"""The embedded Qdrant engine: ``edge:DIR``, one folder per collection."""
