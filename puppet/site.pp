# What a node is comes from the fact `role`, which its recipe sets.
include "role::${facts['role']}"
