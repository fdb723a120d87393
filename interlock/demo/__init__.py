"""A local stand-in for the providers, for `interlock demo` and for the tests."""
