//! What the kernel at hand makes of the programs, told as `measured: KEY VALUE` lines: what each costs the verifier,
//! what the doctor says is lost, and what there is of which our machines may have nothing.
//!
//! The programs are those inside the built agent. One million instructions is where every verifier ends.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aya::programs::{Program, ProgramError, ProgramType};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use cprvagt_tests::agent;
use cprvagt_tests::live::{self, Need, can_run};
use cprvagt_tests::mounted::Mounted;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use object::{Object as _, ObjectSection as _};
use serde_json::Value;

/// The section of the agent's program that holds the kernel object.
const SECTION: &str = ".cprvagt.bpf";
/// Refused before 6.0, because it may fault pages in, and before 5.15, because of the attach cookie: the agent
/// then loads the next, whose last must pass everywhere, and reads no requests.
const MAY_BE_REFUSED: [&str; 4] = ["tls_write", "tls_write_now", "tls_read", "tls_read_frames"];
/// One of many that are alike but for their number.
const SITE: &str = "tls_site_0";

/// The kernel object inside the agent's program.
fn kernel_object(program: &Path) -> Vec<u8> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(SECTION).unwrap_or_else(|| panic!("{program:?} has no {SECTION}"));
    section.data().unwrap().to_vec()
}

fn names(ebpf: &Ebpf) -> Vec<String> {
    let all = ebpf.programs().map(|(name, _)| name.to_owned());
    all.filter(|name| !name.starts_with("tls_site_") || name == SITE).collect()
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::KProbe(program) => program.load(),
        Program::UProbe(program) => program.load(),
        other => panic!("a kind of program that this test does not know: {other:?}"),
    }
}

/// Instructions processed, or what the kernel said.
fn cost(object: &[u8], name: &str) -> Result<u64, ProgramError> {
    let mut ebpf = prepare(object);
    let program = ebpf.program_mut(name).unwrap();
    load(program)?;
    let told = program.info()?.verified_instruction_count();
    Ok(told.map_or_else(|| cost_by_log(object, name), u64::from))
}

/// The same from kernels before 5.16, which tell it only in the verifier's log, and aya hands that out only
/// with an error: the last step, a descriptor for the verified program, is made to fail.
fn cost_by_log(object: &[u8], name: &str) -> u64 {
    let mut ebpf = prepare(object);
    let program = ebpf.program_mut(name).unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
    let refused = load(program).unwrap_err();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let ProgramError::LoadError { verifier_log, .. } = refused else { panic!("{refused}") };
    let log = verifier_log.to_string();
    let (_, rest) = log.split_once("processed ").unwrap_or_else(|| panic!("no cost in {log}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn prepare(object: &[u8]) -> Ebpf {
    let mut loader = EbpfLoader::new();
    // Each step told would take longer than the verification.
    loader.verifier_log_level(VerifierLogLevel::STATS);
    loader.load(object).unwrap()
}

#[test]
fn every_program_passes_the_verifier() {
    if !can_run("every_program_passes_the_verifier", &[Need::Root, Need::Agent]) {
        return;
    }
    let object = kernel_object(&agent::binary().unwrap());
    let names = names(&prepare(&object));
    assert!(names.len() >= 10, "{names:?}");
    let mut refused = Vec::new();
    for name in names {
        match cost(&object, &name) {
            Ok(instructions) => println!("measured: verifier.{name} {instructions}"),
            Err(error) if MAY_BE_REFUSED.contains(&name.as_str()) => {
                println!("measured: verifier.{name} refused");
                println!("{name}: {error:?}");
            }
            Err(error) => refused.push(format!("{name}: {error:?}")),
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_doctor_says_what_this_kernel_cannot_do() {
    if !can_run("the_doctor_says_what_this_kernel_cannot_do", &[Need::Root, Need::Agent]) {
        return;
    }
    let output = Command::new(agent::binary().unwrap()).args(["doctor", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "it observes nothing here: {told:#}");
    for finding in told["findings"].as_array().unwrap() {
        let text = |key: &str| finding[key].as_str().unwrap();
        if text("state") != "ok" {
            let capability = text("capability").replace(' ', "-");
            println!("measured: doctor.{capability} {}: {}", text("state"), text("lost"));
        }
    }
}

/// The function that the probes below are put on, in no more than name.
const FUNCTION: &str = "tcp_sendmsg";

/// The kernel's own file system for tracing.
struct Tracing(Mounted);

impl Tracing {
    fn file(&self, name: &str) -> PathBuf {
        self.0.folder().join(name)
    }

    /// Makes a kprobe as an event of the kernel's, and takes it off.
    fn takes_kprobe(&self) -> bool {
        let events = self.file("kprobe_events");
        let tell =
            |line: String| fs::OpenOptions::new().append(true).open(&events)?.write_all(line.as_bytes());
        let name = format!("cprvagt/of_{}", std::process::id());
        let taken = tell(format!("p:{name} {FUNCTION}\n")).is_ok();
        taken && tell(format!("-:{name}\n")).is_ok()
    }

    /// Programs of that type are known, and the function can be traced at its first instruction.
    fn takes_fentry(&self) -> bool {
        let traced = fs::read_to_string(self.file("available_filter_functions")).unwrap_or_default();
        let is_traced = traced.lines().any(|line| line.split(' ').next() == Some(FUNCTION));
        is_traced && aya::sys::is_program_supported(ProgramType::Tracing).is_ok_and(|it| it)
    }
}

/// Guests are there to show these.
#[test]
fn what_this_kernel_has_is_told() {
    if !can_run("what_this_kernel_has_is_told", &[Need::Root]) {
        return;
    }
    let folder = Scratch::new(&unique_name()).unwrap();
    let tracing = Mounted::over(folder.path(), "tracefs", "rw").map(Tracing).ok();
    let has = [
        ("unified-cgroup-v2", live::cgroup2().is_some_and(|root| root == Path::new("/sys/fs/cgroup"))),
        ("kTLS-with-AES-256", live::missing(&Need::Ktls).is_none()),
        ("sch_netem", live::missing(&Need::Netem).is_none()),
        ("kprobes", tracing.as_ref().is_some_and(Tracing::takes_kprobe)),
        ("fentry", tracing.as_ref().is_some_and(Tracing::takes_fentry)),
    ];
    for (name, is_there) in has {
        println!("measured: has.{name} {}", if is_there { "yes" } else { "no" });
        // Before 5.11 the kernel encrypts with no such key.
        assert!(is_there || !live::is_guest() || name.starts_with("kTLS"), "{name} is not in this guest");
    }
}
