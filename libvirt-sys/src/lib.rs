//! Hand-declared prototypes of libvirt, loaded at run time.
//!
//! [`library`] opens `libvirt.so.0` and `libvirt-qemu.so.0` at first use and resolves every function at
//! once, so a program that links this crate starts on a host without libvirt. Types have the names that
//! libvirt's headers give them, or one of [`PRELUDE`]; so a declaration is C as well, and a test compiles
//! [`declarations`] against the installed headers.
#![allow(
    non_camel_case_types,
    non_snake_case,
    reason = "the names are the headers' own"
)]

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ushort, c_void};
use std::fmt;
use std::sync::OnceLock;

#[macro_use]
mod macros;

/// The shared objects that [`library`] opens; their versions have not changed since 2009.
pub const SONAMES: [&str; 2] = ["libvirt.so.0", "libvirt-qemu.so.0"];

/// Names of types that C has no single word for, as C.
const PRELUDE: &str = "typedef const char *text;\n\
     typedef char *own_text;\n\
     typedef char **own_texts;\n\
     typedef const unsigned char *bytes;\n\
     typedef unsigned char *space;\n\
     typedef void *pointer;\n\
     typedef unsigned int unsigned_int;\n\
     typedef unsigned char unsigned_char;\n\
     typedef unsigned short unsigned_short;\n\
     typedef unsigned long unsigned_long;\n\
     typedef long long long_long;\n\
     typedef unsigned long long unsigned_long_long;\n\
     typedef virDomainPtr **domains;\n";

/// A string that libvirt reads, or keeps.
pub type text = *const c_char;
/// A string for the caller to free, or room for bytes.
pub type own_text = *mut c_char;
/// Where libvirt puts such a string.
pub type own_texts = *mut own_text;
/// 16 bytes of a UUID.
pub type bytes = *const c_uchar;
/// Room for 16 bytes of a UUID.
pub type space = *mut c_uchar;
/// Data of a callback.
pub type pointer = *mut c_void;
/// Where libvirt puts a list of domains, for the caller to free.
pub type domains = *mut *mut virDomainPtr;

type int = c_int;
type unsigned_int = c_uint;
type unsigned_char = c_uchar;
type unsigned_short = c_ushort;
type unsigned_long = c_ulong;
type long_long = i64;
type unsigned_long_long = u64;
type size_t = usize;
type void = ();

handles! {
    /// A connection to a daemon.
    virConnect, virConnectPtr;
    /// A domain.
    virDomain, virDomainPtr;
    /// A stream of bytes from a daemon.
    virStream, virStreamPtr;
}

/// Receives errors; ours does nothing, as none would print them.
pub type virErrorFunc = Option<unsafe extern "C" fn(pointer, *mut c_void)>;
/// Is called when a time is over.
pub type virEventTimeoutCallback = Option<unsafe extern "C" fn(timer: c_int, opaque: pointer)>;
/// Frees the data of a callback.
pub type virFreeCallback = Option<unsafe extern "C" fn(opaque: pointer)>;
/// Receives events of domains, in the form of those without details.
pub type virConnectDomainEventGenericCallback =
    Option<unsafe extern "C" fn(virConnectPtr, virDomainPtr, opaque: pointer)>;

structs! {
    /// What a domain has used.
    virDomainInfo, virDomainInfoPtr {
        state: unsigned_char,
        maxMem: unsigned_long,
        memory: unsigned_long,
        nrVirtCpu: unsigned_short,
        cpuTime: unsigned_long_long,
    }
    /// What a disk has moved.
    virDomainBlockStatsStruct, virDomainBlockStatsPtr {
        rd_req: long_long,
        rd_bytes: long_long,
        wr_req: long_long,
        wr_bytes: long_long,
        errs: long_long,
    }
    /// What a network card has moved.
    virDomainInterfaceStatsStruct, virDomainInterfaceStatsPtr {
        rx_bytes: long_long,
        rx_packets: long_long,
        rx_errs: long_long,
        rx_drop: long_long,
        tx_bytes: long_long,
        tx_packets: long_long,
        tx_errs: long_long,
        tx_drop: long_long,
    }
}

constants! {
    VIR_DOMAIN_START_PAUSED = 1;
    VIR_DOMAIN_START_AUTODESTROY = 2;
    VIR_DOMAIN_EVENT_ID_LIFECYCLE = 0;
    VIR_DOMAIN_EVENT_ID_REBOOT = 1;
    VIR_DOMAIN_EVENT_SUSPENDED = 3;
    VIR_DOMAIN_EVENT_STOPPED = 5;
    VIR_DOMAIN_EVENT_CRASHED = 8;
    VIR_DOMAIN_EVENT_SUSPENDED_IOERROR = 2;
    VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN = 0;
    VIR_DOMAIN_EVENT_STOPPED_DESTROYED = 1;
    VIR_DOMAIN_EVENT_STOPPED_CRASHED = 2;
}

functions! {
    virConnectOpen(text) -> virConnectPtr;
    virConnectClose(virConnectPtr) -> int;
    virConnectSetKeepAlive(virConnectPtr, int, unsigned_int) -> int;
    virConnectIsAlive(virConnectPtr) -> int;
    virConnectListAllDomains(virConnectPtr, domains, unsigned_int) -> int;
    virConnectDomainEventRegisterAny(
        virConnectPtr, virDomainPtr, int, virConnectDomainEventGenericCallback, pointer, virFreeCallback
    ) -> int;
    virConnectDomainEventDeregisterAny(virConnectPtr, int) -> int;
    virDomainCreateXML(virConnectPtr, text, unsigned_int) -> virDomainPtr;
    virDomainLookupByUUID(virConnectPtr, bytes) -> virDomainPtr;
    virDomainGetName(virDomainPtr) -> text;
    virDomainGetUUID(virDomainPtr, space) -> int;
    virDomainGetXMLDesc(virDomainPtr, unsigned_int) -> own_text;
    virDomainGetInfo(virDomainPtr, virDomainInfoPtr) -> int;
    virDomainBlockStats(virDomainPtr, text, virDomainBlockStatsPtr, size_t) -> int;
    virDomainInterfaceStats(virDomainPtr, text, virDomainInterfaceStatsPtr, size_t) -> int;
    virDomainResume(virDomainPtr) -> int;
    virDomainDestroy(virDomainPtr) -> int;
    virDomainFree(virDomainPtr) -> int;
    virDomainScreenshot(virDomainPtr, virStreamPtr, unsigned_int, unsigned_int) -> own_text;
    virDomainQemuMonitorCommand(virDomainPtr, text, own_texts, unsigned_int) -> int;
    virStreamNew(virConnectPtr, unsigned_int) -> virStreamPtr;
    virStreamRecv(virStreamPtr, own_text, size_t) -> int;
    virStreamFinish(virStreamPtr) -> int;
    virStreamAbort(virStreamPtr) -> int;
    virStreamFree(virStreamPtr) -> int;
    virEventRegisterDefaultImpl() -> int;
    virEventRunDefaultImpl() -> int;
    virEventAddTimeout(int, virEventTimeoutCallback, pointer, virFreeCallback) -> int;
    virSetErrorFunc(pointer, virErrorFunc) -> void;
    virGetLastErrorMessage() -> text;
}

/// Why libvirt cannot be used on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// A shared object was not found or cannot be loaded.
    Missing {
        /// The name that was asked for.
        name: String,
        /// What the loader said.
        reason: String,
    },
    /// No shared object has this function.
    Symbol {
        /// Its name.
        symbol: &'static str,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Missing { name, reason } => write!(f, "{name} cannot be loaded: {reason}"),
            LoadError::Symbol { symbol } => write!(
                f,
                "there is no function {symbol}: libvirt 6.0 or newer is needed"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// The library, opened at the first call; the outcome of that call stays.
///
/// # Errors
/// When the host has no usable libvirt.
pub fn library() -> Result<&'static Library, &'static LoadError> {
    static LIBRARY: OnceLock<Result<Library, LoadError>> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::open(SONAMES)).as_ref()
}

#[allow(unsafe_code, reason = "the C library's own deallocator")]
mod libc {
    unsafe extern "C" {
        /// Frees what libvirt returned: `free(3)`.
        pub(crate) fn free(pointer: *mut std::ffi::c_void);
    }
}

/// Frees a string or list that libvirt returned.
///
/// # Safety
/// `pointer` is null or was returned by libvirt to be freed by the caller, and is not used again.
#[allow(unsafe_code, reason = "forwards the caller's promise")]
pub unsafe fn free(pointer: *mut c_void) {
    // SAFETY: libvirt allocates what it returns with malloc; the caller promises the rest.
    unsafe { libc::free(pointer) }
}

/// What the Rust declarations claim, as C assertions: compiling them against the installed headers fails at
/// the first wrong prototype, struct or constant.
pub fn declarations() -> String {
    let headers = "#include <stddef.h>\n#include <libvirt/libvirt.h>\n#include <libvirt/virterror.h>\n\
                   #include <libvirt/libvirt-qemu.h>\n";
    [headers, PRELUDE, &prototypes(), &layouts(), &values()].concat()
}
