//! A file system for tests that keeps apart what a program sees and what a crash leaves.
//!
//! Content is durable by pages of 4096 bytes: a crash keeps any subset of the pages not synced, and any length
//! between the durable one and the seen one. Changes of names are durable after the directory's sync; a crash keeps
//! any subset of the others. After a failed sync the pages count as clean, as they do in Linux: seen, and
//! never written.

use core::ops::Range;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use crate::files::{Files, Listed};

const PAGE: usize = 4096;

/// What a step does instead of succeeding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// EIO; a write may have written a part.
    Io,
    /// ENOSPC; a write may have written a part.
    Full,
    /// The machine stops in the middle of it.
    Crash,
}

/// Handles to one directory; clones see the same.
#[derive(Clone)]
pub struct ModelFiles {
    disk: Rc<RefCell<Model>>,
    has_lock: bool,
}

struct Model {
    random: fastrand::Rng,
    inodes: Vec<Inode>,
    seen: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    changes: Vec<Change>,
    step: u64,
    fault: Option<(Range<u64>, Fault)>,
    fault_happened: bool,
    is_down: bool,
    is_locked: bool,
    free: u64,
    bad_reads: Option<(String, Range<u64>)>,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Inode {
    fn write_back(&mut self, pages: impl Iterator<Item = usize>, bytes: usize) {
        self.durable.resize(bytes, 0);
        for page in pages {
            let range = (page * PAGE).min(bytes)..((page + 1) * PAGE).min(bytes).min(self.seen.len());
            if let Some(seen) = self.seen.get(range.clone()) {
                self.durable[range].copy_from_slice(seen);
            }
        }
    }

    fn write_back_some(&mut self, random: &mut fastrand::Rng) {
        let keep_all = random.u8(..4) == 0;
        let pages: Vec<_> = self.dirty.iter().copied().filter(|_| keep_all || random.bool()).collect();
        let (low, high) = (self.durable.len().min(self.seen.len()), self.durable.len().max(self.seen.len()));
        let bytes = [low, high, random.usize(low..=high)][random.usize(..3)];
        self.write_back(pages.into_iter(), bytes);
    }
}

impl Model {
    /// Counts a step that may fail.
    fn step(&mut self) -> Result<(), Fault> {
        if self.is_down {
            return Err(Fault::Crash);
        }
        self.step += 1;
        match &self.fault {
            Some((steps, fault)) if steps.contains(&self.step) => {
                self.fault_happened = true;
                self.is_down = *fault == Fault::Crash;
                Err(*fault)
            }
            _ => Ok(()),
        }
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.seen.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.changes.push(change);
    }

    fn keep_some_changes(&mut self) {
        let keep_all = self.random.u8(..4) == 0;
        for change in self.changes.drain(..) {
            if keep_all || self.random.bool() {
                apply(&mut self.durable, &change);
            }
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

fn error(fault: Fault) -> io::Error {
    let errno = match fault {
        Fault::Io => rustix::io::Errno::IO,
        Fault::Full => rustix::io::Errno::NOSPC,
        Fault::Crash => rustix::io::Errno::SHUTDOWN,
    };
    errno.into()
}

impl ModelFiles {
    pub fn new(seed: u64) -> Self {
        let disk = Model {
            random: fastrand::Rng::with_seed(seed),
            inodes: Vec::new(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            step: 0,
            fault: None,
            fault_happened: false,
            is_down: false,
            is_locked: false,
            free: u64::MAX,
            bad_reads: None,
        };
        Self { disk: Rc::new(RefCell::new(disk)), has_lock: false }
    }

    /// A handle as another process has it.
    pub fn another(&self) -> Self {
        Self { disk: self.disk.clone(), has_lock: false }
    }

    pub fn steps(&self) -> u64 {
        self.disk.borrow().step
    }

    /// These steps fail, counted from the start of the world.
    pub fn fail_at(&self, steps: Range<u64>, fault: Fault) {
        self.disk.borrow_mut().fault = Some((steps, fault));
    }

    /// True once after a fault.
    pub fn take_fault(&self) -> bool {
        core::mem::take(&mut self.disk.borrow_mut().fault_happened)
    }

    pub fn is_down(&self) -> bool {
        self.disk.borrow().is_down
    }

    pub fn set_free(&self, bytes: u64) {
        self.disk.borrow_mut().free = bytes;
    }

    /// Reads of these bytes of a file end in EIO.
    pub fn break_reads(&self, name: &str, bytes: Range<u64>) {
        self.disk.borrow_mut().bad_reads = Some((name.to_owned(), bytes));
    }

    /// The machine stops, and comes up again with what was durable and some of the rest.
    pub fn crash(&self) {
        let disk = &mut *self.disk.borrow_mut();
        disk.keep_some_changes();
        for inode in &mut disk.inodes {
            inode.write_back_some(&mut disk.random);
            inode.seen = inode.durable.clone();
            inode.dirty.clear();
        }
        disk.seen = disk.durable.clone();
        disk.is_down = false;
        disk.is_locked = false;
    }

    pub fn names(&self) -> Vec<String> {
        self.disk.borrow().seen.keys().cloned().collect()
    }

    /// Changes a file behind the spool's back.
    pub fn damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let disk = &mut *self.disk.borrow_mut();
        let inode = disk.inode(name).unwrap();
        damage(&mut disk.inodes[inode].seen);
        disk.inodes[inode].durable = disk.inodes[inode].seen.clone();
    }
}

impl Drop for ModelFiles {
    fn drop(&mut self) {
        if self.has_lock {
            self.disk.borrow_mut().is_locked = false;
        }
    }
}

impl Files for ModelFiles {
    type File = usize;

    fn lock(&mut self) -> io::Result<bool> {
        let disk = &mut *self.disk.borrow_mut();
        if disk.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (self.has_lock, disk.is_locked) = (true, true);
        let is_new = !disk.seen.contains_key("lock");
        if is_new {
            disk.inodes.push(Inode::default());
            let inode = disk.inodes.len() - 1;
            disk.change(Change::Create("lock".to_owned(), inode));
        }
        Ok(is_new)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let disk = self.disk.borrow();
        let listed = |(name, &inode): (&String, &usize)| Listed {
            name: name.clone(),
            bytes: disk.inodes[inode].seen.len() as u64,
        };
        Ok(disk.seen.iter().map(listed).collect())
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let disk = self.disk.borrow();
        let end = offset.saturating_add(bytes_max as u64);
        let is_bad =
            |(bad, bytes): &(String, Range<u64>)| bad == name && offset < bytes.end && bytes.start < end;
        if disk.bad_reads.as_ref().is_some_and(is_bad) {
            return Err(error(Fault::Io));
        }
        let bytes = &disk.inodes[disk.inode(name)?].seen;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        Ok(bytes[from..].iter().copied().take(bytes_max).collect())
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        let disk = &mut *self.disk.borrow_mut();
        disk.step().map_err(error)?;
        disk.inodes.push(Inode::default());
        let inode = disk.inodes.len() - 1;
        disk.change(Change::Create(name.to_owned(), inode));
        Ok(inode)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        let outcome = disk.step();
        let count = match outcome {
            Ok(()) => bytes.len(),
            Err(_) => disk.random.usize(..=bytes.len()),
        };
        let inode = &mut disk.inodes[*file];
        let from = inode.seen.len();
        inode.seen.extend_from_slice(&bytes[..count]);
        inode.dirty.extend(from / PAGE..(from + count).div_ceil(PAGE));
        outcome.map_err(error)
    }

    fn sync(&self, file: &mut usize) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        let outcome = disk.step();
        let inode = &mut disk.inodes[*file];
        if outcome.is_ok() {
            let bytes = inode.seen.len();
            let dirty = core::mem::take(&mut inode.dirty);
            inode.write_back(dirty.into_iter(), bytes);
        } else if outcome != Err(Fault::Crash) {
            inode.write_back_some(&mut disk.random);
            inode.dirty.clear();
        }
        outcome.map_err(error)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        disk.step().map_err(error)?;
        disk.inode(from)?;
        disk.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        disk.step().map_err(error)?;
        disk.inode(name)?;
        disk.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        disk.step().map_err(error)?;
        let inode = disk.inode(name)?;
        let inode = &mut disk.inodes[inode];
        let bytes = usize::try_from(bytes).unwrap();
        inode.seen.resize(bytes, 0);
        let dirty = core::mem::take(&mut inode.dirty);
        inode.write_back(dirty.into_iter(), bytes);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let disk = &mut *self.disk.borrow_mut();
        match disk.step() {
            Ok(()) => {
                disk.changes.clear();
                disk.durable = disk.seen.clone();
                Ok(())
            }
            Err(fault) => {
                if fault != Fault::Crash && disk.random.bool() {
                    disk.keep_some_changes();
                }
                Err(error(fault))
            }
        }
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.disk.borrow().free)
    }
}
