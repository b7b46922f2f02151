"""Gradient boosting against a random forest: a study without PyTorch."""
