"""Studies of many networks: comparisons, searches of max_lr, and the premise measured."""
