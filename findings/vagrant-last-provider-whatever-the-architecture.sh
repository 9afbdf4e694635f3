#!/bin/bash
# Vagrant 2.3 takes the last box of a version with two architectures, whatever the machine and the default are
#
# Seen with: vagrant 2.3.4+dfsg-1+deb12u1 (Debian 12; Vagrant's licence keeps 2.4 out of it), ruby3.1 3.1.2-7+deb12u1.
# Behaviour: since 2.4 a box catalogue may name a provider once for each architecture, and marks one of them by
#   `default_architecture` for clients that do not tell theirs. 2.3 makes a map by provider of the list: each entry
#   replaces the one before, so that the order decides, and the mark does nothing. `vagrant box add` prints no
#   architecture; its checksum is the other box's own, so it is right, and the exit code is 0.
# Output seen: arm64.box twice with arm64 behind amd64, amd64.box twice with amd64 behind arm64.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download vagrant=2.3.4+dfsg-1+deb12u1 ruby3.1=3.1.2-7+deb12u1 libruby3.1=3.1.2-7+deb12u1 \
  ruby-rubygems=3.3.15-2+deb12u1 libyaml-0-2=0.2.5-1
for package in *.deb; do dpkg -x "$package" tools; done
lib=$PWD/tools/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu
export RUBYLIB=$lib/ruby/vendor_ruby:$lib/ruby/3.1.0:$lib/x86_64-linux-gnu/ruby/3.1.0
export GEMS=$PWD/tools/usr/share/rubygems-integration/all/gems
tools/usr/bin/ruby3.1 --disable-gems - <<'RUBY'
require "json"
require "rubygems"
require "stringio"
# What `vagrant box add` asks for the address of a box.
require "#{ENV.fetch("GEMS")}/vagrant-2.3.4/lib/vagrant/box_metadata"

def taken(order, default)
  providers = order.map do |arch|
    { name: "libvirt", url: "#{arch}.box", architecture: arch, default_architecture: arch == default }
  end
  catalogue = { name: "org/web", versions: [{ version: "1.0.0", status: "active", providers: providers }] }
  read = Vagrant::BoxMetadata.new(StringIO.new(JSON.generate(catalogue)))
  read.version(">= 0", provider: ["libvirt"]).provider("libvirt").url
end

seen = [%w[amd64 arm64], %w[arm64 amd64]].flat_map do |order|
  %w[amd64 arm64].map do |default|
    taken(order, default).tap { |url| puts "#{order.join(", ")}; default #{default}: #{url}" }
  end
end
abort "that has changed" if seen != %w[arm64.box arm64.box amd64.box amd64.box]
RUBY
