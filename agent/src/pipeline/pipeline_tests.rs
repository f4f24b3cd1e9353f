//! Records in, leaks and a ledger out: no kernel needed.

use cprvagt_abi::{Kind, Role};
use cprvagt_cpr::citizens::Citizens;
use cprvagt_report::{HostId, Outcome, Proof};
use proptest::prelude::*;

use super::*;
use crate::{
    config::Config,
    join::sample::{self, CallSample, FlowSample},
};

#[path = "connections_tests.rs"]
mod connections;
#[path = "naming_tests.rs"]
mod naming;
#[path = "proving_tests.rs"]
mod proving;
#[path = "relaying_tests.rs"]
mod relaying;

const CLIENT: u32 = 4_000_001;
const WAIT: Duration = Duration::from_secs(11);

struct World {
    pipeline: Option<Pipeline>,
    now: Instant,
    leaks: Vec<Leak>,
    kernel: HashMap<u64, Flow>,
}

impl World {
    fn new(config: &str) -> Self {
        let policy = Policy::new(&Config::parse(config).unwrap(), 0).unwrap();
        let host = Host { name: Scrubber::at(0).name(b"host"), id: HostId::new([7; 16]) };
        let keys = Keys { key: Key::random().unwrap(), sealer: None };
        let processes = Processes::new(Box::new(crate::procfs::Procfs::default()));
        let pipeline = Some(Pipeline::new(policy, keys, host, processes));
        Self { pipeline, now: Instant::now(), leaks: Vec::new(), kernel: HashMap::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (pipeline, now) = (self.pipeline.as_mut().unwrap(), self.now);
        pipeline.take(Record::parse(bytes).unwrap(), now, &mut |request| keep(&mut self.leaks, request));
    }

    fn take_all(&mut self, records: &[Vec<u8>]) {
        records.iter().for_each(|bytes| self.take(bytes));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let (pipeline, now) = (self.pipeline.as_mut().unwrap(), self.now);
        pipeline.tick(now, &mut |request| keep(&mut self.leaks, request));
    }

    fn close(&mut self) -> Ledger {
        let pipeline = self.pipeline.take().unwrap();
        pipeline.close(&self.kernel, self.now, &mut |request| keep(&mut self.leaks, request))
    }

    /// Closes the run; the books must balance.
    fn balanced(mut self) -> (Vec<String>, Ledger) {
        let ledger = self.close();
        assert_eq!(ledger.unexplained_bytes, 0, "{ledger:?}");
        assert_eq!(ledger.leaks, self.leaks.len() as u64);
        (self.leaks.iter().map(shown).collect(), ledger)
    }
}

fn keep(leaks: &mut Vec<Leak>, request: Request) {
    if let Request::Tell(leak) = request {
        leaks.push(*leak);
    }
}

/// Field, last byte of the destination, encryption, proof, outcome.
fn shown(leak: &Leak) -> String {
    let destination = leak.destination.as_ref().unwrap();
    let ip = destination
        .ip
        .map_or("nowhere".to_owned(), |ip| ip.to_string().rsplit('.').next().unwrap().to_owned());
    let encrypted = if leak.transport.as_ref().unwrap().encrypted { "tls" } else { "clear" };
    let proof = match destination.proof {
        Proof::Proven => "proven",
        Proof::Likely => "likely",
        Proof::Unknown => "unknown",
    };
    let outcome = match leak.outcome.unwrap() {
        Outcome::Sent => "sent",
        Outcome::NotSent => "not-sent",
        Outcome::Unknown => "unknown",
    };
    let field = leak.location.field.as_ref().map_or("-", |field| field.as_str());
    format!("{field} {ip} {encrypted} {proof} {outcome}")
}

/// A request whose body has one citizen's number under this key; all of one length.
fn request(field: &str, citizen: usize) -> Vec<u8> {
    let number = Citizens::new(7).nth(citizen).unwrap();
    let body = format!("{{\"{field}\":\"{}\"}}", std::str::from_utf8(number.digits()).unwrap());
    let head = "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn handshake(kind: u8, hello: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &counted(&[&[kind, 0][..], &counted(hello)].concat())].concat()
}

fn client_hello(name: &str) -> Vec<u8> {
    client_hello_with(name, &[])
}

/// With more extensions.
fn client_hello_with(name: &str, more: &[u8]) -> Vec<u8> {
    let sni = counted(&[&[0][..], &counted(name.as_bytes())].concat());
    let extensions = counted(&[&[0, 0][..], &counted(&sni), more].concat());
    handshake(1, &[&[3, 3][..], &[5; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &extensions].concat())
}

fn server_hello() -> Vec<u8> {
    let extensions = counted(&[0, 43, 0, 2, 3, 4]);
    handshake(2, &[&[3, 3][..], &[6; 32], &[0], &[0x13, 1], &[0], &extensions].concat())
}

/// A TLS 1.3 session as the taps see it.
#[derive(Clone)]
struct Session {
    flow: FlowSample,
    call: CallSample,
}

impl Session {
    fn new(id: u64) -> Self {
        let call = CallSample {
            flow: id,
            session: 0x5e55_0000 + id,
            random: id as u8,
            tgid: CLIENT,
            ..CallSample::default()
        };
        Self { flow: FlowSample::tcp(id, CLIENT, Kind::Tls), call }
    }

    fn record(&mut self, content: u32, length: usize) -> Vec<u8> {
        self.flow.wire_bytes += 5 + length as u64;
        sample::tls_record(self.flow.id, content, length as u32)
    }

    fn hello(&mut self) -> Vec<Vec<u8>> {
        self.hello_of(&client_hello("recipient.example"))
    }

    fn hello_of(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let opening = self.flow.opening();
        vec![opening, sample::hello(&self.flow, self.call.random, bytes), self.record(22, bytes.len() - 5)]
    }

    fn finished(&mut self) -> Vec<Vec<u8>> {
        vec![sample::answer(self.flow.id, &server_hello()), self.record(20, 1), self.record(23, 53)]
    }

    fn begin(&mut self) -> Vec<Vec<u8>> {
        [self.hello(), self.finished()].concat()
    }

    fn write(&mut self, content: &[u8]) -> Vec<Vec<u8>> {
        self.call.write += 1000;
        self.call.records(content)
    }

    fn sent(&mut self, content: &[u8]) -> Vec<Vec<u8>> {
        content.chunks(1 << 14).map(|fragment| self.record(23, fragment.len() + 17)).collect()
    }

    fn end(&self) -> Vec<u8> {
        self.flow.end()
    }
}

fn plain(id: u64) -> FlowSample {
    FlowSample { port: 80, ..FlowSample::tcp(id, CLIENT, Kind::Plain) }
}

/// TCP payload as the wire tap hands it over.
fn payload(flow: &mut FlowSample, seq: u32, bytes: &[u8]) -> Vec<u8> {
    flow.wire_bytes += bytes.len() as u64;
    sample::wire_data(flow, seq, (0, 0, 0), bytes)
}

#[test]
fn a_leak_in_clear_is_told_with_its_flow() {
    let (mut world, mut flow) = (World::new(""), plain(9));
    world.take(&flow.opening());
    let request = request("cpr", 0);
    let (one, two) = request.split_at(request.len() - 8);
    // The number is split over two segments.
    let records = [payload(&mut flow, 100, one), payload(&mut flow, 100 + one.len() as u32, two), flow.end()];
    world.take_all(&records);
    let (leaks, ledger) = world.balanced();
    assert_eq!(leaks, ["cpr 9 clear proven sent"]);
    assert_eq!((ledger.wire_bytes, ledger.inspected_bytes), (request.len() as u64, request.len() as u64));
}

#[test]
fn a_leak_over_tls_is_proven_when_its_record_passes() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let content = request("cpr", 0);
    world.take_all(&session.begin());
    world.take_all(&session.write(&content));
    assert!(world.leaks.is_empty(), "it has not left yet");
    world.take_all(&session.sent(&content));
    assert_eq!(world.leaks.len(), 1);
    assert_eq!(
        world.leaks[0].destination.as_ref().unwrap().host.as_ref().unwrap().as_str(),
        "recipient.example"
    );
    world.take(&session.end());
    let (leaks, ledger) = world.balanced();
    assert_eq!(leaks, ["cpr 3 tls proven sent"]);
    assert_eq!(ledger.inspected_bytes, content.len() as u64);
}

#[test]
fn a_long_write_is_inspected_to_its_last_byte() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let number = request("cpr", 0);
    let content = [vec![b'.'; (4 << 20) - number.len()], number].concat();
    world.take_all(&session.begin());
    world.take_all(&session.write(&content));
    world.take_all(&session.sent(&content));
    world.take(&session.end());
    let (leaks, ledger) = world.balanced();
    assert_eq!(leaks, ["- 3 tls proven sent"]);
    assert_eq!(ledger.inspected_bytes, content.len() as u64);
}

#[test]
fn a_write_before_its_hello_is_bound_by_its_random() {
    let (mut world, mut session, mut other) = (World::new(""), Session::new(3), Session::new(4));
    session.call.flow = 0;
    let content = request("cpr", 0);
    let write = session.write(&content);
    world.take_all(&write);
    world.take_all(&other.begin());
    world.take_all(&session.begin());
    world.take_all(&session.sent(&content));
    world.take_all(&[session.end(), other.end()]);
    assert_eq!(world.balanced().0, ["cpr 3 tls proven sent"]);
}

#[test]
fn a_write_before_its_random_is_drawn_is_bound_as_likely() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let first = request("cpr", 0);
    let undrawn = CallSample { flow: 0, random: 0, ..session.call };
    world.take_all(&undrawn.records(&first));
    world.take_all(&session.begin());
    world.take_all(&session.sent(&first));
    // What comes later is bound by the random.
    let second = request("kcpr", 1);
    world.take_all(&session.write(&second));
    world.take_all(&session.sent(&second));
    world.take(&session.end());
    assert_eq!(world.balanced().0, ["cpr 3 tls likely sent", "kcpr 3 tls proven sent"]);
}

/// A session draws another random in the middle of its connection, in a handshake that nobody can read; no other session
/// does.
#[test]
fn a_renegotiated_session_keeps_its_flow() {
    for (shakes, other_session, randoms, expected) in [
        (1, 0, [77, 77], ["bcpr 3 tls proven sent", "ccpr 3 tls proven sent"]),
        (2, 0, [77, 78], ["bcpr 3 tls proven sent", "ccpr 3 tls proven sent"]),
        (1, 0, [77, 78], ["bcpr 3 tls proven sent", "ccpr nowhere tls unknown unknown"]),
        (0, 0, [77, 77], ["bcpr nowhere tls unknown unknown", "ccpr nowhere tls unknown unknown"]),
        (1, 1, [77, 77], ["bcpr nowhere tls unknown unknown", "ccpr nowhere tls unknown unknown"]),
    ] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        world.take_all(&session.begin());
        let first = request("acpr", 0);
        world.take_all(&session.write(&first));
        world.take_all(&session.sent(&first));
        session.call.session += other_session;
        for (index, (field, random)) in ["bcpr", "ccpr"].into_iter().zip(randoms).enumerate() {
            if index < shakes {
                let shakes = [session.record(22, 200), session.record(22, 70), session.record(22, 40)];
                world.take_all(&shakes);
            }
            (session.call.flow, session.call.random) = (0, random);
            let content = request(field, index + 1);
            world.take_all(&session.write(&content));
            world.take_all(&session.sent(&content));
        }
        world.take(&session.end());
        world.pass(WAIT);
        let mut leaks = world.balanced().0;
        leaks.sort();
        assert_eq!(leaks, [&["acpr 3 tls proven sent"], &expected[..]].concat(), "{shakes} {randoms:?}");
    }
}

/// Go writes nothing before its hello: what has no random is older than the agent, and no later connection's, though
/// the process opens one at once, and Go gives addresses anew.
#[test]
fn a_go_session_whose_hello_was_not_seen_is_no_other_ones() {
    for verdict in [Verdict::Inspect, Verdict::Allowed] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        session.call.function = cprvagt_abi::Function::GoWriteRecord as u32;
        session.flow.verdict = verdict as u32;
        let old = CallSample { flow: 0, random: 0, ..session.call };
        world.take_all(&old.records(&request("acpr", 0)));
        if verdict == Verdict::Allowed {
            world.take(&sample::hello(&session.flow, 3, b""));
        } else {
            world.take_all(&session.begin());
            let content = request("bcpr", 1);
            world.take_all(&session.write(&content));
            world.take_all(&session.sent(&content));
            world.take(&session.end());
        }
        world.pass(WAIT);
        let mut leaks = world.balanced().0;
        leaks.sort();
        let others: &[&str] = if verdict == Verdict::Inspect { &["bcpr 3 tls proven sent"] } else { &[] };
        assert_eq!(leaks, [&["acpr nowhere tls unknown unknown"], others].concat(), "{verdict:?}");
    }
}

#[test]
fn of_two_undrawn_sessions_each_waits_until_it_shows_itself() {
    let (mut world, mut one, mut two) = (World::new(""), Session::new(3), Session::new(4));
    for (session, field) in [(&one, "acpr"), (&two, "bcpr")] {
        let undrawn = CallSample { flow: 0, random: 0, tid: session.flow.id as u32, ..session.call };
        world.take_all(&undrawn.records(&request(field, session.flow.id as usize)));
    }
    world.take_all(&two.begin());
    world.take_all(&one.begin());
    // The same bytes again, now that the handshake is done.
    for (session, field) in [(&mut one, "acpr"), (&mut two, "bcpr")] {
        let content = request(field, session.flow.id as usize);
        world.take_all(&session.write(&content));
        world.take_all(&session.sent(&content));
        world.take(&session.end());
    }
    assert_eq!(world.balanced().0, ["acpr 3 tls proven sent", "bcpr 4 tls proven sent"]);
}

/// The same bytes again, with the random: it is that session. By another session of the process it is not.
#[test]
fn a_write_before_its_random_is_proven_when_its_session_calls_again() {
    for (other, proof) in [(0, "proven"), (1, "likely")] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        let content = request("cpr", 0);
        let undrawn =
            CallSample { flow: 0, random: 0, session: session.call.session + other, ..session.call };
        world.take_all(&undrawn.records(&content));
        world.take_all(&session.begin());
        world.take_all(&session.call.records(&content));
        world.take_all(&session.sent(&content));
        world.take(&session.end());
        assert_eq!(world.balanced().0, [format!("cpr 3 tls {proof} sent")]);
    }
}

#[test]
fn a_hello_to_an_allowed_destination_ends_the_waiting() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    session.call.flow = 0;
    session.flow.verdict = Verdict::Allowed as u32;
    world.take_all(&session.write(&request("cpr", 0)));
    world.take(&sample::hello(&session.flow, 3, b""));
    world.take(&sample::exit(CLIENT));
    world.pass(WAIT);
    let (leaks, ledger) = world.balanced();
    assert_eq!((leaks.len(), ledger.wire_bytes), (0, 0));
}

#[test]
fn an_unknown_destination_is_told_when_the_process_is_gone_or_the_wait_is_over() {
    for event in [Some(sample::exit(CLIENT)), Some(sample::exec(CLIENT)), None] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        session.call.flow = 0;
        let content = request("cpr", 0);
        let (one, two) = content.split_at(content.len() - 8);
        // A number that is split over two writes, and a call again while the handshake takes its time.
        let writes = [session.write(one), session.write(one), session.write(two)].concat();
        world.take_all(&writes);
        match event {
            Some(event) => world.take(&event),
            None => world.pass(WAIT),
        }
        assert_eq!(world.leaks.len(), 1, "told at once");
        assert_eq!(world.balanced().0, ["cpr nowhere tls unknown unknown"]);
    }
}

#[test]
fn a_write_that_a_dying_process_left_unfinished_is_told() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    world.take_all(&session.begin());
    let content = [request("cpr", 0), vec![b'.'; 40_000]].concat();
    let records = session.write(&content);
    world.take_all(&records[..2]);
    world.take(&sample::exit(CLIENT));
    world.take(&session.end());
    assert_eq!(world.balanced().0, ["cpr 3 tls likely not-sent"]);
}

#[test]
fn what_was_written_and_never_left_is_told_as_such() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    world.take_all(&session.begin());
    world.take_all(&session.write(&request("cpr", 0)));
    world.take(&session.end());
    assert_eq!(world.balanced().0, ["cpr 3 tls likely not-sent"]);
}

#[test]
fn a_write_behind_the_end_of_its_flow_is_told() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    world.take_all(&session.begin());
    world.take(&session.end());
    world.take_all(&session.write(&request("cpr", 0)));
    world.pass(ENDED_KEPT);
    assert_eq!(world.leaks.len(), 1, "told when the flow is folded into the book");
    assert_eq!(world.balanced().0, ["cpr 3 tls likely not-sent"]);
}

#[test]
fn writes_that_were_passed_over_are_not_said_to_have_left() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let (one, two) = (request("cpr", 0), request("longercpr", 1));
    world.take_all(&session.begin());
    world.take_all(&session.write(&one));
    world.take_all(&session.write(&two));
    world.take_all(&session.sent(&two));
    world.take(&session.end());
    assert_eq!(world.balanced().0, ["cpr 3 tls likely unknown", "longercpr 3 tls likely sent"]);
}

#[test]
fn a_retry_is_one_leak_and_a_repeat_two() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let content = request("cpr", 0);
    world.take_all(&session.begin());
    let records =
        [session.write(&content), session.write(&content), session.sent(&content), session.write(&content)];
    world.take_all(&records.concat());
    assert_eq!(world.leaks.len(), 1);
    world.take_all(&session.sent(&content));
    world.take(&session.end());
    assert_eq!(world.balanced().0, ["cpr 3 tls proven sent", "cpr 3 tls proven sent"]);
}

/// Small records wait for each other: the repeat is known as one only when the next write has been inspected.
#[test]
fn a_repeat_that_is_known_late_does_not_stick_to_what_was_written_after_it() {
    let number = String::from_utf8(Citizens::new(7).next().unwrap().digits().to_vec()).unwrap();
    let (line, number) = ("Her er intet nummer", format!(" cpr: {number}"));
    for [repeated, next] in [[line, &number], [&number, line]] {
        let mut session = Session::new(1);
        let mut world = World::new("");
        world.take_all(&session.begin());
        for content in [repeated, repeated, next] {
            world.take_all(&session.write(content.as_bytes()));
        }
        for content in [repeated, repeated, next] {
            world.take_all(&session.sent(content.as_bytes()));
        }
        world.take(&session.end());
        let expected = vec!["- 1 tls proven sent"];
        assert_eq!(world.balanced().0, expected, "{repeated}, again, {next}");
    }
}

#[test]
fn a_plain_flow_may_turn_to_tls() {
    // With its hello, or with a hello that was lost: the records tell.
    for told in [true, false] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        session.flow.kind = Kind::Plain as u32;
        world.take(&session.flow.opening());
        let number = String::from_utf8(request("cpr", 0)).unwrap();
        let ehlo =
            format!("EHLO client\r\nX-CPR {}\r\nSTARTTLS\r\n", &number[number.len() - 12..number.len() - 2]);
        world.take(&payload(&mut session.flow, 1, ehlo.as_bytes()));
        world.take_all(&session.begin()[1 + usize::from(!told)..]);
        let content = request("cpr", 1);
        world.take_all(&session.write(&content));
        world.take_all(&session.sent(&content));
        world.take(&session.end());
        assert_eq!(world.balanced().0, ["- 3 clear proven sent", "cpr 3 tls proven sent"]);
    }
}

#[test]
fn lost_bytes_are_a_gap_and_the_books_balance() {
    let (mut world, mut flow) = (World::new(""), plain(9));
    world.take(&flow.opening());
    let request = request("cpr", 0);
    world.take(&payload(&mut flow, 1, b"before "));
    flow.wire_bytes += 1000;
    flow.lost_bytes += 1000;
    let goes_on = payload(&mut flow, 1008, &request);
    world.take(&goes_on);
    flow.wire_bytes += 50;
    flow.lost_bytes += 50;
    let mut counters = [0; Counter::COUNT as usize];
    counters[Counter::WireLostBytes as usize] = 1050;
    world.pipeline.as_mut().unwrap().note_losses(&counters);
    world.kernel.insert(flow.id, flow.kernel());
    let (leaks, ledger) = world.balanced();
    assert_eq!(leaks, ["cpr 9 clear proven sent"]);
    assert_eq!((ledger.lost_bytes(), ledger.wire_bytes), (1050, 1057 + request.len() as u64));
    assert_eq!(ledger.gaps.iter().map(|gap| gap.bytes_min).collect::<Vec<_>>(), [1050]);
}

#[test]
fn a_number_is_not_made_of_what_stands_on_both_sides_of_a_hole() {
    let (mut world, mut flow) = (World::new(""), FlowSample { protocol: 17, ..plain(9) });
    let number = String::from_utf8(request("cpr", 0)).unwrap();
    let (one, two) =
        (format!("cpr {}", &number[number.len() - 12..number.len() - 6]), &number[number.len() - 6..]);
    world.take(&flow.opening());
    flow.wire_bytes += (one.len() + 7 + two.len()) as u64;
    flow.lost_bytes = 7;
    let (one_len, two_len) = (one.len() as u32, two.len() as u32);
    world.take(&sample::wire_data(&flow, 0, (0, 7 + two_len, 0), one.as_bytes()));
    world.take(&sample::wire_data(&flow, 0, (one_len + 7, 0, 0), two.as_bytes()));
    world.kernel.insert(flow.id, flow.kernel());
    assert_eq!(world.balanced().0, [""; 0]);
}

#[test]
fn datagrams_come_in_chunks_and_many_at_once() {
    let (mut world, mut flow) = (World::new(""), FlowSample { protocol: 17, ..plain(9) });
    let request = request("cpr", 0);
    let text = request[request.len() - 22..].to_vec();
    world.take(&flow.opening());
    let many = text.repeat(3);
    flow.wire_bytes += 4 * text.len() as u64;
    let (head, tail) = many.split_at(30);
    world.take(&sample::wire_data(&flow, 0, (0, tail.len() as u32, text.len() as u32), head));
    world.take(&sample::wire_data(&flow, 0, (30, 0, text.len() as u32), tail));
    world.take(&sample::wire_data(&flow, 0, (0, 10, 0), &text[..12]));
    world.take(&sample::wire_data(&flow, 0, (12, 0, 0), &text[12..]));
    world.kernel.insert(flow.id, flow.kernel());
    let (leaks, ledger) = world.balanced();
    assert_eq!((leaks.len(), ledger.inspected_bytes), (4, 4 * text.len() as u64));
}

#[test]
fn a_process_out_of_scope_is_neither_read_nor_counted() {
    let mut world = World::new("[[inspect]]\nonly = { exe = \"/nowhere/at/all\" }\n");
    let (mut flow, mut session, mut unknown) = (plain(9), Session::new(3), Session::new(4));
    let content = request("cpr", 0);
    world.take(&flow.opening());
    world.take(&payload(&mut flow, 1, &content));
    world.take_all(&session.begin());
    world.take_all(&session.write(&content));
    world.take_all(&session.sent(&content));
    unknown.call.flow = 0;
    world.take_all(&unknown.write(&content));
    world.take_all(&[flow.end(), session.end()]);
    let (leaks, ledger) = world.balanced();
    assert_eq!((leaks.len(), ledger.wire_bytes, ledger.flows), (0, 0, 0));
}

#[test]
fn records_of_a_copied_flow_are_followed_here() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let content = request("cpr", 0);
    world.take_all(&session.begin());
    world.take_all(&session.write(&content));
    // The record comes as copied bytes, then a hole within a record, then what is no record but text.
    let record = |len: usize| [&[23, 3, 3][..], &counted(&vec![0xa5; len])].concat();
    let number = String::from_utf8(request("cpr", 1)).unwrap();
    let text = format!("back in clear, cpr {}\n", &number[number.len() - 12..number.len() - 2]);
    let one = record(content.len() + 17);
    let two = record(500);
    let (cut, rest) = ([&one[..], &two[..100]].concat(), [&two[300..], text.as_bytes()].concat());
    world.take(&payload(&mut session.flow, 1, &cut));
    session.flow.wire_bytes += 200;
    session.flow.lost_bytes += 200;
    world.take(&payload(&mut session.flow, 1 + cut.len() as u32 + 200, &rest));
    world.take(&session.end());
    let (leaks, ledger) = world.balanced();
    assert_eq!(leaks, ["cpr 3 tls proven sent", "- 3 clear proven sent"]);
    assert_eq!((ledger.lost_bytes(), ledger.blind_bytes()), (0, 505));
}

#[test]
fn a_flow_that_is_handed_over_before_it_is_announced_is_tls() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    session.flow.kind = Kind::TlsCopied as u32;
    world.take(&session.flow.opening());
    let bytes = [&[23, 3, 3][..], &counted(&[0xa5; 90])].concat();
    world.take(&payload(&mut session.flow, 1, &bytes));
    world.take(&session.end());
    let blind: Vec<_> = world.balanced().1.blind.iter().map(|it| (it.reason.to_string(), it.bytes)).collect();
    assert_eq!(blind, [("no-tap".to_owned(), 95)], "records, not bytes of no known kind");
}

#[test]
fn a_hello_without_its_flow_loses_no_write() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    session.call.flow = 0;
    world.take_all(&session.write(&request("cpr", 0)));
    world.take(&sample::hello(&session.flow, 3, b""));
    assert_eq!(world.balanced().0, ["cpr nowhere tls unknown unknown"]);
}

#[test]
fn a_flow_that_was_never_announced_is_lost_whole() {
    let (mut world, mut flow) = (World::new(""), plain(9));
    (flow.wire_bytes, flow.lost_bytes) = (700, 700);
    world.kernel.insert(flow.id, flow.kernel());
    let (_, ledger) = world.balanced();
    assert_eq!((ledger.wire_bytes, ledger.lost_bytes(), ledger.flows), (700, 700, 1));
}

/// A pool's connections may live for days: the account must not wait for their end.
#[test]
fn a_flow_that_goes_on_is_in_the_account_whenever_its_books_balance() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let content = request("cpr", 0);
    world.take_all(&session.begin());
    world.take_all(&session.write(&content));
    world.take_all(&session.sent(&content));
    let now = |world: &World, wire_bytes| {
        let kernel = Flow { wire_bytes, ..session.flow.kernel() };
        let ledger = world.pipeline.as_ref().unwrap().ledger(&HashMap::from([(kernel.id, kernel)]));
        (ledger.wire_bytes, ledger.inspected_bytes, ledger.unexplained_bytes)
    };
    let whole = session.flow.wire_bytes;
    assert_eq!(now(&world, whole), (whole, content.len() as u64, 0));
    assert_eq!(now(&world, whole), (whole, content.len() as u64, 0), "each account is made anew");
    assert_eq!(now(&world, whole + 9), (0, 0, 0), "nine bytes are under way");
    world.take(&session.end());
    assert_eq!(world.balanced().1.wire_bytes, whole, "and in the end it is in it once");
}

#[test]
fn a_connection_cut_within_a_record_balances() {
    // Within the header of the next record, and within a body whose header was counted whole.
    for (header_len, cut) in [(3, 0), (0, 10), (0, 150)] {
        let (mut world, mut session) = (World::new(""), Session::new(3));
        let content = request("cpr", 0);
        world.take_all(&session.begin());
        world.take_all(&session.write(&content));
        world.take_all(&session.sent(&content));
        session.flow.wire_bytes = session.flow.wire_bytes + header_len - cut;
        session.flow.header_len = header_len as u32;
        world.take(&session.end());
        world.balanced();
    }
}

/// Two processors that send on one socket may both tell of the flow, and the one that counted more may tell first.
#[test]
fn a_datagram_flow_that_is_told_twice_has_one_account() {
    let len = request("acpr", 0).len() as u64;
    for counted in [[1, 2, 3], [3, 2, 1]] {
        let (mut world, mut flow) = (World::new(""), FlowSample { protocol: 17, ..plain(9) });
        for (at, datagrams) in counted.into_iter().enumerate() {
            (flow.wire_bytes, flow.opened_ns) = (datagrams * len, at as u64);
            world.take(&flow.opening());
            world.take(&sample::wire_data(&flow, at as u32, (0, 0, 0), &request("acpr", at)));
        }
        let (leaks, ledger) = world.balanced();
        let got = (leaks.len(), ledger.flows, ledger.wire_bytes, ledger.inspected_bytes);
        assert_eq!(got, (3, 1, 3 * len, 3 * len), "{counted:?}");
    }
}

/// One that the kernel forgot has its old id when it comes back, and counts anew.
#[test]
fn a_datagram_flow_that_comes_back_has_an_account_of_its_own() {
    let len = request("acpr", 0).len() as u64;
    let (mut world, mut flow) = (World::new(""), FlowSample { protocol: 17, wire_bytes: len, ..plain(9) });
    for at in 0..3 {
        flow.opened_ns = at * opening::TOLD_TWICE_WITHIN.as_nanos() as u64;
        world.take(&flow.opening());
        world.take(&sample::wire_data(&flow, at as u32, (0, 0, 0), &request("acpr", at as usize)));
    }
    let (leaks, ledger) = world.balanced();
    let got = (leaks.len(), ledger.flows, ledger.wire_bytes, ledger.inspected_bytes);
    assert_eq!(got, (3, 3, 3 * len, 3 * len));
}

#[test]
fn flows_that_the_kernel_forgot_go_even_while_it_is_crowded() {
    let (mut world, mut flow) = (World::new(""), plain(9));
    world.take(&flow.opening());
    world.take(&payload(&mut flow, 1, &request("cpr", 0)));
    for _ in 0..3 {
        let (pipeline, now) = (world.pipeline.as_mut().unwrap(), world.now);
        pipeline.forget_all_but(&HashMap::new(), now, &mut |request| keep(&mut world.leaks, request));
        world.pass(ENDED_KEPT / 2);
    }
    assert!(world.pipeline.as_ref().unwrap().flows.is_empty());
    assert_eq!(world.balanced().0, ["cpr 9 clear proven sent"]);
}

#[test]
fn a_server_is_not_reported_for_answering_but_for_clear_text() {
    let (mut world, mut flow) = (World::new(""), FlowSample { role: Role::Server as u32, ..plain(9) });
    world.take(&flow.opening());
    world.take(&payload(&mut flow, 1, &request("cpr", 0)));
    world.take(&flow.end());
    world.close();
    assert_eq!(world.leaks[0].rule, cprvagt_report::Rule::Cleartext);
}

#[test]
fn findings_that_wait_are_bounded() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    world.take_all(&session.begin());
    let rows = flow::HELD_MAX / 1000 + 1;
    for _ in 0..=rows {
        let numbers = Citizens::new(7)
            .take(1000)
            .map(|it| format!("cpr {}\n", std::str::from_utf8(it.digits()).unwrap()));
        world.take_all(&session.write(numbers.collect::<String>().as_bytes()));
        world.take_all(&session.write(&[b'.'; 65_536]));
    }
    assert!(!world.leaks.is_empty() && world.leaks.iter().all(|leak| leak.outcome == Some(Outcome::Unknown)));
    let told = world.leaks.len();
    world.take(&session.end());
    assert_eq!(world.balanced().0.len() - told, flow::HELD_MAX);
}

/// One session's records in their order: `writes` requests with retries as the modes say.
fn script(id: u64, modes: &[u8]) -> Vec<Vec<u8>> {
    let mut session = Session::new(id);
    let early = modes[0] % 2 == 1;
    let mut records = Vec::new();
    let field = format!("{}cpr", char::from(b'a' + id as u8));
    for (index, mode) in modes.iter().enumerate() {
        let content = request(&field, id as usize * 10 + index);
        session.call.flow = if early && index == 0 { 0 } else { id };
        session.call.tid = id as u32;
        let write = session.write(&content);
        if index == 0 && early {
            records.extend(write);
            records.extend(session.begin());
        } else {
            if index == 0 {
                records.extend(session.begin());
            }
            records.extend(write);
        }
        session.call.flow = id;
        if mode & 2 > 0 {
            records.extend(session.write(&content));
        }
        records.extend(session.sent(&content));
        if mode & 4 > 0 {
            records.extend(session.write(&content));
        }
    }
    records.push(session.end());
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the records of several sessions of one process are mixed, each finding goes to its own flow.
    #[test]
    fn nothing_is_misplaced(
        modes in proptest::collection::vec(proptest::collection::vec(0u8..8, 1..5), 2..7),
        order in proptest::collection::vec(0usize..1000, 0..400),
    ) {
        let scripts: Vec<_> = (1..).zip(&modes).map(|(id, modes)| script(id, modes)).collect();
        let mut rest: Vec<_> = scripts.iter().map(|records| records.iter()).collect();
        let mut world = World::new("");
        for pick in order {
            let at = pick % rest.len();
            if let Some(record) = rest[at].next() {
                world.take(record);
            }
        }
        rest.into_iter().flatten().for_each(|record| world.take(record));
        let (mut leaks, _) = world.balanced();
        let expected = (1u64..).zip(&modes).flat_map(|(id, modes)| {
            let one = format!("{}cpr {id} tls proven sent", char::from(b'a' + id as u8));
            vec![one; modes.len()]
        });
        let mut expected: Vec<String> = expected.collect();
        leaks.sort();
        expected.sort();
        prop_assert_eq!(leaks, expected);
    }

    /// No record, whatever it says, ends the agent.
    #[test]
    fn arbitrary_records_never_panic(
        records in proptest::collection::vec((0u32..14, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300), 0usize..64), 0..60),
    ) {
        let mut world = World::new("");
        for (tag, id, mut bytes, payload_len) in records {
            // Flow and write ids, which come first in most records, from few.
            bytes.resize(bytes.len().max(200 + payload_len), 0);
            for at in [0, 8, 32] {
                bytes[at..at + 8].copy_from_slice(&u64::from(id % 3).to_ne_bytes());
            }
            let record = sample::Bytes::new(tag).raw(&bytes).with(b"");
            let mut record = record;
            record[4..8].copy_from_slice(&(payload_len as u32).to_ne_bytes());
            let pipeline = world.pipeline.as_mut().unwrap();
            if let Ok(record) = Record::parse(&record) {
                pipeline.take(record, world.now, &mut |request| keep(&mut world.leaks, request));
            }
            world.pass(Duration::from_millis(200));
        }
        world.close();
    }

    /// Nor do bytes that are no record at all.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut world = World::new("");
        if let Ok(record) = Record::parse(&bytes) {
            world.pipeline.as_mut().unwrap().take(record, world.now, &mut |_| {});
        }
        world.close();
    }
}
