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

macro_rules! table {
    ($($name:ident)*) => { &[$(&$name::OPERATION),*] };
}

/// All operations, in the order in which they run.
pub static OPERATIONS: &[&Operation] = table! {
    abrt_data agent_ids apt_lists backup_files bash_history blkid_tab ca_certificates cloud_init
    crash_data cron_spool debconf_passwords dhcp_client_state dhcp_server_state dovecot_data
    firewall_rules flag_reconfiguration fs_uuids homes ipa_client kerberos_data
    kerberos_hostkeytab logfiles lvm_system_devices lvm_uuids machine_id mail_spool net_hostname
    net_hwaddr net_nmconn network_leases pacct_log package_manager_cache pam_data passwd_backups
    proxy puppet_data_log random_seed rh_subscription_manager rhn_systemid rpm_db runner
    samba_db_log smolt_uuid snap_device ssh_hostkeys ssh_userdir sssd_db_log storage_ids
    tmp_files ubuntu_pro udev_persistent_net user_account utmp yum_uuid zsh_history
};

/// Text without the lines for which `unwanted` says so.
fn without_lines(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    text.split_inclusive('\n')
        .filter(|line| !unwanted(line.trim_end_matches('\n')))
        .collect()
}
