"""A Qdrant server, or the local mode of its client: ``qdrant+http://``, ``qdrant:DIR``."""
