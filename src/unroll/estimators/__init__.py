"""Estimators: scikit-learn's contract over the tasks, one file each."""
