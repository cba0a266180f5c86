"""Short programs, one a framework, to copy from: each trains and prunes on the digits."""
