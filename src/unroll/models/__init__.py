"""Models: an input stage, recurrent layers and a head; one file per kind of problem."""
