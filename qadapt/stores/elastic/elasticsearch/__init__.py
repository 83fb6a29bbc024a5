"""The store of ``elasticsearch+http://...``."""
