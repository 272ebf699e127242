"""Serves one classifier with several servers on this machine, one after the other, and measures each with one client."""
