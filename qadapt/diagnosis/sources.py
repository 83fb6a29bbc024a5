"""The source that findings of the shared checks cite."""

# The page that lists the source of each check.
SOURCES = "docs/doctor.md#sources"
