"""Qdrant: the parts that the server and the embedded engine share."""
