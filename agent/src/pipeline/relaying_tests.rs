//! Relays: who handed a number over is told where one program did, and nobody else is named.

use cprvagt_report::{Handover, Relayed};

use super::*;
use crate::process::{FilePart, FileRange, Identity, LookUp, ProcessFacts};

const RELAY: u32 = 4_000_010;
const ALICE: u32 = 4_000_011;
const BOB: u32 = 4_000_012;
/// A process of which nothing but its number is known.
const STRANGER: u32 = 4_000_013;
const CONFIG: &str = "[[relay]]\nports = [2525, 2526]\nmatch = { exe = \"/usr/sbin/relay\" }\n";

struct Table;

impl LookUp for Table {
    fn running(&mut self) -> Vec<u32> {
        Vec::new()
    }

    fn read(&mut self, pid: u32) -> ProcessFacts {
        let exe = match pid {
            RELAY => Some("/usr/sbin/relay"),
            ALICE => Some("/usr/bin/alice"),
            BOB => Some("/usr/bin/bob"),
            _ => None,
        };
        ProcessFacts { exe: exe.map(str::to_owned), ..ProcessFacts::of_pid(pid) }
    }

    fn file_part(&mut self, _: &FileRange) -> Option<FilePart> {
        None
    }

    fn takes_from_host(&mut self, pid: u32) -> bool {
        pid == BOB || pid == RELAY
    }

    fn identity(&mut self, _: u32) -> Identity {
        Identity::default()
    }
}

fn world() -> World {
    let mut world = World::new(CONFIG);
    let policy = Policy::new(&Config::parse(CONFIG).unwrap(), 0).unwrap();
    let host = Host { name: Scrubber::at(0).name(b"host"), id: HostId::new([7; 16]) };
    let keys = Keys { key: Key::random().unwrap(), sealer: None };
    world.pipeline = Some(Pipeline::new(policy, keys, host, Processes::new(Box::new(Table))));
    world
}

/// A flow of `tgid` to a port of a relay.
fn handover(id: u64, tgid: u32, port: u32) -> FlowSample {
    FlowSample { verdict: Verdict::Relay as u32, remote: [127, 0, 0, 1], port, tgid, ..plain(id) }
}

fn sends(world: &mut World, flow: &mut FlowSample, text: &str) {
    world.take(&flow.opening());
    world.take(&payload(flow, 100, text.as_bytes()));
}

fn lines(first: usize, count: usize) -> String {
    let numbers = Citizens::new(7).skip(first).take(count);
    numbers.map(|it| format!("cpr {} er sendt\n", std::str::from_utf8(it.digits()).unwrap())).collect()
}

fn line(citizen: usize) -> String {
    lines(citizen, 1)
}

/// What is told of who handed over the number that `tgid` sends out in the end.
fn relayed(mut world: World, tgid: u32, citizen: usize) -> Option<Relayed> {
    let mut out = FlowSample { tgid, ..plain(9) };
    sends(&mut world, &mut out, &line(citizen));
    world.take(&out.end());
    let (_, ledger) = (world.leaks.len(), world.close());
    assert_eq!(ledger.unexplained_bytes, 0);
    assert_eq!(ledger.flows, 1, "what is handed over is in no account");
    let [leak] = &world.leaks[..] else { panic!("{:?}", world.leaks) };
    leak.relayed.clone()
}

#[test]
fn one_program_that_handed_it_over_is_named() {
    type Sent = (u32, u32, usize);
    let alice = (Handover::Same, Proof::Likely, Some("/usr/bin/alice"));
    let unclear = (Handover::Unclear, Proof::Unknown, None);
    let not_seen = (Handover::NotSeen, Proof::Unknown, None);
    let cases: [(&[Sent], _); 9] = [
        (&[], not_seen),
        (&[(ALICE, 2525, 0)], alice),
        (&[(ALICE, 2525, 0), (ALICE, 2525, 0)], alice),
        (&[(ALICE, 2525, 0), (ALICE, 2526, 0)], alice),
        (&[(ALICE, 2525, 0), (BOB, 2525, 1)], alice),
        (&[(ALICE, 2525, 0), (BOB, 2525, 0)], unclear),
        (&[(ALICE, 2525, 0), (BOB, 2526, 0)], unclear),
        (&[(ALICE, 2525, 1)], not_seen),
        // Another relay's port.
        (&[(ALICE, 2527, 0)], not_seen),
    ];
    for (sent, (handover_, proof, exe)) in cases {
        let mut world = world();
        for (id, (tgid, port, citizen)) in (20..).zip(sent) {
            sends(&mut world, &mut handover(id, *tgid, *port), &line(*citizen));
        }
        let relayed = relayed(world, RELAY, 0).unwrap();
        let told = relayed.from.as_ref().and_then(|from| from.exe.as_ref()).map(|exe| exe.as_str());
        assert_eq!((relayed.handover, relayed.proof, told), (handover_, proof, exe), "{sent:?}");
    }
}

#[test]
fn a_program_that_is_not_known_makes_it_unclear() {
    let mut world = world();
    for (id, tgid) in [(20, STRANGER), (21, STRANGER + 1)] {
        sends(&mut world, &mut handover(id, tgid, 2525), &line(0));
    }
    assert_eq!(relayed(world, RELAY, 0).unwrap().handover, Handover::Unclear);
}

#[test]
fn a_program_that_ended_at_once_has_the_name_that_the_kernel_told() {
    let mut world = world();
    sends(&mut world, &mut handover(20, STRANGER, 2525), &line(0));
    let from = relayed(world, RELAY, 0).unwrap().from.unwrap();
    assert_eq!((from.pid, from.comm.unwrap().as_str()), (Some(STRANGER), "sample"));
}

/// Nor is a program that hands over something a relay, or leaks thereby.
#[test]
fn other_programs_hand_on_nothing() {
    let mut world = world();
    sends(&mut world, &mut handover(20, ALICE, 2525), &line(0));
    assert_eq!(relayed(world, ALICE, 0), None);
}

/// That it takes what others send it is said; of a relay that is read more is known.
#[test]
fn a_program_that_takes_from_its_host_says_so() {
    assert_eq!(relayed(world(), BOB, 0).unwrap().handover, Handover::NotRead);
    assert_eq!(relayed(world(), RELAY, 0).unwrap().handover, Handover::NotSeen);
}

/// What comes later did not come from there.
#[test]
fn what_is_handed_over_after_the_leak_does_not_count() {
    let mut world = world();
    let mut out = FlowSample { tgid: RELAY, ..plain(9) };
    sends(&mut world, &mut out, &line(0));
    world.take(&out.end());
    sends(&mut world, &mut handover(20, ALICE, 2525), &line(0));
    world.close();
    assert_eq!(world.leaks[0].relayed.as_ref().unwrap().handover, Handover::NotSeen);
}

/// A number that would be told of where it leaves only once its field has proven itself, or not at all, leads back too.
#[test]
fn a_bare_number_is_noted() {
    let bare = |text: String| text.replace("cpr ", "id ");
    let mut world = world();
    sends(&mut world, &mut handover(20, ALICE, 2525), &bare(line(0)));
    assert_eq!(relayed(world, RELAY, 0).unwrap().handover, Handover::Same);
}

/// Those that were handed over least recently go first, however many come.
#[test]
fn what_is_remembered_is_bounded() {
    let many = crate::pipeline::relays::HANDED_MAX + 1;
    for (first, expected) in [(0, Handover::NotSeen), (many - 2, Handover::Same)] {
        let mut world = world();
        let lines = lines(0, many);
        let mut flow = handover(20, ALICE, 2525);
        world.take(&flow.opening());
        for (at, piece) in lines.as_bytes().chunks(30_000).enumerate() {
            world.take(&payload(&mut flow, 100 + at as u32 * 30_000, piece));
        }
        assert_eq!(relayed(world, RELAY, first).unwrap().handover, expected, "{first}");
    }
}
