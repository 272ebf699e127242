"""What can be known before training: plans that cannot be kept, and models tried in small."""
