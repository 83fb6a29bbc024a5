"""Measuring: exact truth, recall with its confidence interval, configured against seen."""
