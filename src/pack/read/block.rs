//! Decodes one block: it becomes a stream of its own, which liblzma checks completely.

use std::io::Read;

use xz2::stream::{Action, Status, Stream};

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::pack::container;
use crate::units::Size;

/// Bytes given to the decoder at once.
const SLICE: usize = 256 << 10;

/// Bytes handed to the sink at once; the block's start is a multiple of no less than a page.
pub(super) const CHUNK: usize = 1 << 20;

/// Where decoded bytes go: their place in the block, and they.
pub(super) type Sink<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + 'a;

/// Decodes block `index` of `layout`, whose bytes `input` gives. The decoder may use `memory`
/// bytes.
pub(super) fn decode(
    layout: &Layout,
    index: usize,
    input: &mut dyn Read,
    memory: u64,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let place = &layout.blocks()[index];
    let damaged = |why: &str| damaged(index, why);
    let failed = |error| failed(index, error, memory);
    let header = container::stream_header(layout.flags());
    let end = container::end(layout.flags(), &[place.record()]);
    let mut input = header.chain(input.take(place.stored)).chain(&*end);
    let mut stream = Stream::new_stream_decoder(memory, 0).map_err(failed)?;
    let mut given = vec![0; SLICE];
    let mut out = Vec::with_capacity(CHUNK);
    let mut done = 0;
    loop {
        let got = input.read(&mut given).map_err(cannot_read)?;
        let mut slice = &given[..got];
        loop {
            let before = (stream.total_in(), stream.total_out());
            let action = if got == 0 {
                Action::Finish
            } else {
                Action::Run
            };
            let status = stream
                .process_vec(slice, &mut out, action)
                .map_err(failed)?;
            slice = &slice[(stream.total_in() - before.0) as usize..];
            if stream.total_out() > place.len {
                return Err(damaged("it has more bytes than the index says"));
            }
            let ended = status == Status::StreamEnd;
            if out.len() == CHUNK || (ended && !out.is_empty()) {
                sink(done, &out)?;
                done += out.len() as u64;
                out.clear();
            }
            match status {
                Status::StreamEnd if done == place.len && slice.is_empty() => return Ok(()),
                Status::StreamEnd => return Err(damaged("it ends too early")),
                // Nothing more to give, and nothing came: the input ended inside the block.
                _ if got == 0 && (stream.total_in(), stream.total_out()) == before => {
                    return Err(damaged("it is cut short"));
                }
                _ if slice.is_empty() && out.len() < CHUNK => break,
                _ => {}
            }
        }
    }
}

fn cannot_read(cause: std::io::Error) -> Error {
    Error::stage("reading a block failed").cause(cause)
}

fn damaged(index: usize, why: &str) -> Error {
    Error::stage(format!("block {} of the .xz file is damaged", index + 1)).cause(why)
}

fn failed(index: usize, error: xz2::stream::Error, memory: u64) -> Error {
    use xz2::stream::Error as E;
    match error {
        E::MemLimit => Error::host(format!(
            "a block needs more than {} of memory to decode",
            Size::bytes(memory).human()
        ))
        .hint("allow more with --memory, or use fewer threads with -j 1"),
        E::Options => Error::stage("a block uses a filter that this version cannot decode"),
        E::Mem => Error::host("there is not enough memory to decode a block")
            .hint("use fewer threads with -j 1"),
        error => damaged(index, &error.to_string()),
    }
}
