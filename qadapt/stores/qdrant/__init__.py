"""Qdrant: the JSON that its server and its in-process engine share."""
