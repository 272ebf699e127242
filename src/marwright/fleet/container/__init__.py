"""A build context for an image that serves an archive, and what watches it."""
