//! An image's disk, read out of its blob: what a machine file needs of it is known before anything is written.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use crate::ext4::{At, Fs};
use crate::gpt::Partition;
use crate::mutex::Unpoisoned as _;
use crate::pack::read::Known;

/// So many blocks are kept.
const KEPT: usize = 4;

/// The disk.
#[derive(Debug)]
pub(super) struct View<'a> {
    image: &'a Known,
    /// Blocks by their number, the latest one first.
    blocks: Mutex<VecDeque<(usize, Vec<u8>)>>,
}

impl View<'_> {
    pub(super) fn new(image: &Known) -> View<'_> {
        View {
            image,
            blocks: Mutex::default(),
        }
    }

    /// The file system of a partition.
    pub(super) fn files(&self, part: &Partition) -> io::Result<Fs<'_>> {
        Fs::open_within(self, part.start(), part.size(), part.size())
    }

    /// A part of one block.
    fn copy(&self, index: usize, from: usize, into: &mut [u8]) -> io::Result<()> {
        let mut blocks = self.blocks.lock().unpoisoned();
        let known = blocks.iter().position(|(number, _)| *number == index);
        let block = match known.and_then(|known| blocks.remove(known)) {
            Some(block) => block,
            None => {
                let place = &self.image.layout().blocks()[index];
                let bytes = self.image.part(place.start..place.start + place.len);
                (index, bytes.map_err(io::Error::other)?)
            }
        };
        into.copy_from_slice(&block.1[from..from + into.len()]);
        blocks.push_front(block);
        blocks.truncate(KEPT);
        Ok(())
    }
}

impl At for View<'_> {
    fn fill(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let places = self.image.layout().blocks();
        let (mut at, mut done) = (at, 0);
        while done < into.len() {
            let index = places.partition_point(|place| place.start + place.len <= at);
            let place = places.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
            let most = (place.start + place.len - at).min((into.len() - done) as u64) as usize;
            let from = (at - place.start) as usize;
            self.copy(index, from, &mut into[done..done + most])?;
            (at, done) = (at + most as u64, done + most);
        }
        Ok(())
    }
}
