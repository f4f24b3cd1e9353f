//! Two containers' worth of mounts over one libssl: two paths, two device numbers, one file, one leak.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cprvagt_tests::authority::BOTH_VERSIONS;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::mounted::Mounted;
use cprvagt_tests::network::Family;
use cprvagt_tests::program::library;
use cprvagt_tests::server::{Server, Speaks};
use cprvagt_tests::writes::{Client, Connection, Write};
use cprvagt_tests::{Expected, Lab, Trial, payload};

const HOST: &str = "maal.analyse.example";
const LIMIT: Duration = Duration::from_secs(180);
const LIBRARIES: [&str; 2] = ["libssl.so.3", "libcrypto.so.3"];

/// An overlay over one layer.
fn overlay(folder: &Path, name: &str, lower: &Path) -> anyhow::Result<Mounted> {
    let [upper, work, merged] = ["upper", "work", "merged"].map(|part| folder.join(format!("{name}-{part}")));
    [&upper, &work, &merged].into_iter().for_each(|part| fs::create_dir(part).unwrap());
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    Mounted::over(&merged, "overlay", &options)
}

/// Each process writes, waits until both attachments are known and the second is gone, and writes again.
#[test]
fn one_write_through_two_mounts_of_one_file_is_one_leak() {
    let name = "one_write_through_two_mounts_of_one_file_is_one_leak";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("ldconfig")]) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let lower = lab.scratch().path().join("lower");
    fs::create_dir(&lower).unwrap();
    for library in LIBRARIES.map(library) {
        fs::copy(&library, lower.join(library.file_name().unwrap())).unwrap();
    }
    let mount = |name| overlay(lab.scratch().path(), name, &lower);
    let overlays = match (mount("a"), mount("b")) {
        (Ok(a), Ok(b)) => [a, b],
        (Err(reason), _) | (_, Err(reason)) => {
            println!("skipped: {name}: no overlay mount here: {reason}");
            return;
        }
    };
    let devices = overlays.each_ref().map(|it| it.folder().join(LIBRARIES[0]).metadata().unwrap().dev());
    assert_ne!(devices[0], devices[1], "one device number: the mounts do not show what containers show");
    let address = SocketAddr::new(lab.spare_address(Family::V4).unwrap(), 443);
    let config = lab.authority().server(HOST, &BOTH_VERSIONS).unwrap();
    let sink = Server::tcp(lab.network(), address, Speaks::Sink, Some(config)).unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(81, 12);
    let clients: Vec<Client> = citizens
        .chunks(6)
        .zip(&overlays)
        .map(|(citizens, overlay)| {
            // The first write comes when both files have long been mapped.
            let pauses = [1.5, 0.0, 0.3, 1.0, 0.0, 0.3];
            let line = |citizen: &String| Write::text(format!("{} er sendt\n", payload::named(citizen)));
            let writes = citizens.iter().zip(pauses).map(|(citizen, pause)| line(citizen).after(pause));
            let connection = Connection::tls(address, HOST, writes.collect()).version("1.3");
            let folder = overlay.folder().to_owned();
            let client = Client::start(&lab, &[connection], |command| {
                command.env("LD_LIBRARY_PATH", folder);
            });
            client.unwrap()
        })
        .collect();
    let mapped = clients.iter().zip(&overlays).map(|(client, overlay)| {
        let copy = overlay.folder().join(LIBRARIES[0]).display().to_string();
        mapped_within(client.pid(), &copy, LIMIT)
            .unwrap_or_else(|| panic!("the client does not use the copy: {copy}"))
    });
    let mapped: Vec<String> = mapped.collect();
    for client in clients {
        client.wait(LIMIT).unwrap();
    }
    assert!(sink.settle(LIMIT));
    let seen = trial.stop().unwrap();
    let expected: Vec<_> =
        citizens.iter().map(|citizen| Expected::tls(citizen, address, HOST, "1.3")).collect();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
    let twice = seen.counter("tls_write_twice_total");
    if mapped[0] == mapped[1] {
        // Older kernels tell the file below of what is mapped from a mount: it was known, and not probed again.
        assert_eq!(twice, 0, "{mapped:?} {:?}", seen.counters);
        return;
    }
    assert!(twice >= 1, "the second attachment was never noticed: {:?}", seen.counters);
    assert!(twice < citizens.len() as u64, "the second attachment was never removed: {:?}", seen.counters);
}

/// Device and inode as the kernel tells them of a process's mapping of this file, before it ends or time is up.
fn mapped_within(pid: u32, file: &str, limit: Duration) -> Option<String> {
    let started = Instant::now();
    while started.elapsed() < limit {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        if let Some(line) = maps.lines().find(|line| line.ends_with(file)) {
            return Some(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" "));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
