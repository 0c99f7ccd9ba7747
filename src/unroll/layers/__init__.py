"""Neural-network modules over the ops: the recurrent layers and what stands around them."""
