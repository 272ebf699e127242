"""Processes, threads, signals and locks."""
