"""Regression on scikit-learn's diabetes table with PyTorch."""
