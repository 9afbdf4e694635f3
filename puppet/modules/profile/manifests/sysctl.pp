# Settings of the kernel, from Hiera.
class profile::sysctl (Hash[String, Variant[Integer, String]] $settings = {}) {
  $lines = $settings.map |$name, $value| { "${name} = ${value}" }
  file { '/etc/sysctl.d/80-role.conf':
    content => "${lines.sort.join("\n")}\n",
    mode    => '0644',
    notify  => Exec['load sysctl settings'],
  }
  exec { 'load sysctl settings':
    command     => '/usr/lib/systemd/systemd-sysctl',
    refreshonly => true,
  }
}
