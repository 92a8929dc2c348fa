"""Backends in a folder of their own, arrays apart from the spec, no module hidden behind a function."""
