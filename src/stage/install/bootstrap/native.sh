# Runs on the host as the guest's root, before scripts of the guest do, whose programs are translated: $1 is the
# guest's tree, $2 a directory in it that comes first in its PATH, the rest programs of this host that start there
# and do the same. Links that lie elsewhere are listed in LINKS.
set -e
tree=$1 native=$2
shift 2
mkdir -p "$tree$native/lib"
: >"$tree$native/LINKS"
# Makes a link to $1 at $2, where nothing is.
link() {
    if ! [ -e "$tree$2" ] && ! [ -L "$tree$2" ]; then
        ln -s "$1" "$tree$2"
        echo "$2" >>"$tree$native/LINKS"
    fi
}
for name in "$@"; do
    for dir in /usr/bin /usr/sbin /bin /sbin; do
        [ -x "$dir/$name" ] && break
    done
    # Neither a script nor what is not there has libraries.
    libraries=$(ldd "$dir/$name" 2>/dev/null) || continue
    cp -L "$dir/$name" "$tree$native/$name"
    for library in $(printf %s "$libraries" | grep -o '/[^ ]*'); do
        dir=${library%/*} file=${library##*/}
        # Before glibc 2.34 names of accounts are read by a library that only libc knows.
        case $file in
        libc.so.*) [ -e "$dir/libnss_files.so.2" ] && cp -L "$dir/libnss_files.so.2" "$tree$native/lib" ;;
        esac
        cp -L "$library" "$tree$native/lib/$file"
        # `/lib64` is a link to `usr/lib64`: scripts look.
        [ -L "$dir" ] && link "$(readlink "$dir")" "$dir"
        dir=$(readlink -f "$dir")
        link "$native/lib" "$dir"
        [ -L "$tree$dir" ] || link "$native/lib/$file" "$dir/$file"
    done
    chroot "$tree" "$native/$name" --version >/dev/null 2>&1 </dev/null || rm "$tree$native/$name"
done
# What packages put there instead would go with it.
(cd "$tree$native/lib" && cksum -- *) >"$tree$native/SUMS"
