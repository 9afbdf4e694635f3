//! Keeps a cloud at what a channel has.

pub mod openstack;
