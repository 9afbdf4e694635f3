//! The operations, one file each.

mod abrt_data;
mod agent_ids;
mod apt_lists;
mod backup_files;
mod bash_history;
mod blkid_tab;
mod ca_certificates;
mod cloud_init;
mod crash_data;
mod cron_spool;
mod debconf_passwords;
mod dhcp_client_state;
mod dhcp_server_state;
mod dovecot_data;
mod firewall_rules;
mod flag_reconfiguration;
pub(super) mod fs_uuids;
mod homes;
mod ipa_client;
mod kerberos_data;
mod kerberos_hostkeytab;
mod logfiles;
mod lvm_system_devices;
mod lvm_uuids;
pub(super) mod machine_id;
mod mail_spool;
mod net_hostname;
mod net_hwaddr;
mod net_nmconn;
mod network_leases;
mod pacct_log;
mod package_manager_cache;
mod pam_data;
mod passwd_backups;
mod proxy;
mod puppet_data_log;
mod random_seed;
mod rh_subscription_manager;
mod rhn_systemid;
mod rpm_db;
mod runner;
mod samba_db_log;
mod smolt_uuid;
mod snap_device;
mod ssh_hostkeys;
mod ssh_userdir;
mod sssd_db_log;
mod storage_ids;
mod tmp_files;
mod ubuntu_pro;
mod udev_persistent_net;
mod user_account;
mod utmp;
mod yum_uuid;
mod zsh_history;

use super::Operation;

/// All operations, in the order in which they run.
pub static OPERATIONS: &[&Operation] = &[
    &abrt_data::OPERATION,
    &agent_ids::OPERATION,
    &apt_lists::OPERATION,
    &backup_files::OPERATION,
    &bash_history::OPERATION,
    &blkid_tab::OPERATION,
    &ca_certificates::OPERATION,
    &cloud_init::OPERATION,
    &crash_data::OPERATION,
    &cron_spool::OPERATION,
    &debconf_passwords::OPERATION,
    &dhcp_client_state::OPERATION,
    &dhcp_server_state::OPERATION,
    &dovecot_data::OPERATION,
    &firewall_rules::OPERATION,
    &flag_reconfiguration::OPERATION,
    &fs_uuids::OPERATION,
    &homes::OPERATION,
    &ipa_client::OPERATION,
    &kerberos_data::OPERATION,
    &kerberos_hostkeytab::OPERATION,
    &logfiles::OPERATION,
    &lvm_system_devices::OPERATION,
    &lvm_uuids::OPERATION,
    &machine_id::OPERATION,
    &mail_spool::OPERATION,
    &net_hostname::OPERATION,
    &net_hwaddr::OPERATION,
    &net_nmconn::OPERATION,
    &network_leases::OPERATION,
    &pacct_log::OPERATION,
    &package_manager_cache::OPERATION,
    &pam_data::OPERATION,
    &passwd_backups::OPERATION,
    &proxy::OPERATION,
    &puppet_data_log::OPERATION,
    &random_seed::OPERATION,
    &rh_subscription_manager::OPERATION,
    &rhn_systemid::OPERATION,
    &rpm_db::OPERATION,
    &runner::OPERATION,
    &samba_db_log::OPERATION,
    &smolt_uuid::OPERATION,
    &snap_device::OPERATION,
    &ssh_hostkeys::OPERATION,
    &ssh_userdir::OPERATION,
    &sssd_db_log::OPERATION,
    &storage_ids::OPERATION,
    &tmp_files::OPERATION,
    &ubuntu_pro::OPERATION,
    &udev_persistent_net::OPERATION,
    &user_account::OPERATION,
    &utmp::OPERATION,
    &yum_uuid::OPERATION,
    &zsh_history::OPERATION,
];

/// Text without the lines for which `unwanted` says so.
fn without_lines(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    text.split_inclusive('\n')
        .filter(|line| !unwanted(line.trim_end_matches('\n')))
        .collect()
}
