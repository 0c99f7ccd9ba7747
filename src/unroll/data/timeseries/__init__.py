"""Convert tables to time series on a regular grid, and cut windows over them."""
