#!/bin/bash
# Installs what imgforge needs: scripts/deps.sh [run] [build] [test] [clouds] [e2e] [audit]; the first three
# by default, with "clouds", "e2e" and "audit" what `make e2e-clouds`, `make e2e` and `make audit` need.
# Asks nothing, changes nothing the second time. The traps that it knows are marked TRAP.
# shellcheck disable=SC2016,SC2086 # apt's own variables and an inner shell's; lists of words
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A packages=(
  [run]="mmdebstrap distro-info-data uidmap qemu-system-x86 qemu-utils ovmf libvirt0 libvirt-daemon
    libvirt-daemon-driver-qemu passt virtinst libguestfs0 supermin gpg gpg-agent xz-utils util-linux
    e2fsprogs fdisk dosfstools mtools cpio xorriso ca-certificates debian-archive-keyring ubuntu-keyring guestfs-tools
    busybox-static squashfs-tools grub-common grub-pc-bin grub-efi-amd64-bin"
  [clouds]="glance-api python3-openstackclient vagrant-libvirt dnsmasq-base iptables iproute2 rsync"
  [e2e]="puppetserver ipxe"
  [build]="gcc libc6-dev make"
  [audit]="gcc libc6-dev git"
  [test]="libguestfs-dev libvirt-dev gnupg shellcheck groff-base systemd binutils
    debconf git openssh-client rpm createrepo-c dpkg python3-venv chromium incus-extra guestfish policycoreutils
    python3-pip python3-yaml python3-requests vagrant zstd bzip2 nbdkit skopeo umoci oci-image-tool podman
    libcap2-bin acl openssl ipxe-qemu qemu-system-arm qemu-efi-aarch64 qemu-user-static
    u-boot-qemu opensbi virt-v2v p7zip-full strace g++ xfsprogs docker-registry tmux"
)
# Parts of libvirt-daemon before version 11.
split="libvirt-daemon-driver-storage libvirt-daemon-driver-network
  libvirt-daemon-driver-nodedev libvirt-daemon-driver-secret"

say() { echo "deps: $*" >&2; }
die() { say "$*"; exit 3; }

check_rust() {
  local want have
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
  if [ -n "$have" ] && printf '%s\n' "$want" "$have" | sort -CV && command -v cargo >/dev/null; then
    return
  fi
  die "Rust $want or newer is needed to build imgforge (found: ${have:-none});" \
    "install it with your distribution's rustup package or the installer of the Rust project"
}

privileged() {
  local keep
  keep=$(env | grep -iE '^(http|https|ftp|no)_proxy=' || true)
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@" </dev/null
  elif ! command -v sudo >/dev/null; then
    die "not root, and no sudo: run \`$0 $groups\` as root once"
  elif ! sudo -n true 2>/dev/null && ! [ -t 2 ]; then
    die "sudo asks for a password, and there is no terminal: run \`sudo $0 $groups\` once"
  else
    sudo env DEBIAN_FRONTEND=noninteractive $keep "$@" </dev/null
  fi
}

apt_get() {
  privileged apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@" 2>"$log" |
    sed -n 's/^Setting up/deps: &/p' >&2
}
apt() {
  apt_get "$@" && return
  # A mirror may have other packages by now than the lists say.
  if [ "$1" != update ] && apt_get update && apt_get "$@"; then return; fi
  cat "$log" >&2
  die "apt-get failed: $*"
}
fits() { apt-get -s -qq --no-install-recommends "$@" >/dev/null 2>"$log"; }

missing() { # those of the packages in $@ that are not installed
  local have
  have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
  comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$have") | tr '\n' ' '
}

is_split() { apt-cache show --no-all-versions libvirt-daemon 2>/dev/null | grep -q libvirt-daemon-common; }

update_lists() { # when they are older than a day
  if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null | head -1)" ]; then
    say "updating the package lists"
    apt update
  fi
}

# Debian's backports, from the same server and with the same keys as the machine's own packages.
enable_backports() {
  local file=/etc/apt/sources.list.d/imgforge-backports.sources uri entry signed
  [ "$ID" = debian ] && [ -n "${VERSION_CODENAME:-}" ] || return 1
  apt-get indextargets --format '$(SUITE) $(CODENAME)' | grep -q "$VERSION_CODENAME-backports" && return
  read -r uri entry < <(apt-get indextargets --format '$(REPO_URI) $(SOURCESENTRY)' "Codename: $VERSION_CODENAME" \
    'Created-By: Packages' 'Component: main') || return 1
  signed=$(sed -n 's/.*[Ss]igned-[Bb]y[:=] *\([^] ]*\).*/\1/p' "${entry%:*}" | head -1)
  say "TRAP: adding $VERSION_CODENAME-backports from $uri in $file"
  printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$VERSION_CODENAME" |
    { cat; [ -z "$signed" ] || echo "Signed-By: $signed"; } | privileged_write "$file"
  apt update
}

privileged_write() { local text; text=$(cat); privileged sh -c 'printf "%s\n" "$2" > "$1"' sh "$1" "$text"; }

install() {
  local backports=${VERSION_CODENAME:-}-backports extra='' qemu
  if ! fits install "$@"; then
    # TRAP: qemu-utils from backports makes the main suite's qemu-system-x86 uninstallable, so the
    # rest of QEMU comes from there, too. And some keyrings exist in backports only.
    enable_backports || true
    qemu=$(printf '%s\n' qemu-utils "$@" | grep -E '^qemu-(system|utils)' | sort -u | tr '\n' ' ')
    if ! fits install "$@" && fits -t "$backports" install $qemu; then
      say "TRAP: parts of QEMU are newer than the main suite's: installing the rest from $backports"
      apt -y --no-install-recommends -t "$backports" install $qemu
    fi
  fi
  if ! fits install "$@" && fits install "$@" "qemu-utils/$VERSION_CODENAME" --allow-downgrades; then
    say "TRAP: qemu-utils goes back to the main suite, as the rest of QEMU is nowhere else"
    extra="qemu-utils/$VERSION_CODENAME --allow-downgrades"
  fi
  apt -y --no-install-recommends install "$@" $extra
}

# The package with QEMU for riscv64: one of its own only in newer suites.
riscv() { if apt-cache show qemu-system-riscv >/dev/null 2>&1; then echo qemu-system-riscv; else echo qemu-system-misc; fi; }

kernel() {
  local newest
  # TRAP: a container or a cloud host without any kernel leaves libguestfs without an appliance.
  if ! compgen -G '/boot/vmlinu[xz]-*' >/dev/null || ! compgen -G '/lib/modules/*/kernel' >/dev/null; then
    local package=linux-image-virtual
    if [ "$ID" = debian ]; then package=linux-image-$(dpkg --print-architecture); fi
    say "TRAP: no kernel is installed, and libguestfs needs one: installing $package"
    update_lists
    install "$package"
  fi
  # TRAP: Ubuntu's kernels are readable for root only, and libguestfs copies one as the user.
  newest=$(find /boot -maxdepth 1 -name 'vmlinu[xz]-*' | sort -V | tail -1)
  if [ "$(id -u)" != 0 ] && [ -n "$newest" ] && ! [ -r "$newest" ]; then
    say "TRAP: making $newest readable, for libguestfs"
    privileged dpkg-statoverride --update --add root root 0644 "$newest"
  fi
}

# mmdebstrap works as an ordinary user in a range of user ids of its own.
id_range() {
  local user next
  user=$(id -un)
  if [ "$(id -u)" = 0 ] || grep -qE "^($user|$(id -u)):" /etc/subuid 2>/dev/null; then return; fi
  next=$(cat /etc/subuid /etc/subgid 2>/dev/null | awk -F: '{e=$2+$3; if (e>m) m=e} END {print (m>100000 ? m : 100000)}')
  say "giving $user the user ids from $next to $((next + 65535)) for containers"
  privileged usermod --add-subuids "$next-$((next + 65535))" --add-subgids "$next-$((next + 65535))" "$user"
}

# The ecosystem's own checks of answer files, below target/: neither belongs onto a host. cloud-init
# would run at the next boot, and pykickstart is in no Debian suite.
validators() {
  local dir=${CARGO_TARGET_DIR:-target}/validators kickstart=3.78
  if [ ! -x "$dir/bin/ksvalidator" ]; then
    say "installing ksvalidator below $dir"
    if ! { python3 -m venv "$dir" && "$dir/bin/pip" -q --disable-pip-version-check install \
      "pykickstart==$kickstart" pyyaml==6.0.4 jsonschema==4.26.0 jinja2==3.1.6 configobj==5.0.9 \
      jsonpatch==1.33 requests==2.34.2 oauthlib==4.0.1 pyserial==3.5; } \
      >"$log" 2>&1; then
      rm -rf "$dir"
      cat "$log" >&2
      die "ksvalidator cannot be installed"
    fi
  fi
  if [ ! -d "$dir/cloud-init" ]; then
    say "unpacking cloud-init below $dir"
    update_lists
    rm -f "$dir"/cloud-init_*.deb
    if ! (cd "$dir" && apt-get -qq -o Acquire::Retries=5 download cloud-init && dpkg-deb -x cloud-init_*.deb new) >"$log" 2>&1; then
      cat "$log" >&2
      die "cloud-init cannot be downloaded"
    fi
    mv "$dir/new" "$dir/cloud-init"
  fi
}

# The independent scanner that the tests compare the leftover scan with, into a directory of its own.
detect_secrets() {
  local version=1.5.0 sum=e24e7b9b5a35048c313e983f76c4bd09dad89f045ff059e354f9943bf45aa060 dir
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/imgforge-tests/detect-secrets-$version
  [ ! -d "$dir/detect_secrets" ] || return 0
  say "fetching detect-secrets $version from PyPI"
  rm -rf "$dir.new"
  mkdir -p "$dir.new"
  echo "detect-secrets==$version --hash=sha256:$sum" >"$dir.new/wanted.txt"
  /usr/bin/python3 -m pip install --quiet --no-deps --require-hashes --no-warn-script-location \
    --disable-pip-version-check --root-user-action=ignore --target "$dir.new" -r "$dir.new/wanted.txt" >&2 ||
    die "detect-secrets could not be fetched: a PyPI mirror is needed for the tests"
  mv -T "$dir.new" "$dir"
}

# The ecosystem's own validators of what readers find, in a Python of their own.
reader_validators() {
  local dir=${CARGO_TARGET_DIR:-target}/reader-validators
  local want="cyclonedx-python-lib[json-validation]==11.12.0 packageurl-python==0.17.6
    in-toto-attestation==0.9.3 prometheus-client==0.26.0 python-simplestreams==0.1.0.post59 cot==2.2.1 spdx-tools==0.8.5 spdx-python-model==0.0.6 setuptools==75.8.2"
  [ "$(cat "$dir/installed" 2>/dev/null)" != "$want" ] || return 0
  say "making $dir"
  rm -rf "$dir"
  if ! { python3 -m venv "$dir" && "$dir/bin/pip" -q --disable-pip-version-check install $want; } \
    >"$log" 2>&1; then
    cat "$log" >&2
    die "the validators of the tests cannot be installed"
  fi
  printf '%s' "$want" >"$dir/installed"
}

# What the toy guests of other architectures are made of, below target/: kernels, their modules, busybox, GRUB.
# Nothing of it is started here.
foreign_guests() {
  local dir=${CARGO_TARGET_DIR:-target}/guests name debian kernel
  while read -r name debian kernel; do
    if [ "$name" = "$(uname -m)" ] || [ -d "$dir/$name/usr/lib/grub" ]; then continue; fi
    say "unpacking a kernel for $name below $dir"
    rm -rf "${dir:?}/${name:?}" "$dir/$name.new"
    mkdir -p "$dir/$name.new/all" "$dir/$name.new/lib"
    if ! mmdebstrap --variant=extract --format=tar --skip=check/qemu --architectures="$debian" \
      --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries 5' \
      --setup-hook='sed -i "2,\$d" "$1/etc/apt/sources.list"' --include="$kernel,busybox-static,grub-efi-$debian-bin" trixie - 2>"$log" |
      tar -x -C "$dir/$name.new/all" --no-same-owner --exclude='./dev/*'; then
      cat "$log" >&2
      die "a kernel for $name cannot be fetched"
    fi
    (
      cd "$dir/$name.new"
      mkdir -p usr/bin usr/lib
      mv all/boot .
      mv all/usr/lib/modules lib
      mv all/usr/bin/busybox usr/bin
      mv all/usr/lib/grub usr/lib
      rm -rf all
      for modules in lib/modules/*; do /sbin/depmod -b . "${modules##*/}"; done
    )
    mv "$dir/$name.new" "$dir/$name"
  done <<END
aarch64 arm64 linux-image-cloud-arm64
riscv64 riscv64 linux-image-riscv64
END
}

# Slurm, below target/: installed, its daemons would run on this host.
slurm() {
  local dir=${CARGO_TARGET_DIR:-target}/slurm package
  [ ! -d "$dir" ] || return 0
  say "unpacking Slurm below $dir"
  update_lists
  rm -rf "$dir.new" "$dir.debs"
  mkdir -p "$dir.new" "$dir.debs"
  if ! (cd "$dir.debs" && apt-get -qq -o Acquire::Retries=5 download slurmctld slurmd slurm-client slurm-wlm-basic-plugins \
    libmunge2 libhwloc15) >"$log" 2>&1; then
    cat "$log" >&2
    die "Slurm cannot be downloaded"
  fi
  for package in "$dir.debs"/*.deb; do dpkg-deb -x "$package" "$dir.new"; done
  rm -r "$dir.debs"
  mv "$dir.new" "$dir"
}

# What runs GitLab's pipelines on this machine, below target/: a single file without dependencies, for node.
gitlab_ci_local() {
  local dir=${CARGO_TARGET_DIR:-target}/gitlab-ci-local version=4.61.1
  [ ! -d "$dir/node_modules/gitlab-ci-local" ] || return 0
  say "installing gitlab-ci-local $version below $dir"
  mkdir -p "$dir"
  if ! npm install --no-audit --no-fund --ignore-scripts --prefix "$dir" "gitlab-ci-local@$version" >"$log" 2>&1; then
    cat "$log" >&2
    die "gitlab-ci-local cannot be installed"
  fi
}

# The judge of pages for readers with any eyes and hands, below target/: a file of JavaScript for chromium.
axe() {
  local dir=${CARGO_TARGET_DIR:-target}/axe version=4.10.3
  ! grep -qs "\"version\": \"$version\"" "$dir/node_modules/axe-core/package.json" || return 0
  say "installing axe-core $version below $dir"
  mkdir -p "$dir"
  if ! npm install --no-audit --no-fund --ignore-scripts --prefix "$dir" "axe-core@$version" >"$log" 2>&1; then
    cat "$log" >&2
    die "axe-core cannot be installed"
  fi
}

# The judge of deny.toml, below target/: it is in no Debian suite.
cargo_deny() {
  local dir=${CARGO_TARGET_DIR:-target}/cargo-deny version=0.20.2
  [ "$("$dir/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ] || return 0
  say "compiling cargo-deny $version below $dir, which takes some minutes"
  if ! cargo install --quiet --locked --root "$dir" "cargo-deny@$version" >"$log" 2>&1; then
    cat "$log" >&2
    die "cargo-deny cannot be installed"
  fi
}

# A slow index of packages is asked again.
export PIP_RETRIES=10 PIP_DEFAULT_TIMEOUT=60
groups=${*:-run build test}
ID=unknown
# shellcheck disable=SC1091 # not part of the project
[ ! -r /etc/os-release ] || . /etc/os-release
log=$(mktemp)
trap 'rm -f "$log"' EXIT
wanted=
for group in $groups; do
  case $group in
    run | build | test | clouds | e2e | audit) wanted="$wanted ${packages[$group]}" ;;
    *) die "usage: $0 [run] [build] [test] [clouds] [e2e] [audit]" ;;
  esac
done

# npm as somebody else than Debian packs it is no package.
case $groups in *test* | *e2e*) command -v npm >/dev/null || wanted="$wanted npm" ;; esac
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  say "this system has no apt: install by hand what these Debian packages contain:"
  printf '  %s\n' $wanted >&2
  say "\`imgforge doctor\` says what is still missing"
  case $groups in *build*) check_rust ;; esac
  exit 0
fi

case $groups in *test*) wanted="$wanted $(riscv)" ;; esac
lack=$(missing $wanted)
if [ -n "$lack" ]; then
  update_lists
  ! is_split || lack="$lack $split"
  say "installing $lack"
  install $lack
  # TRAP: Debian starts what it installs; the tests start a registry of their own.
  if [[ " $lack " == *" docker-registry "* ]] && [ -d /run/systemd/system ]; then
    privileged systemctl -q disable --now docker-registry
  fi
fi
case $groups in *run*) kernel; id_range ;; esac
case $groups in *build*) check_rust ;; esac
case $groups in *test*) validators ;; esac
case $groups in *test*) detect_secrets ;; esac
case $groups in *test*) reader_validators ;; esac
case $groups in *test*) axe ;; esac
case $groups in *test*) foreign_guests ;; esac
case $groups in *test*) slurm ;; esac
case $groups in *e2e*) gitlab_ci_local ;; esac
case $groups in *audit*) check_rust; cargo_deny ;; esac
