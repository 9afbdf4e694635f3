#!/bin/bash
# bsdtar reads a symbolic link of an ISO without one of its slashes, if the target continues in another entry
#
# Seen with: libarchive-tools and libarchive13 3.6.2-1+deb12u5, genisoimage 9:1.1.11-3.4, xorriso and libisofs6 1.5.4
#   (Debian 12).
# Behaviour: in Rock Ridge the target of a symbolic link is a list of components, which a reader joins by "/" unless a
#   component itself goes on (flag CONTINUE); where a list does not fit, it goes on in the next entry SL (RRIP 1.12,
#   4.1.3 "Description of the SL System Use Entry"). libarchive puts no slash between the last component of an entry
#   and the first of the next. genisoimage fills the directory record first, so a name of 60 letters with a target of
#   90 is enough, as three certificates of Debian's ca-certificates have them; xorriso's targets are in one entry up to
#   about 240. xorriso and isoinfo read the targets of both. bsdtar ends with 0, and the link leads nowhere.
# Output seen: "genisoimage: certificate: xorriso right, isoinfo right, bsdtar …/mozillaHellenic_Academic_and_…",
#   "xorriso: long: xorriso right, isoinfo right, bsdtar …/component18component19".
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download libarchive-tools=3.6.2-1+deb12u5 libarchive13=3.6.2-1+deb12u5 genisoimage=9:1.1.11-3.4 \
  xorriso=1.5.4-4 libisofs6=1.5.4-1 libisoburn1=1.5.4-4 libburn4=1.5.4-1 libjte2=1.22-3
for package in *.deb; do dpkg -x "$package" tools; done
export PATH=$PWD/tools/usr/bin:$PATH LD_LIBRARY_PATH=$PWD/tools/usr/lib/x86_64-linux-gnu
certificate=Hellenic_Academic_and_Research_Institutions_ECC_RootCA_2015
long=..$(printf '/component%s' {0..19})
mkdir tree
ln -s "/usr/share/ca-certificates/mozilla/$certificate.crt" "tree/$certificate.pem"
ln -s "$long" tree/long
ln -s ../usr/share/short tree/short
genisoimage -quiet -R -o genisoimage.iso tree
xorriso -as mkisofs -quiet -R -o xorriso.iso tree 2>said || { cat said; exit 1; }
# try WRITER NAME TARGET BY BSDTAR: what the three readers make of that link
try() {
  right=$(readlink "tree/$2")
  xorriso=$(xorriso -indev "$1.iso" -find "/$2" -exec lsdl -- 2>/dev/null | sed "s/.*-> '//; s/'\$//")
  isoinfo=$(isoinfo -R -l -i "$1.iso" | sed -n "s/.* $2 -> //p" | tr -d ' ')
  rm -rf out && mkdir out
  bsdtar -xf "$1.iso" -C out
  bsdtar=$(readlink "out/$2")
  for reader in xorriso isoinfo bsdtar; do
    [ "${!reader}" != "$right" ] || printf -v "$reader" right
  done
  echo "$1: $2: xorriso $xorriso, isoinfo $isoinfo, bsdtar $bsdtar"
  [ "$xorriso $isoinfo $bsdtar" = "right right $3" ] || { echo "that has changed"; exit 1; }
}
try genisoimage short right
try xorriso short right
try genisoimage "$certificate.pem" "/usr/share/ca-certificates/mozilla$certificate.crt"
try xorriso "$certificate.pem" right
try genisoimage long "${long/component7\//component7}"
try xorriso long "${long/component18\//component18}"
