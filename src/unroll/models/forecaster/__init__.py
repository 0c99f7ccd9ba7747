"""Forecasting models: strategies and output distributions."""
