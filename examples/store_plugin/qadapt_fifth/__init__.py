"""A store in SQLite files, with int8 codes of its own."""
