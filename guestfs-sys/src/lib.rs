//! Hand-declared prototypes of libguestfs, loaded at run time.
//!
//! [`library`] opens `libguestfs.so.0` at first use and resolves every symbol of the table in
//! [`table`] at once, so a program that links this crate starts on a host without libguestfs.
//! A symbol is declared once, in Rust; [`abi::declarations`] prints the same prototypes and
//! structs as C assertions, which a test compiles against the installed `guestfs.h`.

pub mod abi;
#[macro_use]
mod macros;
pub mod table;

use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::sync::OnceLock;

pub use table::*;

/// The shared object that [`library`] opens; its version has not changed since 2009.
pub const SONAME: &str = "libguestfs.so.0";

/// A libguestfs handle, `guestfs_h`. Only ever used behind a pointer.
#[repr(C)]
#[derive(Debug)]
pub struct Handle {
    _opaque: [u8; 0],
}

/// Receives libguestfs' error messages, `guestfs_error_handler_cb`; none silences them.
pub type ErrorHandler = Option<unsafe extern "C" fn(*mut Handle, *mut c_void, *const c_char)>;

/// Receives events, `guestfs_event_callback`. It must not unwind.
pub type EventCallback = Option<
    unsafe extern "C" fn(
        handle: *mut Handle,
        opaque: *mut c_void,
        event: u64,
        event_handle: c_int,
        flags: c_int,
        buffer: *const c_char,
        buffer_length: usize,
        array: *const u64,
        array_length: usize,
    ),
>;

/// Why libguestfs cannot be used on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The shared object was not found or cannot be loaded.
    Missing {
        /// The name that was asked for.
        name: String,
        /// What the loader said.
        reason: String,
    },
    /// The shared object lacks a function of the table.
    Symbol {
        /// The name that was asked for.
        name: String,
        /// The function that is not there.
        symbol: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Missing { name, reason } => {
                write!(f, "{name} cannot be loaded (install libguestfs0): {reason}")
            }
            LoadError::Symbol { name, symbol } => write!(
                f,
                "{name} has no function {symbol}: libguestfs 1.40 or newer is needed"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// The library, opened at the first call; the outcome of that call stays.
///
/// # Errors
/// When the host has no usable libguestfs.
pub fn library() -> Result<&'static Library, &'static LoadError> {
    static LIBRARY: OnceLock<Result<Library, LoadError>> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::open(SONAME)).as_ref()
}

#[allow(unsafe_code, reason = "the C library's own deallocator")]
mod libc {
    unsafe extern "C" {
        /// Frees what libguestfs returned: `free(3)`.
        pub(crate) fn free(pointer: *mut std::ffi::c_void);
    }
}

/// Frees a string or list pointer that libguestfs returned.
///
/// # Safety
/// `pointer` is null or was returned by libguestfs to be freed by the caller, and is not used
/// again.
#[allow(unsafe_code, reason = "forwards the caller's promise")]
pub unsafe fn free(pointer: *mut c_void) {
    // SAFETY: libguestfs allocates what it returns with malloc; the caller promises the rest.
    unsafe { libc::free(pointer) }
}
