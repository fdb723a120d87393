"""Minted tokens: what an upstream hands out is kept here, and the agent gets a placeholder."""
