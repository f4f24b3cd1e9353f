//! Runs guests: each with a folder of its own below the target folder, where its results go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::cache;
use super::guest;
use super::junit;
use super::kernels::Kernel;
use super::payload::{Built, Payload};
use super::port;
use super::qemu::{self, Console, Files, Hardware};
use super::results::{Ending, Results};
use super::selection::Scope;

/// How often a guest is booted at most.
const BOOTS_MAX: u32 = 2;

/// A guest to be run.
pub struct Guest {
    /// Its kernel.
    pub kernel: Kernel,
    /// What the kernel starts from.
    pub initramfs: PathBuf,
    /// What it is for.
    pub scope: Scope,
}

/// All that guests are made of.
pub struct Prepared {
    /// The guests.
    pub guests: Vec<Guest>,
    /// Their root image.
    pub root: PathBuf,
    /// What they run.
    pub built: Built,
    /// Results and disks go below it.
    pub work: PathBuf,
    /// Parts of the names of the tests that are wanted.
    pub filters: Vec<String>,
    /// What each is given of the machine.
    pub hardware: Hardware,
    /// How long one test may take.
    pub test_seconds_max: u64,
}

impl Guest {
    /// What people call it, and what its folder is called.
    #[must_use]
    pub fn label(&self) -> String {
        let systemd = if self.scope.has_systemd() { "-systemd" } else { "" };
        format!("{}{systemd}", self.kernel.prefix)
    }

    fn words(&self) -> Vec<&'static str> {
        if self.scope.has_systemd() { vec!["vm.systemd"] } else { Vec::new() }
    }

    fn files(&self, prepared: &Prepared, payload: &Payload, folder: &Path) -> Files {
        Files {
            kernel: self.kernel.image(),
            initramfs: self.initramfs.clone(),
            root: prepared.root.clone(),
            payload: payload.disk(),
            port: folder.join("port"),
        }
    }
}

impl Prepared {
    /// What that guest would run.
    ///
    /// # Errors
    /// When its disk cannot be made.
    pub fn payload(&self, guest: &Guest) -> Result<Payload> {
        self.built.payload(&self.work, guest.scope, &self.filters, self.test_seconds_max)
    }
}

/// Runs all guests that have something to run, `jobs` at once; the results are in the order of the guests.
///
/// # Errors
/// When a guest cannot be started, or none has anything to run.
pub fn all(prepared: &Prepared, jobs: usize) -> Result<Vec<(String, Results)>> {
    let waiting = Mutex::new(prepared.guests.iter().enumerate());
    let next = || waiting.lock().expect("no holder panics").next();
    let worker = || -> Result<Vec<(usize, String, Results)>> {
        let mut finished = Vec::new();
        while let Some((index, guest)) = next() {
            if let Some(results) = one(prepared, guest)? {
                finished.push((index, guest.label(), results));
            }
        }
        Ok(finished)
    };
    let workers: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let mut finished: Vec<_> =
        workers.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    finished.sort_by_key(|(index, _, _)| *index);
    ensure!(!finished.is_empty(), "vm: no test has such a name: {}", prepared.filters.join(" "));
    Ok(finished.into_iter().map(|(_, label, results)| (label, results)).collect())
}

/// Runs one, unless it has nothing to run.
fn one(prepared: &Prepared, guest: &Guest) -> Result<Option<Results>> {
    let (label, package) = (guest.label(), &guest.kernel.package);
    let payload = prepared.payload(guest)?;
    if payload.plan.is_empty() {
        eprintln!("{label}: has none of the tests to run");
        return Ok(None);
    }
    let folder = prepared.work.join(&label);
    let _lock = cache::lock(&prepared.work.join(format!("{label}.lock")))?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    eprintln!("{label}: {} tests on {} {}", payload.plan.len(), package.name, package.version);
    let began = Instant::now();
    let (ending, boots) = boot(prepared, guest, &payload, &folder)?;
    let mut results = Results {
        kernel: guest.kernel.prefix.clone(),
        package: package.clone(),
        systemd: guest.scope.has_systemd(),
        boots,
        seconds: began.elapsed().as_secs_f64(),
        left_out: payload.left_out.clone(),
        ..Results::default()
    };
    let told = port::read(&fs::read(folder.join("port"))?);
    let console = String::from_utf8_lossy(&fs::read(folder.join("console.txt"))?).into_owned();
    results.judge(&payload.plan, &told, ending, &console);
    write(&folder, &label, &results)?;
    Ok(Some(results))
}

/// Boots it, and once more when it dies before its payload starts.
fn boot(prepared: &Prepared, guest: &Guest, payload: &Payload, folder: &Path) -> Result<(Ending, u32)> {
    let files = guest.files(prepared, payload, folder);
    let console = folder.join("console.txt");
    for boot in 1.. {
        let mut qemu =
            qemu::command(prepared.hardware, &files, &Console::File(console.clone()), &guest.words());
        let ending = guest::run(&mut qemu, &console, &files.port, &guest.label(), prepared.test_seconds_max)?;
        if ending != Ending::NeverReady || boot == BOOTS_MAX {
            return Ok((ending, boot));
        }
        eprintln!("{}: DIED BEFORE ITS PAYLOAD STARTED; it is booted once more", guest.label());
        fs::rename(&console, folder.join("console-of-first-boot.txt")).context("keeping the console")?;
    }
    unreachable!("the last boot returns")
}

fn write(folder: &Path, label: &str, results: &Results) -> Result<()> {
    let writing = || format!("writing results into {}", folder.display());
    let json = serde_json::to_vec_pretty(results)?;
    fs::write(folder.join("results.json"), json).with_context(writing)?;
    fs::write(folder.join("junit.xml"), junit::report(label, results)?).with_context(writing)?;
    fs::remove_file(folder.join("port")).with_context(writing)
}

/// Gives the terminal to a root shell in the only guest.
///
/// # Errors
/// When QEMU cannot start or fails.
pub fn shell(prepared: &Prepared) -> Result<()> {
    let guest = prepared.guests.first().context("vm: no kernel is named")?;
    let payload = prepared.payload(guest)?;
    let files = guest.files(prepared, &payload, Path::new("/dev/null"));
    let files = Files { port: "/dev/null".into(), ..files };
    let words = [guest.words(), vec!["vm.shell"]].concat();
    let status = qemu::command(prepared.hardware, &files, &Console::Terminal, &words).status();
    ensure!(status.context("starting QEMU")?.success(), "QEMU failed");
    Ok(())
}
