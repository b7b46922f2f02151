"""Data sets: sources, decoding, batches, augmentation."""
