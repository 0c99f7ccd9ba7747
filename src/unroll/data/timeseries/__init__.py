"""Tables of times to series on a regular grid, and windows over them."""
