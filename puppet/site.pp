# What a node is comes from the fact `role`, which its recipe sets.
$role = $facts['role']
include "role::${role}"
