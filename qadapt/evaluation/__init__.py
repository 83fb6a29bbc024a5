"""Verify, evaluate, simulate and advise: recall against ground truth, latency and bytes."""
