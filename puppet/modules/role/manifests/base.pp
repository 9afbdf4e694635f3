# What every node has.
class role::base {
  include profile::sysctl
  include profile::journal
}
