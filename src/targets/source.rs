//! The disk that artifacts are made from, and what several targets need of it, made once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::guests::{Guests, Inside};
use super::tree::Tree;
use crate::error::Result;
use crate::host::accel::Accel;
use crate::mutex::Unpoisoned as _;
use crate::pack;
use crate::ui::StageUi;

/// A disk with one operating system.
#[derive(Debug)]
pub struct SystemDisk {
    disk: PathBuf,
    format: &'static str,
    scratch: PathBuf,
    accel: Accel,
    flat: Mutex<Option<PathBuf>>,
    tree: Mutex<Option<Arc<Tree>>>,
    guests: Arc<Guests>,
}

impl SystemDisk {
    /// A disk in the format `raw` or `qcow2`, with its backing files; copies go to `scratch`.
    pub fn new(disk: PathBuf, format: &'static str, scratch: PathBuf, accel: Accel) -> Self {
        SystemDisk {
            disk,
            format,
            scratch,
            accel,
            flat: Mutex::default(),
            tree: Mutex::default(),
            guests: Arc::new(Guests::of_host()),
        }
    }

    /// A qcow2 made from this disk, with a directory of its own for copies; the guests of both
    /// count together.
    pub fn derived(&self, disk: PathBuf, scratch: PathBuf) -> Self {
        SystemDisk {
            guests: Arc::clone(&self.guests),
            ..SystemDisk::new(disk, "qcow2", scratch, self.accel)
        }
    }

    /// Waits until guests may run by `accel`; they may while the result lives.
    pub fn guests(&self, accel: Accel) -> Inside<'_> {
        self.guests.enter(accel)
    }

    pub(crate) fn disk(&self) -> &Path {
        &self.disk
    }

    /// Its format, as QEMU calls it.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// What runs an appliance.
    pub fn accel(&self) -> Accel {
        self.accel
    }

    /// The disk as one sparse raw file. The first who asks makes it.
    ///
    /// # Errors
    /// When `qemu-img` fails or the disk is full.
    pub fn flat(&self, ui: &StageUi) -> Result<PathBuf> {
        if self.format == "raw" {
            return Ok(self.disk.clone());
        }
        let mut flat = self.flat.lock().unpoisoned();
        if let Some(path) = &*flat {
            return Ok(path.clone());
        }
        let path = self.scratch.join("flat.raw");
        ui.step("flattening the disk");
        pack::flatten(&self.disk, self.format, &path, ui)?;
        Ok(flat.insert(path).clone())
    }

    /// The disk's files. The first who asks lists them.
    ///
    /// # Errors
    /// When the disk has no operating system or several, or cannot be read.
    pub(crate) fn tree(&self, ui: &StageUi) -> Result<Arc<Tree>> {
        let mut tree = self.tree.lock().unpoisoned();
        if let Some(tree) = &*tree {
            return Ok(Arc::clone(tree));
        }
        let read = Tree::read(self, &self.scratch, ui)?;
        Ok(Arc::clone(tree.insert(Arc::new(read))))
    }
}
