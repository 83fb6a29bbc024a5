"""Where the rules of the shared checks come from."""

# The page that lists the source of each check.
SOURCES = "docs/doctor.md#sources"
