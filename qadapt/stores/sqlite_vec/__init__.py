"""sqlite-vec: tables of vectors in SQLite files."""
