//! liblzma's encoder with its tables in huge pages, which are kept from block to block.
//!
//! A match finder jumps about in a hundred MiB and more. In pages of 4 KiB nearly every jump misses the
//! processor's address cache, and memory that is new for each block is a page fault for each of
//! its pages: together about a quarter of the time.
#![allow(
    unsafe_code,
    reason = "the safe wrapper has neither an allocator nor an encoder that starts again"
)]

use std::alloc::{self, Layout};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;

use liblzma_sys as sys;

use crate::error::{Error, Result};

/// The size and alignment of a huge page, in bytes.
const HUGE: usize = 2 << 20;

/// What the encoder does to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    /// liblzma's preset.
    pub(super) preset: u32,
    /// Size of the dictionary in bytes.
    pub(super) dictionary: u32,
    /// Length in bytes of a match that is good enough, if not the preset's.
    pub(super) nice: Option<u32>,
    /// Whether the filter for x86 code comes first.
    pub(super) x86: bool,
}

/// Encodes one stream after the other. Belongs to one thread at a time.
pub(super) struct Encoder {
    stream: sys::lzma_stream,
    // At fixed places: `stream` points to the first, the first to the second.
    _allocator: Box<sys::lzma_allocator>,
    memory: *mut Memory,
}

/// The layouts of what liblzma holds, by address.
#[derive(Default)]
struct Memory(HashMap<usize, Layout>);

// SAFETY: all that it points to is its own, and liblzma keeps no state of a thread.
unsafe impl Send for Encoder {}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder without memory yet.
    pub(super) fn new() -> Self {
        let memory = Box::into_raw(Box::<Memory>::default());
        let allocator = Box::new(sys::lzma_allocator {
            alloc: Some(allocate),
            free: Some(free),
            opaque: memory.cast(),
        });
        // SAFETY: all zeroes is liblzma's LZMA_STREAM_INIT.
        let mut stream: sys::lzma_stream = unsafe { std::mem::zeroed() };
        stream.allocator = &raw const *allocator;
        Encoder {
            stream,
            _allocator: allocator,
            memory,
        }
    }

    /// Begins a `.xz` stream with CRC64. Tables of the same size are used again.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub(super) fn start(&mut self, chain: Chain) -> Result<()> {
        // SAFETY: plain numbers and pointers, of which zeroes are valid; the preset sets them.
        let mut options: sys::lzma_options_lzma = unsafe { std::mem::zeroed() };
        // SAFETY: `options` is valid and ours.
        if unsafe { sys::lzma_lzma_preset(&raw mut options, chain.preset) } != 0 {
            return Err(Error::internal("liblzma does not know the preset"));
        }
        options.dict_size = chain.dictionary;
        options.nice_len = chain.nice.unwrap_or(options.nice_len);
        let filter = |id, options| sys::lzma_filter { id, options };
        let all = [
            filter(sys::LZMA_FILTER_X86, ptr::null_mut()),
            filter(sys::LZMA_FILTER_LZMA2, (&raw mut options).cast()),
            filter(sys::LZMA_VLI_UNKNOWN, ptr::null_mut()),
        ];
        let filters = &all[usize::from(!chain.x86)..];
        // SAFETY: the stream was initialised, the filters end with the mark, and liblzma copies
        // the options.
        let code = unsafe {
            sys::lzma_stream_encoder(
                &raw mut self.stream,
                filters.as_ptr(),
                sys::LZMA_CHECK_CRC64,
            )
        };
        self.stream.total_in = 0;
        self.stream.total_out = 0;
        match code {
            sys::LZMA_OK => Ok(()),
            code => Err(failed(code)),
        }
    }

    /// Encodes `input`, and the end of the stream if it is the `last`, behind what `out` has.
    ///
    /// # Errors
    /// When liblzma fails.
    pub(super) fn push(&mut self, input: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        let action = if last {
            sys::LZMA_FINISH
        } else {
            sys::LZMA_RUN
        };
        self.stream.next_in = input.as_ptr();
        self.stream.avail_in = input.len();
        loop {
            out.reserve(64 << 10);
            let room = out.spare_capacity_mut();
            self.stream.next_out = room.as_mut_ptr().cast();
            self.stream.avail_out = room.len();
            let before = room.len();
            // SAFETY: both buffers live through the call and have the sizes that are given.
            let code = unsafe { sys::lzma_code(&raw mut self.stream, action) };
            let written = before - self.stream.avail_out;
            // SAFETY: liblzma wrote so many bytes into the spare room.
            unsafe { out.set_len(out.len() + written) };
            match code {
                sys::LZMA_STREAM_END => return Ok(()),
                sys::LZMA_OK if last || self.stream.avail_in > 0 => {}
                sys::LZMA_OK => return Ok(()),
                code => return Err(failed(code)),
            }
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: frees what liblzma holds through the allocator, which is still there; then
        // nobody points to the list any more.
        unsafe {
            sys::lzma_end(&raw mut self.stream);
            drop(Box::from_raw(self.memory));
        }
    }
}

fn failed(code: sys::lzma_ret) -> Error {
    let error = Error::stage("the xz encoder failed");
    match code {
        sys::LZMA_MEM_ERROR => error
            .cause("there is not enough memory")
            .hint("lower `--memory` or `-j`"),
        code => error.cause(format!("liblzma's code {code}")),
    }
}

extern "C" fn allocate(opaque: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size).filter(|bytes| *bytes > 0) else {
        return ptr::null_mut();
    };
    let huge = bytes >= HUGE;
    let Ok(layout) = Layout::from_size_align(bytes, if huge { HUGE } else { 16 }) else {
        return ptr::null_mut();
    };
    // SAFETY: the layout is not empty.
    let at = unsafe { alloc::alloc(layout) };
    if at.is_null() {
        return ptr::null_mut();
    }
    if huge {
        // SAFETY: advice for our own pages, of which it changes no byte. Without huge pages
        // it is only slower.
        let _ = unsafe { rustix::mm::madvise(at.cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
    }
    // SAFETY: `opaque` is the list of the one encoder that calls this, on its thread.
    let memory = unsafe { &mut *opaque.cast::<Memory>() };
    memory.0.insert(at as usize, layout);
    at.cast()
}

extern "C" fn free(opaque: *mut c_void, at: *mut c_void) {
    // SAFETY: as in `allocate`.
    let memory = unsafe { &mut *opaque.cast::<Memory>() };
    if let Some(layout) = memory.0.remove(&(at as usize)) {
        // SAFETY: `allocate` gave it with this layout.
        unsafe { alloc::dealloc(at.cast(), layout) };
    }
}
