"""The tables by what they are about; `interlock.store.migrations` makes them, in their order."""
