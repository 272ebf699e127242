"""The archive as a library: writes, reads, runs, signs and describes .mar files; it knows nothing of runs."""
