"""Serving: predict with trained models."""
