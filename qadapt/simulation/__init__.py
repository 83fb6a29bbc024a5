"""Predict the recall of an engine's quantizers without a database."""
