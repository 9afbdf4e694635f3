//! The libvirt calls that the `virt` crate lacks or wraps in a way that can panic.
#![allow(
    unsafe_code,
    reason = "virt has no domain events, and its Drop panics on an error"
)]

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, OnceLock};

use virt::{connect, domain, sys};

/// What a libvirt handle needs to be freed without a panic.
pub(super) trait Free {
    /// Gives the reference back; the handle is not used afterwards.
    fn free(&self);
}

impl Free for connect::Connect {
    fn free(&self) {
        // SAFETY: the pointer is valid and this reference is given back once, by `Held::drop`.
        unsafe { sys::virConnectClose(self.as_ptr()) };
    }
}

impl Free for domain::Domain {
    fn free(&self) {
        // SAFETY: as above.
        unsafe { sys::virDomainFree(self.as_ptr()) };
    }
}

/// A handle of `virt` whose end never panics.
pub(super) struct Held<T: Free>(ManuallyDrop<T>);

impl<T: Free> Held<T> {
    pub(super) fn new(handle: T) -> Self {
        Held(ManuallyDrop::new(handle))
    }
}

impl<T: Free> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Free> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// Receives a domain's events on the event thread; must not block.
pub(super) trait Listener: Send + Sync + 'static {
    /// A lifecycle event and its detail, by libvirt's numbers.
    fn lifecycle(&self, event: u32, detail: u32);
    /// The guest restarted itself.
    fn rebooted(&self);
}

/// A registered [`Listener`]; dropping it ends the registration.
pub(super) struct Registration {
    connect: Arc<Held<connect::Connect>>,
    ids: Vec<c_int>,
}

/// Who is told, about which domain.
struct Opaque {
    listener: Arc<dyn Listener>,
    uuid: [u8; 16],
}

impl Opaque {
    fn is_about(&self, domain: sys::virDomainPtr) -> bool {
        let mut uuid = [0; 16];
        // SAFETY: libvirt gives the callback a valid domain, and writes 16 bytes.
        unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) == 0 && uuid == self.uuid }
    }
}

/// Registers `listener` for the lifecycle and reboot events of the domain `uuid`, which need not
/// exist yet.
pub(super) fn register(
    connect: &Arc<Held<connect::Connect>>,
    uuid: uuid::Uuid,
    listener: &Arc<dyn Listener>,
) -> Result<Registration, virt::error::Error> {
    type Lifecycle = unsafe extern "C" fn(
        sys::virConnectPtr,
        sys::virDomainPtr,
        c_int,
        c_int,
        *mut c_void,
    ) -> c_int;
    type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);

    let mut registration = Registration {
        connect: Arc::clone(connect),
        ids: vec![],
    };
    // SAFETY: libvirt casts the callback back to the type that the event id 0 (lifecycle)
    // documents, which is the type it has here.
    let lifecycle = unsafe { std::mem::transmute::<Lifecycle, Generic>(on_lifecycle) };
    for (id, callback) in [
        (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
        (sys::VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot as Generic),
    ] {
        let opaque = Box::into_raw(Box::new(Opaque {
            listener: Arc::clone(listener),
            uuid: uuid.into_bytes(),
        }))
        .cast::<c_void>();
        // SAFETY: the connection is valid, and no domain means every domain; `opaque` is a Box<Opaque> that libvirt hands to the
        // callbacks, and to `free_opaque` exactly once, after the last callback.
        let number = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connect.as_ptr(),
                ptr::null_mut(),
                id as c_int,
                Some(callback),
                opaque,
                Some(free_opaque),
            )
        };
        if number < 0 {
            // SAFETY: a failed registration leaves `opaque` with the caller.
            unsafe { free_opaque(opaque) };
            return Err(virt::error::Error::last_error());
        }
        registration.ids.push(number);
    }
    Ok(registration)
}

impl Drop for Registration {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            // SAFETY: the connection is still open, since we hold it, and each id is given back once.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), id) };
        }
    }
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is the Box<Opaque> of `register`, alive until `free_opaque`.
    let opaque = unsafe { &*opaque.cast::<Opaque>() };
    if opaque.is_about(domain) {
        opaque.listener.lifecycle(event as u32, detail as u32);
    }
    0
}

unsafe extern "C" fn on_reboot(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_lifecycle`.
    let opaque = unsafe { &*opaque.cast::<Opaque>() };
    if opaque.is_about(domain) {
        opaque.listener.rebooted();
    }
}

unsafe extern "C" fn free_opaque(opaque: *mut c_void) {
    // SAFETY: called once for each Box<Opaque> that `register` gave away.
    drop(unsafe { Box::from_raw(opaque.cast::<Opaque>()) });
}

/// Starts the thread that runs libvirt's event loop, once in the life of the process.
pub(super) fn start_event_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            // libvirt would print every error on standard error otherwise.
            virt::error::clear_error_callback();
            virt::event::event_register_default_impl().map_err(|e| e.to_string())?;
            // SAFETY: the callback takes no data. It makes the loop turn twice a second, so that
            // what other threads add is seen.
            let timer = unsafe { sys::virEventAddTimeout(500, Some(tick), ptr::null_mut(), None) };
            if timer < 0 {
                return Err(virt::error::Error::last_error().to_string());
            }
            std::thread::Builder::new()
                .name("libvirt events".into())
                .spawn(|| while virt::event::event_run_default_impl().is_ok() {})
                .map(drop)
                .map_err(|e| e.to_string())
        })
        .clone()
}

unsafe extern "C" fn tick(_: c_int, _: *mut c_void) {}
