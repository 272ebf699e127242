"""The first bytes of files, by which programs know what they hold."""

from __future__ import annotations

PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"
OLD_OFFICE = b"\xd0\xcf\x11\xe0"
SQLITE = b"SQLite format 3"
PDF = b"%PDF"
GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
# A few lines of text that stand in for a file which was not fetched.
GIT_LFS_POINTER = b"version https://git-lfs"
