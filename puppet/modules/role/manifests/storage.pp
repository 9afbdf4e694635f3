# Serves the volumes of a cloud.
class role::storage {
  include role::base
  include profile::volumes
}
