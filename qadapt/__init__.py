"""qadapt: say how small and how exact vectors should be, and make a vector database obey."""

__version__ = "0.1.0"
