# Runs on the host as the guest's root, before scripts of the guest do, whose programs are translated: $1 is the
# guest's tree, $2 a directory in it that comes first in its PATH, $3 QEMU's user mode, or nothing where it cannot be
# registered, the rest programs of this host that start there and do the same; behind `:` those that do so for some
# arguments. Links that lie elsewhere are listed in LINKS.
set -e
tree=$1 native=$2 qemu=$3
shift 3
mkdir -p "$tree$native/lib" "$tree$native/some"
: >"$tree$native/LINKS"
# Makes a link to $1 at $2, where nothing is.
link() {
    if ! [ -e "$tree$2" ] && ! [ -L "$tree$2" ]; then
        ln -s "$1" "$tree$2"
        echo "$2" >>"$tree$native/LINKS"
    fi
}
into=$native loader=$native/ld.so
for name in "$@"; do
    if [ "$name" = : ]; then
        into=$native/some
        continue
    fi
    for dir in /usr/bin /usr/sbin /bin /sbin; do
        [ -x "$dir/$name" ] && break
    done
    # Every sh is another language, but for what is in all of them.
    [ "$name" != sh ] || case $(readlink -f "$dir/sh") in */dash) ;; *) continue ;; esac
    # Neither a script nor what is not there has libraries.
    libraries=$(ldd "$dir/$name" 2>/dev/null) || continue
    cp -L "$dir/$name" "$tree$into/$name"
    for library in $(printf %s "$libraries" | grep -o '/[^ ]*'); do
        dir=${library%/*} file=${library##*/}
        # Before glibc 2.34 names of accounts are read by a library that only libc knows.
        case $file in
        libc.so.*) [ -e "$dir/libnss_files.so.2" ] && cp -L "$dir/libnss_files.so.2" "$tree$native/lib" ;;
        # Where the kernel looks for it the guest's packages may tidy up: a shorter path of ours takes its place.
        ld-* | ld64.*)
            cp -L "$library" "$tree$loader"
            nothing=$(printf "%$((${#library} - ${#loader}))s" '' | sed 's/ /\\x00/g')
            LC_ALL=C sed -i "s|$library|$loader$nothing|" "$tree$into/$name"
            continue
            ;;
        esac
        cp -L "$library" "$tree$native/lib/$file"
        # `/lib64` is a link to `usr/lib64`: scripts look.
        [ -L "$dir" ] && link "$(readlink "$dir")" "$dir"
        dir=$(readlink -f "$dir")
        link "$native/lib" "$dir"
        [ -L "$tree$dir" ] || link "$native/lib/$file" "$dir/$file"
    done
    chroot "$tree" "$into/$name" --version >/dev/null 2>&1 </dev/null ||
        chroot "$tree" "$into/$name" -c : >/dev/null 2>&1 </dev/null || rm "$tree$into/$name"
done
# Of perl's modules those that the Debian family has everywhere.
if [ -x "$tree$native/some/perl" ]; then
    for dir in $(perl -e 'print "@INC"'); do
        [ "${dir##*/}" != perl-base ] || cp -R "$dir" "$tree$native/some"
    done
    modules='-MPOSIX -MFile::Temp -MGetopt::Long -MIPC::Open2'
    # shellcheck disable=SC2086 # words
    chroot "$tree" "$native/some/perl" "-I$native/some/perl-base" $modules -e 1 2>/dev/null || rm "$tree$native/some/perl"
fi
# What packages put there instead would go with it.
(cd "$tree$native/lib" && cksum -- *) >"$tree$native/SUMS"
if [ -z "$qemu" ] || ! [ -x "$tree$native/sh" ]; then exit 0; fi
cp "$qemu" "$tree$native/some/qemu"
# What the kernel starts for programs whose content is registered: $1 is the path, $2 its name, the rest its arguments.
{
    printf '#!%s %s/sh\nhere=%s loader=%s\n' "$loader" "$native" "$native" "$loader"
    cat <<'END'
path=$1 name=$2
shift 2
case $path in
/bin/* | /sbin/* | /usr/bin/* | /usr/sbin/*)
    own=${path##*/}
    if [ "$own" != ld.so ] && [ -x "$here/$own" ]; then
        unset LC_ALL LANG LANGUAGE
        exec "$loader" "$here/$own" "$@"
    fi
    case $own in
    perl)
        for script; do case $script in -*) ;; *) break ;; esac done
        case ${script##*/} in
        deb-systemd-helper | deb-systemd-invoke | dpkg-preconfigure | frontend | linux-update-symlinks | \
            linux-version | pam-auth-update | update-rc.d)
            if [ -x "$here/some/perl" ]; then
                unset LC_ALL LANG LANGUAGE
                exec "$loader" "$here/some/perl" "-I$here/some/perl-base" "$@"
            fi ;;
        esac ;;
    dpkg)
        if [ "$1" = --compare-versions ] && [ -x "$here/some/dpkg" ]; then
            "$loader" "$here/some/dpkg" "$@" && exit
            # It fails in another way where it does not know a setting of the guest's.
            [ $? != 1 ] || exit 1
        fi ;;
    esac ;;
esac
exec "$here/some/qemu" -0 "$name" "$path" "$@"
END
} >"$tree$native/run"
chmod +x "$tree$native/run"
