"""How good a classifier is, and how far its probabilities can be taken at their word."""
