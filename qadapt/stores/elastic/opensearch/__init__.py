"""OpenSearch with the k-NN plugin."""
