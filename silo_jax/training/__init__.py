"""Training while pruning: the state, the jitted step and epoch, and the loop over cycles."""
