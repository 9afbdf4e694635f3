//! The one place that calls libguestfs: a handle, conversions both ways, events.
//!
//! What the rest relies on: every pointer given to libguestfs lives until the call returns, every
//! pointer it returns is copied and freed at once, a failed call's error text is read on the
//! thread that made the call, and the callback neither unwinds nor touches the handle.

mod bytes;
mod calls;
mod convert;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};

use guestfs_sys::{self as sys, Library};

use convert::{Argument, Returned, slice};

/// A message or a progress report of libguestfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Position and total, in a unit of the call's own.
    Progress { position: u64, total: u64 },
    /// Text of the appliance or the library, in pieces of any size.
    Text(Vec<u8>),
}

/// An option of a handle, set before launch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Setting<'a> {
    /// Memory of the appliance, in MiB.
    Memory(i32),
    /// Processors of the appliance.
    Processors(i32),
    /// The appliance's processes get a process group of their own, which Ctrl-C does not reach.
    ProcessGroup,
    /// A helper process ends the appliance when this process is killed.
    Recovery,
    /// A name for the library's messages.
    Identifier(&'a str),
    /// What starts the appliance.
    Backend(&'a str),
    /// Where the overlay of the appliance's own disk goes.
    Scratch(&'a Path),
    /// An option of QEMU's, and its value.
    Qemu(&'a str, &'a str),
    /// What is started as QEMU.
    Hypervisor(&'a Path),
    /// Where the appliance is.
    Appliance(&'a Path),
    /// A setting of libguestfs' own backend, turned on.
    OfBackend(&'static CStr),
}

type Setter<T> = unsafe extern "C" fn(*mut sys::Handle, T) -> c_int;

/// Takes messages while a call runs, on the thread of that call.
pub(super) type Listener = Box<dyn Fn(Message) + Send>;

/// A handle of libguestfs, closed when dropped.
pub(super) struct Raw {
    lib: &'static Library,
    handle: NonNull<sys::Handle>,
    // Boxed twice for a thin pointer; libguestfs holds it until the handle is closed.
    _listener: Box<Listener>,
}

// SAFETY: since 1.38 every handle has a lock of its own, and nothing in it belongs to the thread
// that made it except the last error, which is read right after the call on the same thread. The
// listener is `Send`. Two threads cannot use a `Raw` at once, as it is not `Sync`.
unsafe impl Send for Raw {}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Raw").field(&self.handle).finish()
    }
}

impl Raw {
    /// A handle that writes nothing to stderr and tells `listener` everything.
    ///
    /// # Errors
    /// With libguestfs' own text, such as a bad variable in the environment.
    pub(super) fn create(lib: &'static Library, listener: Listener) -> Result<Raw, String> {
        // SAFETY: no pointers; a null result is looked at.
        let handle = unsafe { (lib.create_flags)(sys::CREATE_NO_ENVIRONMENT) };
        let handle = NonNull::new(handle).ok_or("libguestfs has no memory for a handle")?;
        let listener = Box::new(listener);
        let opaque = ptr::from_ref::<Listener>(&listener)
            .cast_mut()
            .cast::<c_void>();
        let raw = Raw {
            lib,
            handle,
            _listener: listener,
        };
        let events = sys::EVENT_PROGRESS
            | sys::EVENT_APPLIANCE
            | sys::EVENT_LIBRARY
            | sys::EVENT_TRACE
            | sys::EVENT_WARNING;
        // SAFETY: the handle is valid; a null handler is allowed and means silence; `opaque`
        // points into the box that `raw` keeps until the handle is closed.
        let (event, environment) = unsafe {
            (lib.set_error_handler)(handle.as_ptr(), None, ptr::null_mut());
            let event =
                (lib.set_event_callback)(handle.as_ptr(), Some(on_event), events, 0, opaque);
            (event, (lib.parse_environment)(handle.as_ptr()))
        };
        if event < 0 || environment < 0 {
            return Err(raw.last_error());
        }
        Ok(raw)
    }

    /// Calls a function of the library with this handle.
    ///
    /// # Errors
    /// With libguestfs' own text when the result says that the call failed.
    pub(super) fn call<C, R: Returned<C>>(
        &self,
        call: impl FnOnce(&Library, *mut sys::Handle) -> C,
    ) -> Result<R, String> {
        let result = call(self.lib, self.handle.as_ptr());
        // SAFETY: `result` was just returned by libguestfs, which leaves it to its caller.
        unsafe { R::take(self.lib, result) }.ok_or_else(|| self.last_error())
    }

    /// Sets one of the handle's options before launch.
    pub(super) fn set(&self, option: Setting<'_>) -> Result<(), String> {
        let number = |setter: Setter<c_int>, value| {
            // SAFETY: a setter of the table with an integer.
            self.call(|_, handle| unsafe { setter(handle, value) })
        };
        let lib = self.lib;
        match option {
            Setting::Memory(mebibytes) => number(lib.set_memsize, mebibytes),
            Setting::Processors(count) => number(lib.set_smp, count),
            Setting::ProcessGroup => number(lib.set_pgroup, 1),
            Setting::Recovery => number(lib.set_recovery_proc, 1),
            Setting::Identifier(text) => self.set_text(lib.set_identifier, text),
            Setting::Backend(text) => self.set_text(lib.set_backend, text),
            Setting::Scratch(path) => self.set_text(lib.set_tmpdir, path),
            Setting::Hypervisor(path) => self.set_text(lib.set_hv, path),
            Setting::Appliance(path) => self.set_text(lib.set_path, path),
            Setting::Qemu(option, value) => {
                let (option, value) = (option.hold()?, value.hold()?);
                // SAFETY: as for set_text.
                self.call(|lib, handle| unsafe {
                    (lib.config)(handle, option.as_ptr(), value.as_ptr())
                })
            }
            Setting::OfBackend(name) => self.call(|lib, handle| {
                // SAFETY: literals live for ever.
                unsafe { (lib.set_backend_setting)(handle, name.as_ptr(), c"1".as_ptr()) }
            }),
        }
    }

    fn set_text<'a, T>(&self, setter: Setter<sys::Text>, value: T) -> Result<(), String>
    where
        T: Argument<C = sys::Text> + 'a,
    {
        let held = value.hold()?;
        // SAFETY: a setter of the table; libguestfs copies the string.
        self.call(|_, handle| unsafe { setter(handle, T::pass(&held)) })
    }

    /// What would be started as QEMU.
    pub(super) fn hypervisor(&self) -> Result<String, String> {
        // SAFETY: a valid handle.
        self.call(|lib, handle| unsafe { (lib.get_hv)(handle) })
    }

    /// Where the appliance is looked for: directories with colons between them.
    pub(super) fn path(&self) -> String {
        // SAFETY: the handle is valid; the text is copied before another call can replace it.
        unsafe { convert::borrowed((self.lib.get_path)(self.handle.as_ptr())) }
    }

    /// Where an appliance that was made is kept.
    pub(super) fn cache_dir(&self) -> Result<String, String> {
        // SAFETY: a valid handle.
        self.call(|lib, handle| unsafe { (lib.get_cachedir)(handle) })
    }

    /// Adds a disk before launch. A writable one passes discards on, and its host cache is not
    /// flushed: the caller syncs the file once it is done.
    pub(super) fn add_drive(
        &self,
        path: &Path,
        format: &str,
        readonly: bool,
    ) -> Result<(), String> {
        let (path, format) = (path.hold()?, format.hold()?);
        let mut options = sys::AddDrive::new()
            .format(format.as_ptr())
            .readonly(c_int::from(readonly));
        if !readonly {
            options = options
                .cachemode(c"unsafe".as_ptr())
                .discard(c"besteffort".as_ptr());
        }
        // SAFETY: the options and their strings live until the call returns.
        self.call(|lib, handle| unsafe {
            (lib.add_drive_opts_argv)(handle, path.as_ptr(), &raw const options)
        })
    }

    /// Starts the appliance.
    pub(super) fn launch(&self) -> Result<(), String> {
        // SAFETY: a valid handle.
        self.call(|lib, handle| unsafe { (lib.launch)(handle) })
    }

    /// Unmounts, ends the appliance and reports whether the disks were written.
    pub(super) fn shutdown(&self) -> Result<(), String> {
        // SAFETY: a valid handle.
        self.call(|lib, handle| unsafe { (lib.shutdown)(handle) })
    }

    /// The library's version, such as `1.48.6`.
    pub(super) fn version(&self) -> Option<String> {
        self.call(|lib, handle| {
            // SAFETY: a valid handle.
            unsafe { (lib.version)(handle) }
        })
        .ok()
    }

    /// Lets another thread end an upload or a download that runs in this handle.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller {
            lib: self.lib,
            handle: self.handle,
        }
    }

    fn last_error(&self) -> String {
        // SAFETY: the handle is valid; the text is copied before another call can replace it.
        let text = unsafe {
            let text = (self.lib.last_error)(self.handle.as_ptr());
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        text.unwrap_or_else(|| "libguestfs gives no reason".into())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: made by create_flags, closed only here; the listener is dropped afterwards.
        unsafe { (self.lib.close)(self.handle.as_ptr()) }
    }
}

/// See [`Raw::canceller`]. Must not outlive the handle: the owner of both drops it first.
#[derive(Debug)]
pub(super) struct Canceller {
    lib: &'static Library,
    handle: NonNull<sys::Handle>,
}

// SAFETY: guestfs_user_cancel may be called from any thread and even from a signal handler.
unsafe impl Send for Canceller {}

impl Canceller {
    /// Ends the transfer; the call that runs fails then.
    pub(super) fn cancel(&self) {
        // SAFETY: the handle is still open, by the rule above; the function only sets a flag.
        unsafe { (self.lib.user_cancel)(self.handle.as_ptr()) };
    }
}

unsafe extern "C" fn on_event(
    _: *mut sys::Handle,
    opaque: *mut c_void,
    event: u64,
    _: c_int,
    _: c_int,
    buffer: *const c_char,
    length: usize,
    array: *const u64,
    array_length: usize,
) {
    // Unwinding into C is undefined; a listener that panics loses this message only.
    drop(catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `opaque` is the listener that create() registered, alive until after close;
        // libguestfs gives valid pointers with their lengths, or null with zero.
        let (listener, text, numbers) = unsafe {
            (
                &*opaque.cast::<Listener>(),
                slice(buffer.cast::<u8>(), length),
                slice(array, array_length),
            )
        };
        match (event, numbers) {
            (sys::EVENT_PROGRESS, [_, _, position, total, ..]) => listener(Message::Progress {
                position: *position,
                total: *total,
            }),
            (sys::EVENT_PROGRESS, _) => {}
            _ => listener(Message::Text(text.to_vec())),
        }
    })));
}
