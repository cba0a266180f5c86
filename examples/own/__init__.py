"""Your own network, data set, criterion and schedule in the experiments: a file each to copy."""
