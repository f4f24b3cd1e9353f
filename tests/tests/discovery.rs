//! TLS libraries where nobody has looked before: copies that come with the program that uses them, in mount namespaces
//! and chroots, loaded late in life, on another file system, put in place of an older one.
//!
//! *Not here*: one file behind two mounts, see `mounts`; a library that a confined daemon finds, see `privileges`.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::lab::{Recipient, Service};
use cprvagt_tests::live::{Need, can_run, here_or_in_guest, which};
use cprvagt_tests::mounted::Mounted;
use cprvagt_tests::network::Family;
use cprvagt_tests::program::library;
use cprvagt_tests::{Expected, Lab, Trial, binary, payload};

const SETTLE: Duration = Duration::from_secs(120);
const PYTHON: &str = "/usr/bin/python3";
const LIBRARIES: [&str; 2] = ["libssl.so.3", "libcrypto.so.3"];
/// Programs that live for milliseconds, and how many of them must be caught on a machine that is busy with other
/// things; docs/limits.md has what was measured on one that is not.
const SHORT_LIVES: usize = 100;
const CAUGHT_MIN: usize = 90;
/// The same in a guest.
const SHORT_LIVES_IN_GUEST: (usize, usize) = (10, 1);
/// Within this time a file system that nobody uses any more can be unmounted.
const LET_GO: Duration = Duration::from_secs(60);
/// A moment in which an agent comes to rest after a process has loaded a library.
const REST: Duration = Duration::from_millis(1500);

/// Mounts a file system that nobody has seen, copies the library there, and becomes curl with it.
const WITH_A_LIBRARY_OF_ITS_OWN: &str =
    r#"mount -t tmpfs none "$0" && cp "$1" "$2" "$0" && LD_LIBRARY_PATH="$0" exec curl --config "$3""#;

/// Copies OpenSSL into a folder.
fn copy_library(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in LIBRARIES {
        fs::copy(library(name), folder.join(name)).unwrap();
    }
}

/// A file system of its own, in memory, over a new folder of the lab.
fn in_memory(lab: &Lab, name: &str) -> Mounted {
    let folder = lab.scratch().path().join(name);
    fs::create_dir_all(&folder).unwrap();
    Mounted::over(&folder, "tmpfs", "rw").unwrap()
}

/// A recipient and who is to be told there.
struct World {
    lab: Lab,
    recipient: Arc<Recipient>,
    citizens: Vec<String>,
}

impl World {
    fn new(seed: u64, citizens: usize) -> Self {
        let mut lab = Lab::new().unwrap();
        let recipient = lab.recipient("nyt.analyse.example", Service::Https, Family::V4).unwrap();
        Self { lab, recipient, citizens: payload::citizens(seed, citizens) }
    }

    /// A file for curl that asks for a citizen, as a program in a chroot can.
    fn curl_config(&self, citizen: &str, authority: &Path) -> String {
        let (host, ip) = (&self.recipient.host, self.recipient.ip());
        let authority = authority.display();
        format!(
            "silent\nshow-error\nfail\noutput = \"/dev/null\"\ncacert = \"{authority}\"\n\
             resolve = \"{host}:443:{ip}\"\nurl = \"https://{host}/sag?cpr={citizen}\"\n"
        )
    }

    /// Starts a program that loads OpenSSL from this folder when it is told to.
    fn client(&self, folder: &Path) -> Loading {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/loading_client.py");
        // In no mount namespace of its own: one of these tests unmounts what it uses.
        let mut command = Command::new(PYTHON);
        command.env("SSL_CERT_FILE", self.lab.authority().file());
        command.arg(script).arg(folder).args([&self.recipient.host, &self.recipient.ip().to_string()]);
        Loading(Held::start(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap())
    }

    /// Each citizen was told once, all bytes were read.
    fn check(self, trial: Trial) {
        assert!(self.recipient.server.settle(SETTLE));
        let seen = trial.stop().unwrap();
        let to = self.recipient.server.address();
        let tell = |citizen| Expected::tls(citizen, to, &self.recipient.host, "1.3");
        let expected: Vec<_> = self.citizens.iter().map(|citizen| tell(citizen)).collect();
        assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
        let received = self.recipient.server.received();
        seen.assert_all_inspected(Some(received.wire_bytes()), received.plain_bytes());
    }
}

/// A program that waits to load its library, or to use it.
struct Loading(Held);

impl Loading {
    fn load(&mut self) {
        self.tell("");
        BufReader::new(self.0.0.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    }

    fn tell(&mut self, line: &str) {
        let input = self.0.0.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    fn ask_for(mut self, citizen: &str) {
        self.tell(&format!("/sag?cpr={citizen}"));
        self.0.end().unwrap();
    }
}

#[test]
fn a_program_that_lives_for_milliseconds_is_caught_or_counted() {
    let name = "a_program_that_lives_for_milliseconds_is_caught_or_counted";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("curl"), Need::Program("ldconfig")]) {
        return;
    }
    let &(lives, caught_min) = here_or_in_guest(&(SHORT_LIVES, CAUGHT_MIN), &SHORT_LIVES_IN_GUEST);
    let world = World::new(56, lives);
    let folder = world.lab.scratch().path().join("own");
    fs::create_dir(&folder).unwrap();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    for (at, citizen) in world.citizens.iter().enumerate() {
        let config = world.curl_config(citizen, world.lab.authority().file());
        let config = world.lab.scratch().write(&format!("curl-{at}"), config).unwrap();
        let mut curl = world.lab.command("sh").unwrap();
        curl.args(["-c", WITH_A_LIBRARY_OF_ITS_OWN]).arg(&folder).args(LIBRARIES.map(library)).arg(config);
        assert!(curl.status().unwrap().success());
    }
    let seen = trial.stop().unwrap();
    let proven = |citizen: &&String| matches!(seen.leaks_of(citizen)[..], [leak] if leak["destination"]["proof"] == "proven");
    let caught = world.citizens.iter().filter(proven).count();
    println!("{caught} of {lives} were caught");
    assert!(caught >= caught_min, "{caught} of {lives}: {:#}", seen.ledger);
    // What was not caught is not forgotten.
    let unread = seen.unread("blind", "no-tap");
    assert_eq!(caught < lives, unread > 0, "{:#}", seen.ledger);
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

#[test]
fn a_library_that_is_loaded_late_is_observed() {
    let name = "a_library_that_is_loaded_late_is_observed";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program(PYTHON), Need::Program("ldconfig")]) {
        return;
    }
    let world = World::new(57, 1);
    let folder = world.lab.scratch().path().join("late");
    copy_library(&folder);
    let mut client = world.client(&folder);
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    client.load();
    std::thread::sleep(REST);
    client.ask_for(&world.citizens[0]);
    world.check(trial);
}

/// As dpkg does it: the new file gets the old one's name.
#[test]
fn a_library_that_was_replaced_is_observed_beside_the_old_one() {
    let name = "a_library_that_was_replaced_is_observed_beside_the_old_one";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program(PYTHON), Need::Program("ldconfig")]) {
        return;
    }
    let world = World::new(58, 3);
    let [folder, newer] = ["lib", "new"].map(|name| world.lab.scratch().path().join(name));
    copy_library(&folder);
    copy_library(&newer);
    let mut before_the_agent = world.client(&folder);
    before_the_agent.load();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let mut before = world.client(&folder);
    before.load();
    for name in LIBRARIES {
        fs::rename(newer.join(name), folder.join(name)).unwrap();
    }
    let mut after = world.client(&folder);
    after.load();
    std::thread::sleep(REST);
    for (client, citizen) in [before_the_agent, before, after].into_iter().zip(&world.citizens) {
        client.ask_for(citizen);
    }
    world.check(trial);
}

#[test]
fn equal_files_on_two_file_systems_are_both_observed() {
    let name = "equal_files_on_two_file_systems_are_both_observed";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program(PYTHON), Need::Program("ldconfig")]) {
        return;
    }
    let world = World::new(59, 2);
    let (on_disk, in_memory) = (world.lab.scratch().path().join("lib"), in_memory(&world.lab, "memory"));
    copy_library(&on_disk);
    copy_library(in_memory.folder());
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let mut clients = [&on_disk, in_memory.folder()].map(|folder| world.client(folder));
    clients.iter_mut().for_each(Loading::load);
    std::thread::sleep(REST);
    for (client, citizen) in clients.into_iter().zip(&world.citizens) {
        client.ask_for(citizen);
    }
    world.check(trial);
}

/// Copies a program and all that it is linked to below `root`, each file under its own path.
fn copy_with_libraries(program: &Path, root: &Path) {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let linked = text.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in linked.chain([program]) {
        let copy = root.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

#[test]
fn a_program_in_a_chroot_with_a_library_of_its_own_is_observed() {
    let name = "a_program_in_a_chroot_with_a_library_of_its_own_is_observed";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program("curl"), Need::Program("ldd")]) {
        return;
    }
    let world = World::new(60, 2);
    let root = world.lab.scratch().path().join("root");
    let curl = which("curl").unwrap().canonicalize().unwrap();
    copy_with_libraries(&curl, &root);
    fs::create_dir(root.join("dev")).unwrap();
    fs::write(root.join("dev/null"), "").unwrap();
    fs::copy(world.lab.authority().file(), root.join("authority")).unwrap();
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let ask = |target: &str| {
        fs::write(root.join("config"), world.curl_config(target, Path::new("/authority"))).unwrap();
        let mut chroot = world.lab.command("chroot").unwrap();
        assert!(chroot.arg(&root).arg(&curl).args(["--config", "/config"]).status().unwrap().success());
    };
    // The first may be over before its library is known.
    ask("0");
    std::thread::sleep(REST);
    world.citizens.iter().for_each(|citizen| ask(citizen));
    let (to, host) = (world.recipient.server.address(), &world.recipient.host);
    let expected: Vec<_> =
        world.citizens.iter().map(|citizen| Expected::tls(citizen, to, host, "1.3")).collect();
    let seen = trial.stop().unwrap();
    assert_eq!(seen.mismatches(&expected), Vec::<String>::new());
    assert_eq!(seen.bytes("unexplained_bytes"), 0, "{:#}", seen.ledger);
}

/// Writes `content` into the file that is there: same name, same inode.
fn rewrite(file: &Path, content: &Path) {
    let inode = fs::metadata(file).unwrap().ino();
    let mut open = OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    open.write_all(&fs::read(content).unwrap()).unwrap();
    assert_eq!(fs::metadata(file).unwrap().ino(), inode);
}

/// First this machine's OpenSSL, then over it that of another release, whose functions are elsewhere: its probes are
/// put anew. Left where they were, they would break the program.
#[test]
fn a_library_that_is_rewritten_in_place_is_read_anew() {
    let name = "a_library_that_is_rewritten_in_place_is_read_anew";
    let other = binary::made_for_tests("CPRVAGT_OPENSSL", "openssl").join("3.5/usr/lib/x86_64-linux-gnu");
    let loader = other.join("ld-linux-x86-64.so.2");
    let loader = loader.to_str().unwrap();
    let needs = [Need::Root, Need::Agent, Need::Program("/usr/bin/openssl"), Need::Program(loader)];
    if !can_run(name, &needs) || !can_run(name, &[Need::Program("ldconfig")]) {
        return;
    }
    let world = World::new(61, 4);
    let folder = world.lab.scratch().path().join("same");
    copy_library(&folder);
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    let host = &world.recipient.host;
    let ask_for = |citizen: &str| {
        let mut openssl = world.lab.command(loader).unwrap();
        let libraries = [&folder, &other].map(|folder| folder.display().to_string()).join(":");
        openssl.args(["--library-path", &libraries, "/usr/bin/openssl", "s_client", "-quiet"]);
        openssl.args(["-servername", host, "-connect", &format!("{}:443", world.recipient.ip())]);
        openssl.arg("-CAfile").arg(world.lab.authority().file());
        let mut openssl = Held::start(openssl.stdin(Stdio::piped()).stdout(Stdio::null())).unwrap();
        std::thread::sleep(REST);
        let text = format!("GET /sag?cpr={citizen} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        openssl.0.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        openssl.end().unwrap();
    };
    let (before, after) = world.citizens.split_at(2);
    before.iter().for_each(|citizen| ask_for(citizen));
    LIBRARIES.iter().for_each(|library| rewrite(&folder.join(library), &other.join(library)));
    // The probes go as the file is written; who maps it sooner meets them.
    std::thread::sleep(REST);
    after.iter().for_each(|citizen| ask_for(citizen));
    world.check(trial);
}

/// A probe holds its file's mount; a container's is to go when the container has.
#[test]
fn a_file_system_can_be_unmounted_when_its_programs_have_ended() {
    let name = "a_file_system_can_be_unmounted_when_its_programs_have_ended";
    if !can_run(name, &[Need::Root, Need::Agent, Need::Program(PYTHON), Need::Program("ldconfig")]) {
        return;
    }
    let world = World::new(62, 2);
    let trial = Trial::start(&world.lab, "", &[]).unwrap();
    for citizen in &world.citizens {
        let mounted = in_memory(&world.lab, "own");
        copy_library(mounted.folder());
        let mut client = world.client(mounted.folder());
        client.load();
        std::thread::sleep(REST);
        assert!(!mounted.leaves().unwrap(), "a process has it mapped");
        client.ask_for(citizen);
        let ended = Instant::now();
        while !mounted.leaves().unwrap() {
            assert!(ended.elapsed() < LET_GO, "still held");
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("unmounted after {:.1?}", ended.elapsed());
    }
    world.check(trial);
}
