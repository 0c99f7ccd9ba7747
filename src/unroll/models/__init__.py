"""Models: an input stage, layers and a head; one file per shape of problem."""
