"""What a pretrained checkpoint is and can be, and how its tokenizer makes token ids of texts."""
