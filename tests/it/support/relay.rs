//! A way to a server that breaks when so many bytes have gone, and stays broken until it is mended.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The way, and how many bytes may go there and back.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    there: AtomicI64,
    back: AtomicI64,
    /// It mends itself when it broke.
    once: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn mend(&self) {
        self.there.store(i64::MAX, Ordering::SeqCst);
        self.back.store(i64::MAX, Ordering::SeqCst);
    }

    fn is_broken(&self) -> bool {
        [&self.there, &self.back]
            .iter()
            .any(|left| left.load(Ordering::SeqCst) < 0)
    }
}

impl Relay {
    pub(crate) fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let relay = Relay {
            address,
            shared: Arc::clone(&shared),
        };
        relay.mend();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                if shared.is_broken() {
                    continue;
                }
                for back in [false, true] {
                    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    let (from, to) = if back { (to, from) } else { (from, to) };
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || pass(from, to, &shared, back));
                }
            }
        });
        relay
    }

    /// Lets everything through.
    pub(crate) fn mend(&self) {
        self.shared.mend();
    }

    /// Breaks one connection when so many bytes have gone there.
    pub(crate) fn break_once_after(&self, there: i64) {
        self.shared.once.store(true, Ordering::SeqCst);
        self.break_after(there, i64::MAX);
    }

    /// Breaks when so many bytes have gone there, or so many back.
    pub(crate) fn break_after(&self, there: i64, back: i64) {
        self.shared.there.store(there, Ordering::SeqCst);
        self.shared.back.store(back, Ordering::SeqCst);
    }

    /// How many bytes came back since it was mended.
    pub(crate) fn came(&self) -> i64 {
        i64::MAX - self.shared.back.load(Ordering::SeqCst)
    }

    /// How many bytes went there since it was mended.
    pub(crate) fn went(&self) -> i64 {
        i64::MAX - self.shared.there.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, back: bool) {
    let left = if back { &shared.back } else { &shared.there };
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        left.fetch_sub(i64::try_from(read).unwrap(), Ordering::SeqCst);
        if shared.is_broken() || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    if shared.once.swap(false, Ordering::SeqCst) {
        shared.mend();
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
