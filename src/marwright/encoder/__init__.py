"""The networks that answer: ids and attention mask in, logits out."""
