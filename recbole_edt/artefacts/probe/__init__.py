"""What the augmenter is worth."""
