# Runs on the host as the guest's root: registers programs of the guest, by their first bytes, to be started by what
# `native.sh` has put into the tree, which is $1; $2 is its directory. A program that is not there is none, one that
# is replaced is translated, as all others.
set -e
list=/proc/sys/fs/binfmt_misc tree=$1 native=$2
[ -x "$tree$native/run" ] || exit 0
for program in "$tree$native"/* "$tree$native"/some/*; do
    name=${program##*/}
    # `ldd` starts the guest's own loader, with an environment that any loader obeys.
    case $name in ld.so | run | qemu) continue ;; esac
    if ! [ -f "$program" ] || [ -e "$list/native-$name" ]; then continue; fi
    for dir in /usr/bin /usr/sbin /bin /sbin; do
        # Its links lead elsewhere outside of the tree.
        theirs=$(chroot "$tree" "$native/readlink" -e "$dir/$name") || continue
        magic=$(head -c 256 "$tree$theirs" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')
        case $magic in
        '\x7f\x45\x4c\x46'*) printf %s ":native-$name:M::$magic::$native/run:P" >"$list/register" ;;
        esac
        break
    done
done
