//! The calls, one line each: what an error says was being done, the name, arguments and result.

use std::path::{Path, PathBuf};

use guestfs_sys as sys;

use super::convert::Argument;
use crate::error::Result;
use crate::guest::{Guestfs, Package, Partition, Space, Stat};

/// Each becomes a method of [`Guestfs`] that calls the function of the same name; options of the
/// `_argv` functions are fixed here.
macro_rules! calls {
    ($(
        $(#[doc = $doc:literal])+
        $doing:literal
        $public:ident = $name:ident($($argument:ident: $type:ty),*) $([$options:expr])? -> $result:ty;
    )*) => {
        impl Guestfs {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// With libguestfs' own text.
            pub fn $public(&self, $($argument: $type),*) -> Result<$result> {
                let doing = || format!($doing);
                self.attempt(doing, |raw| {
                    $(let $argument = Argument::hold($argument)?;)*
                    raw.call(|lib, handle| {
                        // SAFETY: the arguments have the types of the prototype, which is
                        // checked against guestfs.h, and live until the end of this block.
                        unsafe {
                            (lib.$name)(
                                handle
                                $(, <$type as Argument>::pass(&$argument))*
                                $(, std::ptr::from_ref(&$options))?
                            )
                        }
                    })
                })
            }
        )*}
    };
}

calls! {
    /// Whether the appliance has these groups of functions, such as `fstrim`.
    "asking what the appliance can do"
    feature_available = feature_available(groups: &[&str]) -> bool;
    /// Writes everything to the disks.
    "writing the disks" sync = sync() -> ();

    /// Looks for operating systems; their root file systems.
    "looking for an operating system" inspect_os = inspect_os() -> Vec<String>;
    /// The distribution, such as `debian`.
    "inspecting {root}" inspect_get_distro = inspect_get_distro(root: &str) -> String;
    /// The architecture, such as `x86_64`.
    "inspecting {root}" inspect_get_arch = inspect_get_arch(root: &str) -> String;
    /// The major version.
    "inspecting {root}" inspect_get_major_version = inspect_get_major_version(root: &str) -> i32;
    /// The minor version.
    "inspecting {root}" inspect_get_minor_version = inspect_get_minor_version(root: &str) -> i32;
    /// The name for people.
    "inspecting {root}" inspect_get_product_name = inspect_get_product_name(root: &str) -> String;
    /// The libosinfo id.
    "inspecting {root}" inspect_get_osinfo = inspect_get_osinfo(root: &str) -> String;
    /// The package format, such as `deb`.
    "inspecting {root}" inspect_get_package_format = inspect_get_package_format(root: &str) -> String;
    /// Mount points and devices, in turn.
    "inspecting {root}" inspect_get_mountpoints = inspect_get_mountpoints(root: &str) -> Vec<String>;
    /// The installed packages; the root must be mounted.
    "listing the packages" packages = inspect_list_applications2(root: &str) -> Vec<Package>;
    /// Devices and their file systems, in turn.
    "listing the file systems" list_filesystems = list_filesystems() -> Vec<String>;
    /// The partitions, such as `/dev/sda1`.
    "listing the partitions" list_partitions = list_partitions() -> Vec<String>;
    /// The disks, such as `/dev/sda`.
    "listing the disks" list_devices = list_devices() -> Vec<String>;
    /// The type of a file system, such as `ext4`.
    "reading the type of {device}" vfs_type = vfs_type(device: &str) -> String;
    /// The UUID of a file system.
    "reading the UUID of {device}" vfs_uuid = vfs_uuid(device: &str) -> String;
    /// What blkid(8) says of a device and its partition, names and values in turn.
    "looking at {device}" blkid = blkid(device: &str) -> Vec<String>;
    /// Sets the UUID of a file system or swap space that is not in use.
    "changing the UUID of {device}" set_uuid = set_uuid(device: &str, uuid: &str) -> ();
    /// The package manager, such as `apt`.
    "inspecting {root}" inspect_get_package_management = inspect_get_package_management(root: &str) -> String;
    /// The size of a device, in bytes.
    "reading the size of {device}" device_size = blockdev_getsize64(device: &str) -> u64;

    /// Makes a partition table, `gpt` or `mbr`.
    "partitioning {device}" part_init = part_init(device: &str, table: &str) -> ();
    /// Adds a partition (`p` or `logical`); sectors of 512 bytes, the end may be negative.
    "partitioning {device}" part_add = part_add(device: &str, kind: &str, start: i64, end: i64) -> ();
    /// Marks a partition, counted from 1, as bootable.
    "partitioning {device}" part_set_bootable = part_set_bootable(device: &str, number: i32, bootable: bool) -> ();
    /// Sets the type of a GPT partition, as a GUID.
    "partitioning {device}" part_set_gpt_type = part_set_gpt_type(device: &str, number: i32, guid: &str) -> ();
    /// Names a GPT partition.
    "partitioning {device}" part_set_name = part_set_name(device: &str, number: i32, name: &str) -> ();
    /// The unique GUID of a GPT partition (PARTUUID).
    "reading the partitions of {device}" part_get_gpt_guid = part_get_gpt_guid(device: &str, number: i32) -> String;
    /// The kind of partition table.
    "reading the partitions of {device}" part_get_parttype = part_get_parttype(device: &str) -> String;
    /// The disk that a partition is on.
    "asking for the disk of {partition}" part_to_dev = part_to_dev(partition: &str) -> String;
    /// The number of a partition, counted from 1.
    "asking for the number of {partition}" part_to_partnum = part_to_partnum(partition: &str) -> i32;
    /// The partitions of a disk.
    "reading the partitions of {device}" part_list = part_list(device: &str) -> Vec<Partition>;
    /// Moves the second copy of a GPT to the end of a disk that has grown.
    "partitioning {device}" part_expand_gpt = part_expand_gpt(device: &str) -> ();
    /// Moves the end of a partition, counted from 1; sectors of 512 bytes, may be negative.
    "growing partition {number} of {device}" part_resize = part_resize(device: &str, number: i32, end: i64) -> ();
    /// Grows an ext file system to its device.
    "growing {device}" resize2fs = resize2fs(device: &str) -> ();
    /// Grows the mounted XFS at `path` to its device.
    "growing {path}" xfs_growfs = xfs_growfs_argv(path: &str) [sys::XfsGrowfs::new()] -> ();
    /// Grows the mounted btrfs at `path` to its device.
    "growing {path}" btrfs_grow = btrfs_filesystem_resize_argv(path: &str) [sys::BtrfsResize::new()] -> ();
    /// Checks an ext file system that is not mounted, even one that says it is clean, and repairs it.
    "checking {device}" e2fsck = e2fsck_argv(device: &str) [sys::E2fsck::new().forceall(1)] -> ();
    /// Makes a device a physical volume of LVM.
    "making {device} a physical volume" pvcreate = pvcreate(device: &str) -> ();
    /// Makes a volume group of physical volumes.
    "making the volume group {name}" vgcreate = vgcreate(name: &str, devices: &[&str]) -> ();
    /// Makes a logical volume of so many hundredths of a group's free space.
    "making the logical volume {name}" lvcreate_free = lvcreate_free(name: &str, group: &str, percent: i32) -> ();
    /// Removes a logical volume.
    "removing the logical volume {device}" lvremove = lvremove(device: &str) -> ();
    /// The physical volumes of LVM.
    "listing the physical volumes" pvs = pvs() -> Vec<String>;
    /// The logical volumes, such as `/dev/vg/root`.
    "listing the logical volumes" lvs = lvs() -> Vec<String>;
    /// The volume groups.
    "listing the volume groups" vgs = vgs() -> Vec<String>;
    /// Makes all volume groups usable, or no more.
    "switching the volume groups" vg_activate_all = vg_activate_all(activate: bool) -> ();
    /// Gives all physical volumes new UUIDs.
    "changing the UUIDs of physical volumes" pvchange_uuid_all = pvchange_uuid_all() -> ();
    /// Gives a volume group a new UUID.
    "changing the UUID of the volume group {group}" vgchange_uuid = vgchange_uuid(group: &str) -> ();
    /// Looks for volume groups again.
    "looking for volume groups" lvm_scan = lvm_scan(activate: bool) -> ();
    /// Devices of the device mapper that are not LVM's.
    "listing the mapped devices" list_dm_devices = list_dm_devices() -> Vec<String>;
    /// Opens an encrypted device as `/dev/mapper/NAME`.
    "opening the encrypted {device}" cryptsetup_open = cryptsetup_open_argv(device: &str, key: &str, name: &str) [sys::CryptsetupOpen::new()] -> ();
    /// Closes an encrypted device.
    "closing the encrypted {device}" cryptsetup_close = cryptsetup_close(device: &str) -> ();
    /// Fills a device with zeroes.
    "zeroing {device}" zero_device = zero_device(device: &str) -> ();
    /// Gives all blocks of a device back.
    "discarding {device}" blkdiscard = blkdiscard(device: &str) -> ();

    /// Mounts a file system.
    "mounting {device} on {at}" mount = mount(device: &str, at: &str) -> ();
    /// Mounts a file system without writing to it.
    "mounting {device} on {at}" mount_ro = mount_ro(device: &str, at: &str) -> ();
    /// Mounts a file system with options.
    "mounting {device} on {at}" mount_options = mount_options(options: &str, device: &str, at: &str) -> ();
    /// Devices and where they are mounted, in turn.
    "listing what is mounted" mountpoints = mountpoints() -> Vec<String>;
    /// Unmounts everything.
    "unmounting the file systems" umount_all = umount_all() -> ();
    /// The space of the file system at a path.
    "reading the space of {path}" statvfs = statvfs(path: &str) -> Space;
    /// Gives the free blocks of a mounted file system back.
    "trimming {at}" fstrim = fstrim_argv(at: &str) [sys::Fstrim::new()] -> ();
    /// Fills the free blocks of an unmounted ext file system with zeroes, where they are not zero.
    "zeroing the free blocks of {device}" zerofree = zerofree(device: &str) -> ();
    /// Fills the free blocks of a mounted file system with zeroes.
    "zeroing the free space of {at}" zero_free_space = zero_free_space(at: &str) -> ();

    /// Whether a path exists; a dangling symbolic link does not.
    "looking for {path}" exists = exists(path: &str) -> bool;
    /// Whether a path is a regular file; symbolic links are followed.
    "looking at {path}" is_file = is_file_opts_argv(path: &str) [sys::IsFile::new().followsymlinks(1)] -> bool;
    /// Whether a path is a directory; symbolic links are followed.
    "looking at {path}" is_dir = is_dir_opts_argv(path: &str) [sys::IsDir::new().followsymlinks(1)] -> bool;
    /// Whether a path is a symbolic link, dangling or not.
    "looking at {path}" is_symlink = is_symlink(path: &str) -> bool;
    /// Mode, owner and size; symbolic links are not followed.
    "looking at {path}" lstat = lstatns(path: &str) -> Stat;
    /// Everything below a directory, relative to it.
    "listing {dir}" find = find(dir: &str) -> Vec<String>;
    /// The names in a directory.
    "listing {dir}" ls = ls(dir: &str) -> Vec<String>;
    /// The paths that match a pattern of the shell, sorted; none is no error.
    "expanding {pattern}" glob = glob_expand_opts_argv(pattern: &str) [sys::GlobExpand::new().directoryslash(0)] -> Vec<String>;
    /// As `glob`, with names that need not be UTF-8.
    "expanding {pattern}" glob_paths = glob_expand_opts_argv(pattern: &str) [sys::GlobExpand::new().directoryslash(0)] -> Vec<PathBuf>;
    /// As `glob_paths`, with a `/` behind directories and links to them.
    "expanding {pattern}" glob_marked = glob_expand_opts_argv(pattern: &str) [sys::GlobExpand::new().directoryslash(1)] -> Vec<PathBuf>;
    /// Where a symbolic link points.
    "reading the link {path}" readlink = readlink(path: &str) -> String;
    /// The path without symbolic links.
    "resolving {path}" realpath = realpath(path: &str) -> String;
    /// The checksum of a file; `kind` is `sha256` or another of guestfs(3).
    "reading {path}" checksum = checksum(kind: &str, path: &str) -> String;
    /// Writes the checksums of all regular files below a directory, relative to it, to a file of
    /// the host, in the form of `sha256sum`.
    "reading {dir}" checksums_out = checksums_out(kind: &str, dir: &str, to: &Path) -> ();
    /// The flags of a file, as chattr(1) has them: `i` is immutable, `a` can only grow.
    "reading the flags of {path}" flags = get_e2attrs(path: &str) -> String;
    /// Sets flags of a file.
    "setting the flags of {path}" set_flags = set_e2attrs_argv(path: &str, flags: &str) [sys::SetE2attrs::new()] -> ();
    /// Takes flags from a file.
    "taking the flags from {path}" clear_flags = set_e2attrs_argv(path: &str, flags: &str) [sys::SetE2attrs::new().clear(1)] -> ();
    /// The size of a file, in bytes.
    "looking at {path}" file_size = filesize(path: &str) -> u64;
    /// Copies a file of the host into the guest.
    "uploading {to}" upload = upload(from: &Path, to: &str) -> ();
    /// Copies a file of the guest to the host.
    "downloading {from}" download = download(from: &str, to: &Path) -> ();
    /// Makes a directory and its parents.
    "making the directory {path}" mkdir_p = mkdir_p(path: &str) -> ();
    /// Removes a file or a tree; a missing one is no error.
    "removing {path}" rm_rf = rm_rf(path: &str) -> ();
    /// As `rm_rf`, for names that need not be UTF-8.
    "removing {path:?}" rm_rf_path = rm_rf(path: &Path) -> ();
    /// Removes a file; a missing one is no error. Unlike `rm_rf`, it starts no program in the
    /// appliance.
    "removing {path}" rm_f = rm_f(path: &str) -> ();
    /// As `rm_f`, for names that need not be UTF-8.
    "removing {path:?}" rm_f_path = rm_f(path: &Path) -> ();
    /// Makes an empty file, or sets the time of an existing one.
    "touching {path}" touch = touch(path: &str) -> ();
    /// Sets the size of a file, in bytes.
    "truncating {path}" truncate_size = truncate_size(path: &str, size: i64) -> ();
    /// Gives a new file space of this size, in bytes, without writing to it.
    "making {path}" fallocate = fallocate64(path: &str, size: i64) -> ();
    /// Writes a file of `size` bytes, each of this value.
    "filling {path}" fill = fill(value: i32, size: i32, path: &str) -> ();
    /// Labels a tree of an SELinux guest as the policy's file of contexts says.
    "labelling {path} for SELinux" selinux_relabel = selinux_relabel_argv(contexts: &str, path: &str) [sys::SelinuxRelabel::new().force(1)] -> ();
    /// Sets the mode of a file.
    "changing the mode of {path}" chmod = chmod(mode: i32, path: &str) -> ();
    /// Sets the owner and group of a file, as numbers.
    "changing the owner of {path}" chown = chown(uid: i32, gid: i32, path: &str) -> ();
    /// Makes a symbolic link, in place of another file if there is one.
    "linking {path}" ln_sf = ln_sf(target: &str, path: &str) -> ();
    /// Copies a tree with all attributes.
    "copying {from} to {to}" cp_a = cp_a(from: &str, to: &str) -> ();
    /// Moves a file.
    "moving {from} to {to}" mv = mv(from: &str, to: &str) -> ();
    /// Unpacks a tar file of the host, with owners, extended attributes and ACLs.
    "unpacking into {dir}" tar_in = tar_in_opts_argv(file: &Path, dir: &str) [sys::TarIn::new().xattrs(1).acls(1)] -> ();
    /// Packs a directory of the guest into a tar file of the host.
    "packing {dir}" tar_out = tar_out_opts_argv(dir: &str, file: &Path) [sys::TarOut::new().numericowner(1).xattrs(1).acls(1)] -> ();

    /// Runs a line of the guest's own shell and returns its output; the guest's processor must be
    /// the host's. An exit code other than 0 is an error with the guest's own words.
    "running a command in the guest" sh = sh(line: &str) -> String;
    /// Runs a program of the guest and returns its output.
    "running {words:?} in the guest" command = command(words: &[&str]) -> String;
    /// Copies a file of the host to a path of the appliance itself.
    "handing {to} to the appliance" hand_over = debug_upload(from: &Path, to: &str, mode: i32) -> ();
    /// Talks to the appliance's own debug commands, see guestfs(3).
    "debugging the appliance" debug = debug(command: &str, words: &[&str]) -> String;
}

impl Guestfs {
    /// Makes a file system on a device. `features` are of mkfs.ext4(8); empty means the defaults.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn mkfs(&self, kind: &str, device: &str, label: &str, features: &str) -> Result<()> {
        self.attempt(
            || format!("making a file system on {device}"),
            |raw| {
                let (kind, device) = (kind.hold()?, device.hold()?);
                let held = (label.hold()?, features.hold()?);
                let mut options = sys::Mkfs::new();
                if !label.is_empty() {
                    options = options.label(held.0.as_ptr());
                }
                if !features.is_empty() {
                    options = options.features(held.1.as_ptr());
                }
                raw.call(|lib, handle| {
                    // SAFETY: as in the table; the options' strings are held above.
                    unsafe {
                        (lib.mkfs_opts_argv)(
                            handle,
                            kind.as_ptr(),
                            device.as_ptr(),
                            &raw const options,
                        )
                    }
                })
            },
        )
    }

    /// As [`Guestfs::tar_out`], without the files that match one of tar(1)'s patterns.
    ///
    /// # Errors
    /// With libguestfs' own text.
    pub fn tar_out_without(&self, dir: &str, file: &Path, excludes: &[&str]) -> Result<()> {
        self.attempt(
            || format!("packing {dir}"),
            |raw| {
                let (dir, file) = (dir.hold()?, file.hold()?);
                let excludes = excludes.hold()?;
                let options = sys::TarOut::new().numericowner(1).xattrs(1).acls(1);
                let options = options.excludes(<&[&str] as Argument>::pass(&excludes));
                raw.call(|lib, handle| {
                    // SAFETY: as in the table; the option's strings are held above.
                    unsafe {
                        (lib.tar_out_opts_argv)(
                            handle,
                            dir.as_ptr(),
                            file.as_ptr(),
                            &raw const options,
                        )
                    }
                })
            },
        )
    }
}
