# Routes and filters between the networks of a cloud.
class role::network {
  include role::base
  include profile::router
}
