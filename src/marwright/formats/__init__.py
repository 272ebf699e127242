"""Formats that more than one room reads."""
