"""Milvus: a server (``milvus+http://``), or Lite in this process (``milvus:FILE.db``)."""
