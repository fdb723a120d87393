"""The HTTP API over registry, policies, ledger and all that decisions look at."""
