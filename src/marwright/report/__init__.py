"""One page about a run or an exploration: figures, pictures and mistakes, with nothing to load from elsewhere."""
