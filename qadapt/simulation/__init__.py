"""What an engine's quantizer does to recall, worked out here: no database is touched."""
