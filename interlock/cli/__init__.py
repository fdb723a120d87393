"""What a person types: one file a noun, thin over the core."""

from interlock.cli.app import app

__all__ = ["app"]
