# Runs the machines of a cloud's users.
class role::compute {
  include role::base
  include profile::hypervisor
}
