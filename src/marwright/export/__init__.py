"""The export station: compressed weights to TorchScript, proven to answer as the model they were made from."""
