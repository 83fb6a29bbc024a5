"""Repeated checks of collections for monitoring: recall, status, findings (``qadapt watch``)."""
