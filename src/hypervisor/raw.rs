//! What libvirt reports of domains, and the thread that hears it.
#![allow(unsafe_code, reason = "libvirt calls back")]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use libvirt_sys::{self as sys, Library};

use super::libvirt::{self, Connect, Domain, Refused};
use crate::mutex::Unpoisoned as _;

/// Receives a domain's events on the event thread; must not block.
pub(super) trait Listener: Send + Sync + 'static {
    /// A lifecycle event and its detail, by libvirt's numbers.
    fn lifecycle(&self, event: u32, detail: u32);
    /// The guest restarted itself.
    fn rebooted(&self);
}

/// A registered [`Listener`]; dropping it ends the registration.
pub(super) struct Registration {
    listeners: Arc<Listeners>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let registered = self.listeners.lock().remove(&self.number);
        // The lock is free again.
        drop(registered);
    }
}

/// Who is told, about which domain.
type Registered = (uuid::Uuid, Arc<dyn Listener>);

/// Everybody who listens on one connection.
struct Listeners {
    lib: &'static Library,
    all: Mutex<BTreeMap<u64, Registered>>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Registered>> {
        self.all.lock().unpoisoned()
    }

    fn of(&self, domain: sys::virDomainPtr) -> Vec<Arc<dyn Listener>> {
        // SAFETY: libvirt gives the callback a valid domain.
        let uuid = unsafe { Domain::uuid_of(self.lib, domain) };
        let listeners = self.lock();
        let about = listeners.values().filter(|(about, _)| Some(*about) == uuid);
        about.map(|(_, listener)| Arc::clone(listener)).collect()
    }
}

/// The events of all domains of a connection: libvirt refuses to call one function twice for them.
pub(super) struct Hub {
    connect: Arc<Connect>,
    listeners: Arc<Listeners>,
    ids: Mutex<Vec<c_int>>,
}

impl Hub {
    /// Asks libvirt for nothing yet.
    pub(super) fn new(connect: &Arc<Connect>) -> Self {
        Hub {
            connect: Arc::clone(connect),
            listeners: Arc::new(Listeners {
                lib: connect.library(),
                all: Mutex::default(),
            }),
            ids: Mutex::default(),
        }
    }

    /// Registers `listener` for the lifecycle and reboot events of the domain `uuid`, which need
    /// not exist yet.
    pub(super) fn register(
        &self,
        uuid: uuid::Uuid,
        listener: &Arc<dyn Listener>,
    ) -> Result<Registration, Refused> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        self.ask()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let registered = (uuid, Arc::clone(listener));
        self.listeners.lock().insert(number, registered);
        Ok(Registration {
            listeners: Arc::clone(&self.listeners),
            number,
        })
    }

    /// Asks libvirt for the events, once.
    fn ask(&self) -> Result<(), Refused> {
        type Lifecycle = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            c_int,
            c_int,
            *mut c_void,
        ) -> c_int;
        type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);

        let mut ids = self.ids.lock().unpoisoned();
        // SAFETY: libvirt casts the callback back to the type that the event id 0 (lifecycle)
        // documents, which is the type it has here.
        let lifecycle = unsafe { std::mem::transmute::<Lifecycle, Generic>(on_lifecycle) };
        let all = [
            (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
            (sys::VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot as Generic),
        ];
        for (id, callback) in all.into_iter().skip(ids.len()) {
            let opaque = Box::into_raw(Box::new(Arc::clone(&self.listeners))).cast::<c_void>();
            // SAFETY: the connection is valid, and no domain means every domain; `opaque` is a
            // Box<Arc<Listeners>> that libvirt hands to the callbacks, and to `free_opaque`
            // exactly once, after the last callback.
            let number = unsafe {
                (self.listeners.lib.virConnectDomainEventRegisterAny)(
                    self.connect.as_ptr(),
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
                return Err(Refused::last(self.listeners.lib));
            }
            ids.push(number);
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let ids = self.ids.get_mut().unpoisoned();
        for id in ids.drain(..) {
            // SAFETY: the connection is still open, since we hold it, and each id is given back once.
            unsafe {
                (self.listeners.lib.virConnectDomainEventDeregisterAny)(self.connect.as_ptr(), id)
            };
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
    // SAFETY: `opaque` is the Box of `Hub::ask`, alive until `free_opaque`.
    let listeners = unsafe { &*opaque.cast::<Arc<Listeners>>() };
    for listener in listeners.of(domain) {
        listener.lifecycle(event as u32, detail as u32);
    }
    0
}

unsafe extern "C" fn on_reboot(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_lifecycle`.
    let listeners = unsafe { &*opaque.cast::<Arc<Listeners>>() };
    for listener in listeners.of(domain) {
        listener.rebooted();
    }
}

unsafe extern "C" fn free_opaque(opaque: *mut c_void) {
    // SAFETY: called once for each Box that `Hub::ask` gave away.
    drop(unsafe { Box::from_raw(opaque.cast::<Arc<Listeners>>()) });
}

/// Starts the thread that runs libvirt's event loop, once in the life of the process.
pub(super) fn start_event_loop(lib: &'static Library) -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let failed = || Refused::last(lib).message().to_owned();
    STARTED
        .get_or_init(|| {
            libvirt::silence(lib);
            // SAFETY: the loop is registered once, before anything that needs it.
            if unsafe { (lib.virEventRegisterDefaultImpl)() } < 0 {
                return Err(failed());
            }
            // SAFETY: the callback takes no data. It makes the loop turn twice a second, so that
            // what other threads add is seen.
            let timer = unsafe { (lib.virEventAddTimeout)(500, Some(tick), ptr::null_mut(), None) };
            if timer < 0 {
                return Err(failed());
            }
            std::thread::Builder::new()
                .name("libvirt events".into())
                // SAFETY: the loop is registered, and this is the only thread that runs it.
                .spawn(move || while unsafe { (lib.virEventRunDefaultImpl)() } >= 0 {})
                .map(drop)
                .map_err(|e| e.to_string())
        })
        .clone()
}

unsafe extern "C" fn tick(_: c_int, _: *mut c_void) {}
