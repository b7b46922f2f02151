"""Hyperparameter searches over Optuna."""
