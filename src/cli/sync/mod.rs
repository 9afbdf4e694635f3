//! `imgforge sync`: keeps a cloud at what a channel has.

pub(crate) mod openstack;

use clap::Subcommand;

use super::App;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct SyncCloud {
    /// The kind of cloud.
    #[command(subcommand)]
    cloud: Cloud,
}

#[derive(Debug, Subcommand)]
enum Cloud {
    /// Uploads to Glance what a channel has, and hides what it had
    Openstack(openstack::OpenStack),
}

impl SyncCloud {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.cloud {
            Cloud::Openstack(cloud) => cloud.run(app),
        }
    }
}
