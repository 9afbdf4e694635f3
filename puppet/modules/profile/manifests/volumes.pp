# Logical volumes, their health, and a server that exports them.
class profile::volumes {
  package { ['lvm2', 'mdadm', 'xfsprogs', 'smartmontools', 'nfs-kernel-server']:
    ensure          => installed,
    install_options => ['--no-install-recommends'],
  }
  -> file { '/srv/volumes':
    ensure => directory,
    mode   => '0755',
  }
  # A virtual disk has no health to watch; the service is for real ones.
  -> service { 'smartmontools':
    enable => true,
  }
  -> service { 'nfs-server':
    ensure => running,
    enable => true,
  }
}
