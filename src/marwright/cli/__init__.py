"""The command line: thin parsers over plain functions. Errors a user can cure are printed once, here."""

from marwright.cli.app import main

__all__ = ["main"]
