"""The store of ClickHouse and chDB, its embedded form."""
