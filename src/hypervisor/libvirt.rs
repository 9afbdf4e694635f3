//! libvirt's handles and calls, as far as guests need them; their ends never panic.
#![allow(
    unsafe_code,
    reason = "libvirt is a C library, and its handles are made and used here"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use libvirt_sys::{self as sys, Library};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::host::tools;

/// Why libvirt did not do something, in its own words.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    /// Its own words.
    pub(super) fn message(&self) -> &str {
        self.0.trim()
    }

    /// Those of this thread's last call.
    pub(super) fn last(lib: &Library) -> Self {
        // SAFETY: the message is valid until this thread's next call; it is copied.
        let said = unsafe { owned((lib.virGetLastErrorMessage)()) };
        Refused(said.unwrap_or_default())
    }
}

type Answer<T> = std::result::Result<T, Refused>;

/// The library, which is loaded at the first call.
///
/// # Errors
/// When this host has none.
pub(super) fn library() -> Result<&'static Library> {
    sys::library().map_err(|cause| missing(cause, &tools::install_line(&["libvirt0"])))
}

fn missing(cause: &sys::LoadError, install: &str) -> Error {
    Error::host("libvirt is not installed, or is too old")
        .cause(cause)
        .hint(format!("install it: {install}"))
}

/// A copy of a string of libvirt's.
///
/// # Safety
/// `text` is null or a string.
unsafe fn owned(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}

/// A copy of a string that is freed.
///
/// # Safety
/// `text` is null or a string that libvirt gives away.
unsafe fn taken(text: *mut c_char) -> Option<String> {
    // SAFETY: the caller promises.
    unsafe {
        let copy = owned(text);
        sys::free(text.cast());
        copy
    }
}

fn text(text: &str) -> Answer<CString> {
    CString::new(text).map_err(|_| Refused("the text has a zero byte".into()))
}

/// Whether a call that gives a negative number on failure went well; the number.
fn counted(lib: &Library, number: i32) -> Answer<usize> {
    usize::try_from(number).map_err(|_| Refused::last(lib))
}

/// The pointer of a call that gives none on failure.
fn pointed<T>(lib: &Library, pointer: *mut T) -> Answer<*mut T> {
    match pointer.is_null() {
        true => Err(Refused::last(lib)),
        false => Ok(pointer),
    }
}

/// A connection to a daemon.
pub(super) struct Connect {
    lib: &'static Library,
    raw: sys::virConnectPtr,
}

// SAFETY: libvirt locks what threads share; a connection may be used by several.
unsafe impl Send for Connect {}
// SAFETY: as above.
unsafe impl Sync for Connect {}

impl Connect {
    pub(super) fn open(lib: &'static Library, uri: &str) -> Answer<Connect> {
        let uri = text(uri)?;
        // SAFETY: the text lives during the call.
        let raw = unsafe { (lib.virConnectOpen)(uri.as_ptr()) };
        let raw = pointed(lib, raw)?;
        Ok(Connect { lib, raw })
    }

    pub(super) fn library(&self) -> &'static Library {
        self.lib
    }

    pub(super) fn as_ptr(&self) -> sys::virConnectPtr {
        self.raw
    }

    /// Asks a daemon that is silent every so many seconds whether it lives, and so often.
    pub(super) fn set_keep_alive(&self, seconds: i32, times: u32) -> Answer<usize> {
        // SAFETY: the connection is open.
        counted(self.lib, unsafe {
            (self.lib.virConnectSetKeepAlive)(self.raw, seconds, times)
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.lib.virConnectIsAlive)(self.raw) == 1 }
    }

    pub(super) fn domains(&self) -> Answer<Vec<Domain>> {
        let mut list = ptr::null_mut();
        // SAFETY: libvirt puts a list there.
        let count = unsafe { (self.lib.virConnectListAllDomains)(self.raw, &raw mut list, 0) };
        let count = counted(self.lib, count)?;
        // SAFETY: the list has so many domains, which are the caller's, as it is itself.
        unsafe {
            let all = (0..count).map(|index| self.domain(*list.add(index)));
            let all = all.collect();
            sys::free(list.cast());
            Ok(all)
        }
    }

    fn domain(&self, raw: sys::virDomainPtr) -> Domain {
        Domain { lib: self.lib, raw }
    }

    pub(super) fn lookup(&self, uuid: Uuid) -> Answer<Domain> {
        // SAFETY: libvirt reads 16 bytes.
        let raw = unsafe { (self.lib.virDomainLookupByUUID)(self.raw, uuid.as_bytes().as_ptr()) };
        pointed(self.lib, raw).map(|raw| self.domain(raw))
    }

    /// Creates a domain that is paused, and ends with this connection.
    pub(super) fn create_paused(&self, xml: &str) -> Answer<Domain> {
        let flags = sys::VIR_DOMAIN_START_PAUSED | sys::VIR_DOMAIN_START_AUTODESTROY;
        let xml = text(xml)?;
        // SAFETY: the text lives during the call.
        let raw = unsafe { (self.lib.virDomainCreateXML)(self.raw, xml.as_ptr(), flags) };
        pointed(self.lib, raw).map(|raw| self.domain(raw))
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once.
        unsafe { (self.lib.virConnectClose)(self.raw) };
    }
}

/// A domain.
pub(super) struct Domain {
    lib: &'static Library,
    raw: sys::virDomainPtr,
}

// SAFETY: as for connections.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Domain {
    pub(super) fn name(&self) -> Answer<String> {
        // SAFETY: the name lives as long as the domain; it is copied.
        let name = unsafe { owned((self.lib.virDomainGetName)(self.raw)) };
        name.ok_or_else(|| Refused::last(self.lib))
    }

    /// The UUID of a domain that libvirt lends to a callback.
    ///
    /// # Safety
    /// `raw` is a domain.
    pub(super) unsafe fn uuid_of(lib: &Library, raw: sys::virDomainPtr) -> Option<Uuid> {
        let mut uuid = [0; 16];
        // SAFETY: libvirt writes 16 bytes; the caller promises the domain.
        let known = unsafe { (lib.virDomainGetUUID)(raw, uuid.as_mut_ptr()) } == 0;
        known.then(|| Uuid::from_bytes(uuid))
    }

    /// Its description, as XML.
    pub(super) fn xml(&self) -> Answer<String> {
        // SAFETY: libvirt gives the text away.
        let xml = unsafe { taken((self.lib.virDomainGetXMLDesc)(self.raw, 0)) };
        xml.ok_or_else(|| Refused::last(self.lib))
    }

    pub(super) fn resume(&self) -> Answer<usize> {
        // SAFETY: the domain is valid.
        counted(self.lib, unsafe { (self.lib.virDomainResume)(self.raw) })
    }

    pub(super) fn destroy(&self) -> Answer<usize> {
        // SAFETY: as above.
        counted(self.lib, unsafe { (self.lib.virDomainDestroy)(self.raw) })
    }

    /// Time of processors, in nanoseconds.
    pub(super) fn cpu_time(&self) -> Answer<u64> {
        let mut info = sys::virDomainInfo::default();
        // SAFETY: libvirt fills the struct.
        counted(self.lib, unsafe {
            (self.lib.virDomainGetInfo)(self.raw, &raw mut info)
        })?;
        Ok(info.cpuTime)
    }

    pub(super) fn block_stats(&self, disk: &str) -> Answer<sys::virDomainBlockStatsStruct> {
        let (disk, mut stats) = (text(disk)?, sys::virDomainBlockStatsStruct::default());
        let size = size_of_val(&stats);
        // SAFETY: libvirt fills the struct, of this size; the text lives during the call.
        counted(self.lib, unsafe {
            (self.lib.virDomainBlockStats)(self.raw, disk.as_ptr(), &raw mut stats, size)
        })?;
        Ok(stats)
    }

    pub(super) fn interface_stats(&self, nic: &str) -> Answer<sys::virDomainInterfaceStatsStruct> {
        let (nic, mut stats) = (text(nic)?, sys::virDomainInterfaceStatsStruct::default());
        let size = size_of_val(&stats);
        // SAFETY: as above.
        counted(self.lib, unsafe {
            (self.lib.virDomainInterfaceStats)(self.raw, nic.as_ptr(), &raw mut stats, size)
        })?;
        Ok(stats)
    }

    /// Has the screen sent over a stream.
    pub(super) fn screenshot(&self, stream: &Stream) -> Answer<()> {
        // SAFETY: both are valid; the type of the picture is given away.
        let kind = unsafe { taken((self.lib.virDomainScreenshot)(self.raw, stream.raw, 0, 0)) };
        kind.map(drop).ok_or_else(|| Refused::last(self.lib))
    }

    /// What QEMU itself answers.
    pub(super) fn qemu_monitor_command(&self, command: &str) -> Answer<String> {
        let (command, mut said) = (text(command)?, ptr::null_mut());
        // SAFETY: libvirt puts a text there and gives it away.
        unsafe {
            let call = self.lib.virDomainQemuMonitorCommand;
            counted(self.lib, call(self.raw, command.as_ptr(), &raw mut said, 0))?;
            Ok(taken(said).unwrap_or_default())
        }
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once.
        unsafe { (self.lib.virDomainFree)(self.raw) };
    }
}

/// Bytes that a daemon sends.
pub(super) struct Stream {
    lib: &'static Library,
    raw: sys::virStreamPtr,
}

impl Stream {
    pub(super) fn new(connect: &Connect) -> Answer<Stream> {
        let lib = connect.lib;
        // SAFETY: the connection is open.
        let raw = pointed(lib, unsafe { (lib.virStreamNew)(connect.raw, 0) })?;
        Ok(Stream { lib, raw })
    }

    /// How many bytes came; none is the end.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Answer<usize> {
        let (to, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: libvirt writes no more than there is room.
        counted(self.lib, unsafe {
            (self.lib.virStreamRecv)(self.raw, to, room)
        })
    }

    pub(super) fn finish(&self) -> Answer<usize> {
        // SAFETY: the stream is valid.
        counted(self.lib, unsafe { (self.lib.virStreamFinish)(self.raw) })
    }

    pub(super) fn abort(&self) -> Answer<usize> {
        // SAFETY: as above.
        counted(self.lib, unsafe { (self.lib.virStreamAbort)(self.raw) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once.
        unsafe { (self.lib.virStreamFree)(self.raw) };
    }
}

/// libvirt would print every error on standard error otherwise.
pub(super) fn silence(lib: &Library) {
    unsafe extern "C" fn nothing(_: *mut c_void, _: *mut c_void) {}
    // SAFETY: the function takes no data.
    unsafe { (lib.virSetErrorFunc)(ptr::null_mut(), Some(nothing)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_libvirt_is_told_what_to_install() {
        let cause = sys::LoadError::Missing {
            name: "libvirt.so.0".into(),
            reason: "libvirt.so.0: cannot open shared object file".into(),
        };
        let error = missing(&cause, "sudo apt-get install libvirt0");
        assert_eq!(error.kind(), crate::error::Kind::Host);
        let shown = error.render();
        assert!(shown.contains("cannot open shared object"), "{shown}");
        assert!(shown.contains("install libvirt0"), "{shown}");
    }
}
