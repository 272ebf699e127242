"""The modules that go into an archive: ids and attention mask in, logits out."""
