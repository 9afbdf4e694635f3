#!/bin/bash
# Puppet orders versions otherwise than dpkg and rpm do: 1.0rc1 comes behind 1.0.1, 1.0^20260101 behind 1.0.1
#
# Seen with: puppet-agent 7.23.0-1+deb12u1, ruby3.1 3.1.2-7+deb12u1, rpm 4.18.0+dfsg-1+deb12u1, dpkg 1.21 (Debian 12).
# Behaviour: whether `package { …: ensure => '>=1.0.1' }` is met is for comparisons of Puppet's own. That of apt's
#   provider quotes Debian's policy (5.6.12: letters sort earlier than all non-letters), but compares a run of
#   letters, even an empty one, before it looks for non-letters: a letter comes behind a dot and a plus. That of
#   dnf's means to be rpm's, "quirks and all", but knows no caret (rpm-version(7), since 4.15: newer than the version
#   in front of it, older than a longer one). Puppet is content with a version that is too old for the manager.
# Output seen: "1.0rc1-1 >=1.0.1-1: dpkg false, Puppet true", "1.2-1ubuntu1 >=1.2-1+deb12u1: dpkg false, Puppet true",
#   "1.0^20260101-1 >=1.0.1-1: rpm false, Puppet true"; of tildes and plain numbers they think alike.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download puppet-agent=7.23.0-1+deb12u1 ruby3.1=3.1.2-7+deb12u1 libruby3.1=3.1.2-7+deb12u1 \
  ruby-rubygems=3.3.15-2+deb12u1 libyaml-0-2=0.2.5-1 rpm=4.18.0+dfsg-1+deb12u1 rpm-common=4.18.0+dfsg-1+deb12u1 \
  librpm9=4.18.0+dfsg-1+deb12u1 librpmio9=4.18.0+dfsg-1+deb12u1 liblua5.3-0=5.3.6-2 libpopt0=1.19+dfsg-1
for package in *.deb; do dpkg -x "$package" tools; done
lib=$PWD/tools/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu RPM_CONFIGDIR=$lib/rpm
export RUBYLIB=$lib/ruby/vendor_ruby:$lib/ruby/3.1.0:$lib/x86_64-linux-gnu/ruby/3.1.0
by_dpkg() { if dpkg --compare-versions "$1" ge "$2"; then echo true; else echo false; fi; }
by_rpm() { tools/usr/bin/rpm --eval "%{lua: print(rpm.vercmp('${1%-*}', '${2%-*}') >= 0)}"; }
# What the providers of packages do with `ensure`.
by_puppet() {
  tools/usr/bin/ruby3.1 --disable-gems - "$@" <<'RUBY'
module Puppet
  module Util
    module Package
    end
  end
end
require "puppet/util/package/version/range"
require "puppet/util/package/version/debian"
require "puppet/util/package/version/rpm"
kind = Puppet::Util::Package::Version.const_get(ARGV[0])
puts Puppet::Util::Package::Version::Range.parse(">=#{ARGV[2]}", kind).include?(kind.parse(ARGV[1]))
RUBY
}
# try MANAGER CLASS VERSION BOUND MANAGER'S PUPPET'S
try() {
  manager=$(by_"$1" "$3" "$4") puppet=$(by_puppet "$2" "$3" "$4")
  echo "$3 >=$4: $1 $manager, Puppet $puppet"
  [ "$manager $puppet" = "$5 $6" ] || { echo "that has changed"; exit 1; }
}
try dpkg Debian 1.0~rc1-1 1.0-1 false false
try dpkg Debian 1.10-1 1.9-1 true true
try dpkg Debian 1.0rc1-1 1.0.1-1 false true
try dpkg Debian 1.2-1ubuntu1 1.2-1+deb12u1 false true
try rpm Rpm 1.0~rc1-1 1.0-1 false false
try rpm Rpm 1.10-1 1.9-1 true true
try rpm Rpm '1.0^20260101-1' 1.0.1-1 false true
