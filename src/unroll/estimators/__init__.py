"""Estimators with the scikit-learn API for the tasks, one file each."""
