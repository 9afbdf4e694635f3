# A journal that survives restarts and stays small.
class profile::journal (String $size = '200M') {
  file { '/etc/systemd/journald.conf.d':
    ensure => directory,
    mode   => '0755',
  }
  file { '/etc/systemd/journald.conf.d/role.conf':
    content => "[Journal]\nStorage=persistent\nSystemMaxUse=${size}\n",
    mode    => '0644',
  }
}
