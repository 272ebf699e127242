"""How each kind of table is read: into records, each with its place; what is wrong with one goes with it."""
