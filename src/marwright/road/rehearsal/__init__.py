"""What can be known before training: plans that cannot be kept, and unknown families tried in small."""
