//! What a dead agent left in its spool, read from a copy with the collector's key.

use std::fs;
use std::path::Path;

use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{Entry, Report};
use cprvagt_spool::{check, export};

use crate::world::{Leaks, identity};

/// A spool that nobody has open.
pub struct Spooled {
    /// Every leak that was ever committed in it and is still on the disk, acknowledged or not.
    pub committed: Leaks,
    /// How many of these wait for a receipt.
    pub waiting: usize,
    /// Whether its owner closed it.
    pub is_closed: bool,
}

impl Spooled {
    /// Copies `spool` to `copy`, which must not exist, and reads that.
    pub fn read(spool: &Path, copy: &Path, key: &PrivateKey) -> Self {
        fs::create_dir(copy).unwrap();
        for entry in fs::read_dir(spool).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        let is_closed = check(copy).unwrap().is_closed;
        let waiting = leaks(copy, key).len();
        // Without its cursor the spool shows what was acknowledged too.
        let _there_is_none_yet = fs::remove_file(copy.join("state"));
        let committed = leaks(copy, key);
        fs::remove_dir_all(copy).unwrap();
        Self { committed, waiting, is_closed }
    }
}

fn leaks(folder: &Path, key: &PrivateKey) -> Leaks {
    let mut leaks = Leaks::new();
    let show = |stored: cprvagt_spool::Stored| {
        let report = Report::open(&stored.payload, key).expect("sealed to the collector, and intact");
        for entry in report.entries {
            if let Entry::Leak(leak) = entry {
                leaks.extend([identity(&serde_json::to_value(leak).unwrap())]);
            }
        }
        true
    };
    export(folder, show).unwrap();
    leaks
}
