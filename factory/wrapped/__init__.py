"""Any torch module that a Python function gives, as a generator."""
