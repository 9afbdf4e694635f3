//! Arguments and results, between C and Rust.

use std::ffi::{CStr, CString, OsString, c_char, c_int};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use guestfs_sys::{self as sys, Library};

use crate::guest::{Package, Partition, Space, Stat};

/// How a result of C becomes ours; `None` means that the call failed.
pub(in crate::guest) trait Returned<C>: Sized {
    /// # Safety
    /// `result` was just returned by libguestfs to be freed by the caller.
    unsafe fn take(lib: &Library, result: C) -> Option<Self>;
}

impl Returned<c_int> for () {
    unsafe fn take(_: &Library, result: c_int) -> Option<()> {
        (result != -1).then_some(())
    }
}

impl Returned<c_int> for bool {
    unsafe fn take(_: &Library, result: c_int) -> Option<bool> {
        (result != -1).then_some(result != 0)
    }
}

impl Returned<c_int> for i32 {
    unsafe fn take(_: &Library, result: c_int) -> Option<i32> {
        (result != -1).then_some(result)
    }
}

impl Returned<i64> for u64 {
    unsafe fn take(_: &Library, result: i64) -> Option<u64> {
        u64::try_from(result).ok()
    }
}

impl Returned<*mut c_char> for String {
    unsafe fn take(_: &Library, result: *mut c_char) -> Option<String> {
        // SAFETY: null or a string of ours to free.
        unsafe { bytes(result) }.map(lossy)
    }
}

impl Returned<*mut *mut c_char> for Vec<String> {
    unsafe fn take(_: &Library, result: *mut *mut c_char) -> Option<Vec<String>> {
        // SAFETY: null or a list of ours to free.
        unsafe { list(result) }.map(|all| all.into_iter().map(lossy).collect())
    }
}

/// File names as they are, valid UTF-8 or not.
impl Returned<*mut *mut c_char> for Vec<PathBuf> {
    unsafe fn take(_: &Library, result: *mut *mut c_char) -> Option<Vec<PathBuf>> {
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        // SAFETY: null or a list of ours to free.
        unsafe { list(result) }.map(|all| all.into_iter().map(path).collect())
    }
}

impl Returned<(*mut c_char, usize)> for Vec<u8> {
    unsafe fn take(_: &Library, (bytes, length): (*mut c_char, usize)) -> Option<Vec<u8>> {
        let bytes = NonNull::new(bytes)?.as_ptr();
        // SAFETY: `length` bytes of ours to free.
        unsafe {
            let copy = slice(bytes.cast::<u8>(), length).to_vec();
            sys::free(bytes.cast());
            Some(copy)
        }
    }
}

impl Returned<*mut sys::Stat> for Stat {
    unsafe fn take(lib: &Library, result: *mut sys::Stat) -> Option<Self> {
        // SAFETY: null or a struct of ours to free with its own function.
        unsafe {
            let stat = result.as_ref()?;
            let copy = Stat {
                mode: stat.st_mode as u32,
                uid: stat.st_uid as u32,
                gid: stat.st_gid as u32,
                size: stat.st_size as u64,
            };
            (lib.free_statns)(result);
            Some(copy)
        }
    }
}

impl Returned<*mut sys::Version> for String {
    unsafe fn take(lib: &Library, result: *mut sys::Version) -> Option<Self> {
        // SAFETY: as for Stat.
        unsafe {
            let version = result.as_ref()?;
            let copy = format!("{}.{}.{}", version.major, version.minor, version.release);
            (lib.free_version)(result);
            Some(copy)
        }
    }
}

impl Returned<*mut sys::StatVfs> for Space {
    unsafe fn take(lib: &Library, result: *mut sys::StatVfs) -> Option<Self> {
        // SAFETY: as for Stat.
        unsafe {
            let space = result.as_ref()?;
            let unit = space.frsize as u64;
            let copy = Space {
                total: space.blocks as u64 * unit,
                free: space.bfree as u64 * unit,
                block: space.bsize as u64,
            };
            (lib.free_statvfs)(result);
            Some(copy)
        }
    }
}

impl Returned<*mut sys::Applications> for Vec<Package> {
    unsafe fn take(lib: &Library, result: *mut sys::Applications) -> Option<Self> {
        // SAFETY: as for Stat; `val` has `len` items whose strings are never null.
        unsafe {
            let list = result.as_ref()?;
            let packages = slice(list.val, list.len as usize)
                .iter()
                .map(|one| Package {
                    name: borrowed(one.app2_name),
                    epoch: one.app2_epoch as u32,
                    version: borrowed(one.app2_version),
                    release: borrowed(one.app2_release),
                    arch: borrowed(one.app2_arch),
                    source: borrowed(one.app2_source_package),
                })
                .collect();
            (lib.free_application2_list)(result);
            Some(packages)
        }
    }
}

impl Returned<*mut sys::Partitions> for Vec<Partition> {
    unsafe fn take(lib: &Library, result: *mut sys::Partitions) -> Option<Self> {
        // SAFETY: as for Stat; `val` has `len` items.
        unsafe {
            let list = result.as_ref()?;
            let partitions = slice(list.val, list.len as usize)
                .iter()
                .map(|one| Partition {
                    number: one.part_num,
                    end: one.part_end,
                })
                .collect();
            (lib.free_partition_list)(result);
            Some(partitions)
        }
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// # Safety
/// `list` is null or a null-terminated list that the caller may free, strings included.
unsafe fn list(list: *mut *mut c_char) -> Option<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    let mut next = NonNull::new(list)?.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        while let Some(string) = bytes(*next) {
            strings.push(string);
            next = next.add(1);
        }
        sys::free(list.cast());
    }
    Some(strings)
}

/// # Safety
/// `pointer` is null or a string that the caller may free.
unsafe fn bytes(pointer: *mut c_char) -> Option<Vec<u8>> {
    let pointer = NonNull::new(pointer)?.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let copy = CStr::from_ptr(pointer).to_bytes().to_vec();
        sys::free(pointer.cast());
        Some(copy)
    }
}

/// # Safety
/// `pointer` is null or a valid string.
pub(super) unsafe fn borrowed(pointer: *const c_char) -> String {
    match pointer.is_null() {
        true => String::new(),
        // SAFETY: the caller's promise.
        false => unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    }
}

/// Arguments as C wants them, held until the call is over.
pub(in crate::guest) trait Argument {
    type Owned;
    type C;
    /// # Errors
    /// When a string contains a null byte.
    fn hold(self) -> Result<Self::Owned, String>;
    fn pass(held: &Self::Owned) -> Self::C;
}

impl Argument for &str {
    type Owned = CString;
    type C = *const c_char;
    fn hold(self) -> Result<CString, String> {
        CString::new(self).map_err(|_| format!("{self:?} contains a null byte"))
    }
    fn pass(held: &CString) -> *const c_char {
        held.as_ptr()
    }
}

impl Argument for &Path {
    type Owned = CString;
    type C = *const c_char;
    fn hold(self) -> Result<CString, String> {
        CString::new(self.as_os_str().as_bytes())
            .map_err(|_| format!("{} contains a null byte", self.display()))
    }
    fn pass(held: &CString) -> *const c_char {
        held.as_ptr()
    }
}

/// Strings and the null-terminated list of pointers to them.
pub(in crate::guest) struct OwnedTexts {
    _strings: Vec<CString>,
    pointers: Vec<*mut c_char>,
}

impl Argument for &[&str] {
    type Owned = OwnedTexts;
    type C = *const *mut c_char;
    fn hold(self) -> Result<OwnedTexts, String> {
        let strings = self
            .iter()
            .map(|text| text.hold())
            .collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|text| text.as_ptr().cast_mut());
        let pointers = pointers.chain([ptr::null_mut()]).collect();
        Ok(OwnedTexts {
            _strings: strings,
            pointers,
        })
    }
    fn pass(held: &OwnedTexts) -> *const *mut c_char {
        held.pointers.as_ptr()
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Argument for $type {
            type Owned = $type;
            type C = $type;
            fn hold(self) -> Result<$type, String> { Ok(self) }
            fn pass(held: &$type) -> $type { *held }
        }
    )*};
}
numbers!(i32 i64);

impl Argument for bool {
    type Owned = bool;
    type C = c_int;
    fn hold(self) -> Result<bool, String> {
        Ok(self)
    }
    fn pass(held: &bool) -> c_int {
        c_int::from(*held)
    }
}

/// # Safety
/// `pointer` is valid for `length` items for as long as the slice is used, or null.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, length: usize) -> &'a [T] {
    match pointer.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { std::slice::from_raw_parts(pointer, length) },
    }
}
