"""Where labelled rows come from. A source is a module with one function: its configuration in, rows out."""
