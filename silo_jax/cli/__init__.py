"""Entry points: flags, then one call into the library."""
