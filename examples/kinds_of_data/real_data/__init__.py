"""Small real data of several kinds, for the classifier's loop."""
