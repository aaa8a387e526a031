"""How deficit and gain of the method move with dropout, cooldown, tokens and parameters."""
