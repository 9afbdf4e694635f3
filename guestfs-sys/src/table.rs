//! Every function, struct and constant of libguestfs that imgforge uses, declared once.
//!
//! Only forms without `va_list`: optional arguments go through the `*_argv` structs. The one
//! exception is `guestfs_create_flags`, whose dots nobody uses.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::{ErrorHandler, EventCallback, Handle};

/// A string that libguestfs reads.
pub type Text = *const c_char;
/// A null-terminated list of strings that libguestfs reads.
pub type Texts = *const *mut c_char;
/// A string to be freed by the caller.
pub type OwnedText = *mut c_char;
/// A null-terminated list of strings; the caller frees each, then the list.
pub type OwnedTexts = *mut *mut c_char;

type G = *mut Handle;

constants! {
    /// `guestfs_create_flags`: do not read the environment.
    CREATE_NO_ENVIRONMENT: u32 = 1;
    /// The appliance's process has ended.
    EVENT_SUBPROCESS_QUIT: u64 = 0x2;
    /// How far a long call is: array of procedure, serial number, position, total.
    EVENT_PROGRESS: u64 = 0x8;
    /// Output of QEMU, the appliance's kernel and its daemon.
    EVENT_APPLIANCE: u64 = 0x10;
    /// Messages of the library.
    EVENT_LIBRARY: u64 = 0x20;
    /// One line a call.
    EVENT_TRACE: u64 = 0x40;
    /// Warnings of the library.
    EVENT_WARNING: u64 = 0x200;
}

structs! {
    /// The library's version.
    struct Version = "guestfs_version" {
        major: i64,
        minor: i64,
        release: i64,
        extra: *mut c_char,
    }
    /// Inode of a file, as lstat(2).
    struct Stat = "guestfs_statns" {
        st_dev: i64,
        st_ino: i64,
        st_mode: i64,
        st_nlink: i64,
        st_uid: i64,
        st_gid: i64,
        st_rdev: i64,
        st_size: i64,
        st_blksize: i64,
        st_blocks: i64,
        st_atime_sec: i64,
        st_atime_nsec: i64,
        st_mtime_sec: i64,
        st_mtime_nsec: i64,
        st_ctime_sec: i64,
        st_ctime_nsec: i64,
        st_spare1: i64,
        st_spare2: i64,
        st_spare3: i64,
        st_spare4: i64,
        st_spare5: i64,
        st_spare6: i64,
    }
    /// Space of a file system, as statvfs(3).
    struct StatVfs = "guestfs_statvfs" {
        bsize: i64,
        frsize: i64,
        blocks: i64,
        bfree: i64,
        bavail: i64,
        files: i64,
        ffree: i64,
        favail: i64,
        fsid: i64,
        flag: i64,
        namemax: i64,
    }
    /// An installed package.
    struct Application = "guestfs_application2" {
        app2_name: *mut c_char,
        app2_display_name: *mut c_char,
        app2_epoch: i32,
        app2_version: *mut c_char,
        app2_release: *mut c_char,
        app2_arch: *mut c_char,
        app2_install_path: *mut c_char,
        app2_trans_path: *mut c_char,
        app2_publisher: *mut c_char,
        app2_url: *mut c_char,
        app2_source_package: *mut c_char,
        app2_summary: *mut c_char,
        app2_description: *mut c_char,
        app2_spare1: *mut c_char,
        app2_spare2: *mut c_char,
        app2_spare3: *mut c_char,
        app2_spare4: *mut c_char,
    }
    /// A partition; bytes, the end is its last one.
    struct Partition = "guestfs_partition" {
        part_num: i32,
        part_start: u64,
        part_end: u64,
        part_size: u64,
    }
    /// The partitions of a disk.
    struct Partitions = "guestfs_partition_list" {
        len: u32,
        val: *mut Partition,
    }
    /// The installed packages.
    struct Applications = "guestfs_application2_list" {
        len: u32,
        val: *mut Application,
    }
}

optional_arguments! {
    /// Options of `add_drive_opts_argv`.
    struct AddDrive = "add_drive_opts" {
        readonly: c_int = 0,
        format: Text = 1,
        iface: Text = 2,
        name: Text = 3,
        label: Text = 4,
        protocol: Text = 5,
        server: Texts = 6,
        username: Text = 7,
        secret: Text = 8,
        cachemode: Text = 9,
        discard: Text = 10,
        copyonread: c_int = 11,
        blocksize: c_int = 12,
    }
    /// Options of `is_file_opts_argv`.
    struct IsFile = "is_file_opts" { followsymlinks: c_int = 0, }
    /// Options of `is_dir_opts_argv`.
    struct IsDir = "is_dir_opts" { followsymlinks: c_int = 0, }
    /// Options of `glob_expand_opts_argv`.
    struct GlobExpand = "glob_expand_opts" { directoryslash: c_int = 0, }
    /// Options of `tar_in_opts_argv`.
    struct TarIn = "tar_in_opts" {
        compress: Text = 0,
        xattrs: c_int = 1,
        selinux: c_int = 2,
        acls: c_int = 3,
    }
    /// Options of `tar_out_opts_argv`.
    struct TarOut = "tar_out_opts" {
        compress: Text = 0,
        numericowner: c_int = 1,
        excludes: Texts = 2,
        xattrs: c_int = 3,
        selinux: c_int = 4,
        acls: c_int = 5,
    }
    /// Options of `fstrim_argv`; sizes in bytes.
    struct Fstrim = "fstrim" {
        offset: i64 = 0,
        length: i64 = 1,
        minimumfreeextent: i64 = 2,
    }
    /// Options of `mkfs_opts_argv`.
    struct Mkfs = "mkfs_opts" {
        blocksize: c_int = 0,
        features: Text = 1,
        inode: c_int = 2,
        sectorsize: c_int = 3,
        label: Text = 4,
    }
    /// Options of `cryptsetup_open_argv`.
    struct CryptsetupOpen = "cryptsetup_open" {
        readonly: c_int = 0,
        crypttype: Text = 1,
    }
    /// Options of `selinux_relabel_argv`.
    struct SelinuxRelabel = "selinux_relabel" { force: c_int = 0, }
    /// Options of `e2fsck_argv`.
    struct E2fsck = "e2fsck" {
        correct: c_int = 0,
        forceall: c_int = 1,
    }
    /// Options of `xfs_growfs_argv`.
    struct XfsGrowfs = "xfs_growfs" {
        datasec: c_int = 0,
        logsec: c_int = 1,
        rtsec: c_int = 2,
        datasize: i64 = 3,
        logsize: i64 = 4,
        rtsize: i64 = 5,
        rtextsize: i64 = 6,
        maxpct: c_int = 7,
    }
    /// Options of `set_e2attrs_argv`.
    struct SetE2attrs = "set_e2attrs" { clear: c_int = 0, }
    /// Options of `btrfs_filesystem_resize_argv`; bytes.
    struct BtrfsResize = "btrfs_filesystem_resize" { size: i64 = 0, }
}

functions! {
    // The handle.
    #[variadic ...] create_flags(c_uint) -> G;
    parse_environment(G) -> c_int;
    close(G);
    version(G) -> *mut Version;
    free_version(*mut Version);
    set_error_handler(G, ErrorHandler, *mut c_void);
    last_error(G) -> Text;
    last_errno(G) -> c_int;
    set_event_callback(G, EventCallback, u64, c_int, *mut c_void) -> c_int;
    delete_event_callback(G, c_int);
    user_cancel(G) -> c_int;
    get_pid(G) -> c_int;
    set_identifier(G, Text) -> c_int;
    get_path(G) -> Text;
    set_path(G, Text) -> c_int;
    get_cachedir(G) -> OwnedText;
    set_hv(G, Text) -> c_int;
    get_hv(G) -> OwnedText;
    set_backend(G, Text) -> c_int;
    set_backend_setting(G, Text, Text) -> c_int;
    set_memsize(G, c_int) -> c_int;
    set_smp(G, c_int) -> c_int;
    set_pgroup(G, c_int) -> c_int;
    set_recovery_proc(G, c_int) -> c_int;
    set_tmpdir(G, Text) -> c_int;
    config(G, Text, Text) -> c_int;
    add_drive_opts_argv(G, Text, *const AddDrive) -> c_int;
    launch(G) -> c_int;
    shutdown(G) -> c_int;
    sync(G) -> c_int;
    feature_available(G, Texts) -> c_int;

    // What is on the disk.
    inspect_os(G) -> OwnedTexts;
    inspect_get_distro(G, Text) -> OwnedText;
    inspect_get_arch(G, Text) -> OwnedText;
    inspect_get_major_version(G, Text) -> c_int;
    inspect_get_minor_version(G, Text) -> c_int;
    inspect_get_product_name(G, Text) -> OwnedText;
    inspect_get_osinfo(G, Text) -> OwnedText;
    inspect_get_package_format(G, Text) -> OwnedText;
    inspect_get_mountpoints(G, Text) -> OwnedTexts;
    inspect_list_applications2(G, Text) -> *mut Applications;
    free_application2_list(*mut Applications);
    list_filesystems(G) -> OwnedTexts;
    list_partitions(G) -> OwnedTexts;
    list_devices(G) -> OwnedTexts;
    vfs_type(G, Text) -> OwnedText;
    vfs_uuid(G, Text) -> OwnedText;
    blkid(G, Text) -> OwnedTexts;
    set_uuid(G, Text, Text) -> c_int;
    inspect_get_package_management(G, Text) -> OwnedText;
    blockdev_getsize64(G, Text) -> i64;

    // Partitions and file systems.
    part_init(G, Text, Text) -> c_int;
    part_add(G, Text, Text, i64, i64) -> c_int;
    part_set_bootable(G, Text, c_int, c_int) -> c_int;
    part_set_gpt_type(G, Text, c_int, Text) -> c_int;
    part_set_name(G, Text, c_int, Text) -> c_int;
    part_get_gpt_guid(G, Text, c_int) -> OwnedText;
    part_get_parttype(G, Text) -> OwnedText;
    mkfs_opts_argv(G, Text, Text, *const Mkfs) -> c_int;
    e2fsck_argv(G, Text, *const E2fsck) -> c_int;
    part_to_dev(G, Text) -> OwnedText;
    part_to_partnum(G, Text) -> c_int;
    part_list(G, Text) -> *mut Partitions;
    free_partition_list(*mut Partitions);
    part_expand_gpt(G, Text) -> c_int;
    part_resize(G, Text, c_int, i64) -> c_int;
    resize2fs(G, Text) -> c_int;
    xfs_growfs_argv(G, Text, *const XfsGrowfs) -> c_int;
    btrfs_filesystem_resize_argv(G, Text, *const BtrfsResize) -> c_int;
    zero_device(G, Text) -> c_int;
    pvcreate(G, Text) -> c_int;
    vgcreate(G, Text, Texts) -> c_int;
    lvcreate_free(G, Text, Text, c_int) -> c_int;
    lvremove(G, Text) -> c_int;
    pvs(G) -> OwnedTexts;
    lvs(G) -> OwnedTexts;
    vgs(G) -> OwnedTexts;
    vg_activate_all(G, c_int) -> c_int;
    pvchange_uuid_all(G) -> c_int;
    vgchange_uuid(G, Text) -> c_int;
    lvm_scan(G, c_int) -> c_int;
    list_dm_devices(G) -> OwnedTexts;
    cryptsetup_open_argv(G, Text, Text, Text, *const CryptsetupOpen) -> c_int;
    cryptsetup_close(G, Text) -> c_int;
    blkdiscard(G, Text) -> c_int;
    pread_device(G, Text, c_int, i64, *mut usize) -> *mut c_char;
    pwrite_device(G, Text, Text, usize, i64) -> c_int;
    mount(G, Text, Text) -> c_int;
    mount_ro(G, Text, Text) -> c_int;
    mount_options(G, Text, Text, Text) -> c_int;
    mountpoints(G) -> OwnedTexts;
    umount_all(G) -> c_int;
    get_e2attrs(G, Text) -> OwnedText;
    set_e2attrs_argv(G, Text, Text, *const SetE2attrs) -> c_int;
    statvfs(G, Text) -> *mut StatVfs;
    free_statvfs(*mut StatVfs);
    fstrim_argv(G, Text, *const Fstrim) -> c_int;
    zero_free_space(G, Text) -> c_int;
    zerofree(G, Text) -> c_int;

    // Files.
    exists(G, Text) -> c_int;
    is_file_opts_argv(G, Text, *const IsFile) -> c_int;
    is_dir_opts_argv(G, Text, *const IsDir) -> c_int;
    is_symlink(G, Text) -> c_int;
    lstatns(G, Text) -> *mut Stat;
    free_statns(*mut Stat);
    find(G, Text) -> OwnedTexts;
    ls(G, Text) -> OwnedTexts;
    glob_expand_opts_argv(G, Text, *const GlobExpand) -> OwnedTexts;
    readlink(G, Text) -> OwnedText;
    realpath(G, Text) -> OwnedText;
    checksum(G, Text, Text) -> OwnedText;
    checksums_out(G, Text, Text, Text) -> c_int;
    filesize(G, Text) -> i64;
    read_file(G, Text, *mut usize) -> *mut c_char;
    write(G, Text, Text, usize) -> c_int;
    write_append(G, Text, Text, usize) -> c_int;
    upload(G, Text, Text) -> c_int;
    download(G, Text, Text) -> c_int;
    mkdir_p(G, Text) -> c_int;
    rm_rf(G, Text) -> c_int;
    rm_f(G, Text) -> c_int;
    touch(G, Text) -> c_int;
    truncate_size(G, Text, i64) -> c_int;
    fallocate64(G, Text, i64) -> c_int;
    fill(G, c_int, c_int, Text) -> c_int;
    pread(G, Text, c_int, i64, *mut usize) -> *mut c_char;
    pwrite(G, Text, Text, usize, i64) -> c_int;
    lgetxattr(G, Text, Text, *mut usize) -> *mut c_char;
    selinux_relabel_argv(G, Text, Text, *const SelinuxRelabel) -> c_int;
    chmod(G, c_int, Text) -> c_int;
    chown(G, c_int, c_int, Text) -> c_int;
    ln_sf(G, Text, Text) -> c_int;
    cp_a(G, Text, Text) -> c_int;
    mv(G, Text, Text) -> c_int;
    tar_in_opts_argv(G, Text, Text, *const TarIn) -> c_int;
    tar_out_opts_argv(G, Text, Text, *const TarOut) -> c_int;

    // Programs of the guest.
    sh(G, Text) -> OwnedText;
    command(G, Texts) -> OwnedText;
    debug(G, Text, Texts) -> OwnedText;
    debug_upload(G, Text, Text, c_int) -> c_int;
}
