"""Neural-network modules over the ops: the recurrent layers and the modules used with them."""
