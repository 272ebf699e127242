"""Serves one classifier with several servers on this machine, in turn, and measures them with one client."""
