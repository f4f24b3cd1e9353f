//! `vm`: boots other kernels in QEMU and runs there the live tests that this host runs: the same binaries.
//!
//! A guest has a kernel of Debian's, a root image that all share, and a disk with programs, tests and a plan. It tells
//! through a port what became of each test; its console is kept. Guests have no network but what tests make in them.
//!
//! *Invariants*: a guest that dies before its payload starts is booted once more, and the results say so. After that
//! nothing is done twice: a test that failed has failed. Nothing of this machine changes but the cache, the target
//! folder and what setup installs.
//!
//! *Not here*: what runs inside a guest. That is `xtask/vm`.

mod apt;
pub mod archive;
mod cache;
mod console;
mod guest;
mod image;
mod initramfs;
mod junit;
mod kernels;
mod page;
mod payload;
mod port;
mod qemu;
pub mod releases;
mod results;
mod round;
mod selection;
mod summary;

pub use initramfs::pack;
pub use payload::write_executable;

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::{setup, shell};
use archive::Archive;
use cache::Cache;
use kernels::{Kernel, MATRIX};
use page::{PAGE, Page};
use payload::Built;
use qemu::Hardware;
use round::{Guest, Prepared};
use selection::Scope;

/// The kernel whose guest has systemd when all kernels are run.
const SYSTEMD_ON: &str = "6.12";
/// More processors make an emulated guest slower.
const CPUS_MAX: usize = 4;

/// Which kernels and tests.
#[derive(clap::Args)]
pub struct Arguments {
    /// Beginnings of versions, such as 6.1, or "newest"; 5.10, 6.1, 6.12 and newest when none is named.
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// A root shell on the terminal instead of the tests, in one kernel.
    #[arg(long)]
    shell: bool,
    /// systemd as the first process. Without kernels named, one such guest runs too.
    #[arg(long)]
    systemd: bool,
    /// Only names the kernels and what they run.
    #[arg(long)]
    list: bool,
    /// Asks the archive for newer kernels now, and makes the root image anew.
    #[arg(long)]
    update: bool,
    /// Writes docs/kernels.md when nothing failed; takes all kernels.
    #[arg(long, conflicts_with_all = ["kernels", "shell", "systemd", "list"])]
    page: bool,
    /// Guests that run at once; as many as this machine has processors when not given.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Processors of each guest; this machine's, shared among guests, when not given. One hides races.
    #[arg(long, value_name = "N")]
    cpus: Option<usize>,
    /// Memory of each guest.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// Most seconds that one test may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    limit: u64,
    /// Parts of `binary::test`; all tests when there is none.
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Prepares what is missing, runs the guests, sums up.
///
/// # Errors
/// When something failed, in a guest or before.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::for_vm()?;
    let work = shell::target_folder().join("vm");
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let guests = guests(arguments);
    ensure!(!arguments.shell || guests.len() == 1, "vm: --shell takes one kernel");
    let (jobs, cpus) =
        shares(arguments, guests.len(), thread::available_parallelism().map_or(1, usize::from));
    let code = page::capture_code()?;
    let prepared = prepare(arguments, guests, work, cpus)?;
    if arguments.list {
        print!("{}", summary::plans(&prepared)?);
        return Ok(());
    }
    if arguments.shell {
        return round::shell(&prepared);
    }
    let results = round::all(&prepared, jobs)?;
    let page = Page::read()?;
    let dearer = page.dearer(&results);
    dearer.iter().for_each(|it| println!("{it}"));
    if !page.is_of(&code) {
        println!(
            "{PAGE} was not made from this capture code by all tests; make it anew: cargo xtask vm --page"
        );
    }
    print!("{}", summary::table(&results, dearer.len()));
    if !dearer.is_empty() || results.iter().any(|(_, results)| results.sums()[1] > 0) {
        bail!("some tests failed; consoles and results are in {}", prepared.work.display());
    }
    if arguments.page { page::write(&results, &arguments.filters, &code) } else { Ok(()) }
}

/// The kernel of that prefix, as what a computer starts.
///
/// # Errors
/// When there is none.
pub fn kernel_image(prefix: &str) -> Result<PathBuf> {
    Ok(Kernel::get(&Cache::open()?, &Archive::of_this_machine()?, prefix, false)?.image())
}

/// Whether the capture code is what all tests ran on, on all kernels, when the page was made.
///
/// # Errors
/// When the page or the code cannot be read.
pub fn has_seen_this_code() -> Result<bool> {
    Ok(Page::read()?.is_of(&page::capture_code()?))
}

/// The kernels and scopes that the arguments ask for.
fn guests(arguments: &Arguments) -> Vec<(String, Scope)> {
    let scope = if arguments.systemd { Scope::Systemd } else { Scope::Plain };
    if !arguments.kernels.is_empty() {
        return arguments.kernels.iter().map(|prefix| (prefix.clone(), scope)).collect();
    }
    let mut guests: Vec<_> = MATRIX.iter().map(|prefix| ((*prefix).to_owned(), scope)).collect();
    if !arguments.systemd {
        guests.push((SYSTEMD_ON.to_owned(), Scope::SystemdAlone));
    }
    guests
}

/// How many guests run at once, and how many processors each has: an emulated processor keeps a real one busy, and
/// two guests with one each come further than one with two, for whom every change of shared memory is dear.
fn shares(arguments: &Arguments, guests: usize, processors: usize) -> (usize, usize) {
    let jobs = arguments.jobs.unwrap_or(processors).clamp(1, guests.max(1));
    (jobs, arguments.cpus.unwrap_or(processors / jobs).clamp(1, CPUS_MAX))
}

/// Everything that guests are made of. The cache is locked until it is there.
fn prepare(
    arguments: &Arguments,
    guests: Vec<(String, Scope)>,
    work: PathBuf,
    cpus: usize,
) -> Result<Prepared> {
    let built = Built::new(&work)?;
    let cache = Cache::open()?;
    let archive = Archive::of_this_machine()?;
    qemu::ensure(&cache, &archive)?;
    let root = image::build(&cache, &archive, arguments.update)?;
    let guest = |(prefix, scope): (String, Scope)| {
        let kernel = Kernel::get(&cache, &archive, &prefix, arguments.update)?;
        let initramfs = initramfs::build(&cache, &kernel)?;
        Ok(Guest { kernel, initramfs, scope })
    };
    Ok(Prepared {
        guests: guests.into_iter().map(guest).collect::<Result<_>>()?,
        root,
        built,
        work,
        filters: arguments.filters.clone(),
        hardware: Hardware { cpus, memory_mib: arguments.memory },
        test_seconds_max: arguments.limit,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn check(line: &str, expected: &[(&str, Scope)], filters: &[&str]) {
        let arguments = Whole::parse_from(line.split(' ')).arguments;
        let guests = guests(&arguments);
        let guests: Vec<_> = guests.iter().map(|(prefix, scope)| (prefix.as_str(), *scope)).collect();
        assert_eq!(guests, expected, "{line}");
        assert_eq!(arguments.filters, filters, "{line}");
    }

    #[test]
    fn what_is_asked_for_is_run() {
        use Scope::{Plain, Systemd, SystemdAlone};
        let matrix = [("5.10", Plain), ("6.1", Plain), ("6.12", Plain), ("newest", Plain)];
        check("vm -- wire", &[&matrix[..], &[("6.12", SystemdAlone)]].concat(), &["wire"]);
        check("vm 6.1 newest -- lab tls", &[("6.1", Plain), ("newest", Plain)], &["lab", "tls"]);
        check("vm --systemd 6.12", &[("6.12", Systemd)], &[]);
    }

    #[test]
    fn guests_share_the_processors() {
        for (line, guests, processors, expected) in [
            ("vm", 1, 2, (1, 2)),
            ("vm", 5, 2, (2, 1)),
            ("vm", 5, 16, (5, 3)),
            ("vm", 1, 16, (1, 4)),
            ("vm --jobs 1", 5, 2, (1, 2)),
            ("vm --jobs 2 --cpus 2", 5, 2, (2, 2)),
            ("vm --cpus 1", 1, 2, (1, 1)),
        ] {
            let arguments = Whole::parse_from(line.split(' ')).arguments;
            assert_eq!(shares(&arguments, guests, processors), expected, "{line} {guests} {processors}");
        }
    }
}
