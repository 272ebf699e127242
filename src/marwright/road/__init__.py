"""The road from a table to an archive: which station follows which, and what of an earlier run still holds."""
