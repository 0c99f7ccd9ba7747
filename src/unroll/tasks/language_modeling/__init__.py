"""Language modelling: next-token and masked prediction."""
