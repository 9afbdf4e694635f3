# QEMU and libvirt without a desktop.
class profile::hypervisor {
  package { ['qemu-system-x86', 'libvirt-daemon-system', 'libvirt-clients', 'ovmf']:
    ensure          => installed,
    install_options => ['--no-install-recommends'],
  }
  -> service { 'libvirtd':
    ensure => running,
    enable => true,
  }
}
