"""LanceDB: tables of Lance in a folder, an object store or LanceDB Cloud."""
