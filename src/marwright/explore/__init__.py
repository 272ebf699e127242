"""Builds candidates, measures each through its exported module, and picks the one that keeps the promise."""
