//! Captures made by hand, and what they say of a leak.

use std::net::{IpAddr, SocketAddr};

use cprvagt_report::{Evidence, HelloRandom, Leak, Transport, WireRecord, sample};
use etherparse::PacketBuilder;

use super::*;

/// A packet as a capture has it: bytes, and how many of them were kept.
type Kept = (Vec<u8>, usize);

const CLIENT: &str = "192.0.2.7:40001";
/// Where the sample leak goes.
const SERVER: &str = "192.0.2.1:443";
const RANDOM: [u8; 32] = [0xd7; 32];
const ISN: u32 = u32::MAX - 600;
/// The hello's record has 300 bytes behind its header, the first record of data lies behind that and a Finished.
const HELLO_LEN: u64 = 305;
const RECORD_AT: u64 = HELLO_LEN + 58;
const RECORD_LEN: u32 = 1_017;

/// One direction of a connection.
#[derive(Clone, Copy)]
struct Way {
    from: &'static str,
    to: &'static str,
    isn: u32,
}

const WAY: Way = Way { from: CLIENT, to: SERVER, isn: ISN };

impl Way {
    fn packet(&self, seq: u32, flags: &str, ack: u32, payload: &[u8]) -> Kept {
        let [from, to]: [SocketAddr; 2] = [self.from, self.to].map(|it| it.parse().unwrap());
        let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
            _ => panic!("of one family"),
        };
        let tcp = ip.tcp(from.port(), to.port(), seq, 1024);
        let tcp = match flags {
            "syn" => tcp.syn(),
            "fin" => tcp.ack(ack).fin(),
            _ => tcp.ack(ack),
        };
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, payload).unwrap();
        let len = bytes.len();
        (bytes, len)
    }

    fn syn(&self) -> Kept {
        self.packet(self.isn, "syn", 0, b"")
    }

    /// Bytes of the stream, from the hello on.
    fn bytes(&self, at: u64, payload: &[u8]) -> Kept {
        self.packet(self.isn.wrapping_add(1).wrapping_add(at as u32), "", 1, payload)
    }

    fn fin(&self, at: u64) -> Kept {
        self.packet(self.isn.wrapping_add(1).wrapping_add(at as u32), "fin", 1, b"")
    }

    /// What the far end says it has.
    fn acknowledged(&self, at: u64) -> Kept {
        let back = Way { from: self.to, to: self.from, isn: 0 };
        back.packet(1, "", self.isn.wrapping_add(1).wrapping_add(at as u32), b"")
    }

    /// Stream in packets of this length.
    fn stream(&self, step: usize) -> Vec<Kept> {
        stream()
            .chunks(step)
            .enumerate()
            .map(|(index, part)| self.bytes((index * step) as u64, part))
            .collect()
    }
}

fn record(content: u8, length: u32) -> Vec<u8> {
    let [_, _, high, low] = length.to_be_bytes();
    [&[content, 3, 3, high, low][..], &vec![0xaa; length as usize]].concat()
}

/// Hello, Finished, the leak's record, and another.
fn stream() -> Vec<u8> {
    let mut hello = record(22, 300);
    hello[5] = 1;
    hello[11..43].copy_from_slice(&RANDOM);
    [hello, record(23, 53), record(23, RECORD_LEN), record(23, 400)].concat()
}

fn pcap(packets: &[Kept]) -> Vec<u8> {
    let head: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, 1];
    let mut file: Vec<u8> = head.iter().flat_map(|it| it.to_le_bytes()).collect();
    for (bytes, kept) in packets {
        file.extend([1, 2, *kept as u32, bytes.len() as u32].iter().flat_map(|it| it.to_le_bytes()));
        file.extend(&bytes[..*kept]);
    }
    file
}

fn leak() -> Leak {
    let records = vec![WireRecord { at: RECORD_AT, length: RECORD_LEN }];
    Leak {
        evidence: Some(Evidence { hello_random: HelloRandom::new(RANDOM), records }),
        ..sample::leak(1, "stats.example")
    }
}

/// Exit code and answer.
fn verify(leak: &Leak, capture: &[u8]) -> (u8, String) {
    let folder = tempfile::tempdir().unwrap();
    let [leak_file, pcap] = ["leak.json", "capture.pcap"].map(|name| folder.path().join(name));
    std::fs::write(&leak_file, serde_json::to_string(leak).unwrap()).unwrap();
    std::fs::write(&pcap, capture).unwrap();
    let mut options = cli::Verify { leak: leak_file, pcap, id: None, json: false };
    let (mut text, mut json) = (Vec::new(), Vec::new());
    let exit = run(&options, &mut text);
    options.json = true;
    let (Ok(exit), Ok(again)) = (exit, run(&options, &mut json)) else { panic!("both can be read") };
    assert_eq!(exit, again);
    let (text, json) = (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap());
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&object["schema"], json.lines().count()), (&"cprvagt.verify/1".into(), 1));
    assert_eq!(object["leak"], serde_json::to_value(leak.id).unwrap());
    assert!(text.contains(object["because"].as_str().unwrap()));
    let answer = object["answer"].as_str().unwrap();
    assert_eq!(
        (exit as u8, answer),
        [(0, "yes"), (1, "no"), (3, "unknown")][usize::from((exit as u8).min(2))]
    );
    (exit as u8, text)
}

fn check(name: &str, packets: &[Kept], exit: u8, says: &str) {
    let (got, text) = verify(&leak(), &pcap(packets));
    assert!(got == exit && text.contains(says), "{name}: {got}, {text}");
}

#[test]
fn a_connection_that_carried_the_leak_is_a_yes_however_it_was_captured() {
    for step in [1, 5, 40, 363, 536, 1460, 60_000] {
        let whole = [vec![WAY.syn()], WAY.stream(step)].concat();
        if step >= 43 {
            check("in order", &whole, 0, "yes: all records of the leak are in the capture\n");
        }
        let mut reversed = whole.clone();
        reversed.reverse();
        let hello_seen = step >= 43;
        check("backwards", &reversed, if hello_seen { 0 } else { 3 }, "");
        check("twice", &[whole.clone(), whole].concat(), if hello_seen { 0 } else { 3 }, "");
    }
    let mut packets = WAY.stream(1460);
    packets.push(WAY.acknowledged(RECORD_AT + 5 + u64::from(RECORD_LEN) - 1));
    check("not all is acknowledged", &packets, 0, "in the capture\n");
    packets.push(WAY.acknowledged(RECORD_AT + 5 + u64::from(RECORD_LEN)));
    check(
        "acknowledged",
        &packets,
        0,
        "the far end has acknowledged them\n  hello in packet 1, from 192.0.2.7:40001",
    );
}

#[test]
fn a_capture_that_lacks_something_cannot_tell() {
    let whole = WAY.stream(200);
    let carries = 1..=6;
    for left_out in 0..whole.len() {
        let mut packets = whole.clone();
        packets.remove(left_out);
        let (exit, says) = match left_out {
            0 => (3, "the hello of the leak's connection is not in the capture"),
            it if carries.contains(&it) => (3, "not all bytes of the leak's records"),
            _ => (0, "yes"),
        };
        check(&format!("without {left_out}"), &packets, exit, says);
    }
    check("nothing", &[], 3, "the hello");
    let cut: Vec<Kept> = whole.iter().map(|(bytes, _)| (bytes.clone(), 50)).collect();
    check("headers alone", &cut, 3, "is not in the capture; 9 packets were cut before their content");
    let mut fragment = whole[0].clone();
    fragment.0[20] = 0x20;
    check("a fragment", &[fragment], 3, "1 packets are fragments");
    let broken = pcap(&whole);
    let (exit, text) = verify(&leak(), &broken[..24 + 4 * (16 + 254) + 30]);
    assert!(exit == 3 && text.contains("the capture breaks off"), "{text}");
}

/// The default of old tcpdumps kept 68 or 96 bytes; the header of a record is what must be there.
#[test]
fn what_was_on_the_wire_counts_even_where_it_was_not_kept() {
    let packets = [WAY.bytes(0, &stream()[..305]), WAY.bytes(305, &stream()[305..363])];
    let record = WAY.bytes(RECORD_AT, &stream()[RECORD_AT as usize..]);
    for (kept, exit) in [(54 + 5, 0), (54 + 4, 3), (200, 0)] {
        check(&kept.to_string(), &[&packets[..], &[(record.0.clone(), kept)]].concat(), exit, "");
    }
}

#[test]
fn a_connection_without_the_records_is_a_no() {
    let mut other = stream();
    other[RECORD_AT as usize + 4] ^= 1;
    let packets = [WAY.bytes(0, &other)];
    check(
        "another length",
        &packets,
        1,
        "no: the connection has no record of that length where the leak says",
    );
    other = stream();
    other.insert(400, 0);
    let moved = Leak {
        evidence: Some(Evidence {
            hello_random: HelloRandom::new(RANDOM),
            records: vec![WireRecord { at: RECORD_AT + 1, length: RECORD_LEN }],
        }),
        ..leak()
    };
    assert_eq!(verify(&moved, &pcap(&[WAY.bytes(0, &stream())])).0, 1);
    let ended = |at: u64| [WAY.bytes(0, &stream()[..RECORD_AT as usize]), WAY.fin(at)];
    check("ended", &ended(RECORD_AT), 1, "no: the client ended the connection 363 bytes behind its hello");
    let elsewhere = Way { to: "192.0.2.9:443", ..WAY };
    check("another address", &elsewhere.stream(1460), 1, "no: the connection goes to another address");
    let other_port = Way { to: "192.0.2.1:8443", ..WAY };
    check("another port", &other_port.stream(1460), 1, "another address");
}

#[test]
fn the_leaks_own_connection_decides_among_several() {
    let relay = Way { from: "192.0.2.1:50000", to: "203.0.113.5:443", isn: 77 };
    let both = [WAY.stream(1460), relay.stream(1460)].concat();
    check("a relay passes it on", &both, 0, "to 192.0.2.1:443");
    let only_hello =
        [&WAY.stream(1460)[..0], &[WAY.bytes(0, &stream()[..305])], &relay.stream(1460)].concat();
    check("the relay alone has the records", &only_hello, 3, "not all bytes");
    let through_proxy = {
        let mut leak = leak();
        if let Some(destination) = &mut leak.destination {
            destination.via = Some(sample::name("203.0.113.5:443"));
        }
        leak
    };
    assert_eq!(verify(&through_proxy, &pcap(&relay.stream(1460))).0, 0);
}

/// The same ports, used for a connection before and after.
#[test]
fn ends_that_are_used_again_are_other_connections() {
    let other = Way { isn: ISN.wrapping_add(200), ..WAY };
    let noise: Vec<Kept> =
        [other.syn()].into_iter().chain((0..9).map(|n| other.bytes(n * 200, &[0x55; 200]))).collect();
    let own = [vec![WAY.syn()], WAY.stream(1460)].concat();
    check("before and after", &[noise.clone(), own.clone(), noise.clone()].concat(), 0, "yes");
    let begun = vec![WAY.syn(), WAY.bytes(0, &stream()[..305])];
    check("the rest is another's", &[begun, noise].concat(), 3, "not all bytes");
}

#[test]
fn positions_beyond_4_gib_are_found() {
    let at = 5 * (1 << 30) + 77;
    let far = Leak {
        evidence: Some(Evidence {
            hello_random: HelloRandom::new(RANDOM),
            records: vec![WireRecord { at, length: RECORD_LEN }],
        }),
        ..leak()
    };
    let mut packets = vec![WAY.bytes(0, &stream()[..305])];
    packets.extend((1..=5).map(|n| WAY.bytes(n << 30, &[1; 9])));
    packets.push(WAY.bytes(at, &record(23, RECORD_LEN)));
    assert_eq!(verify(&far, &pcap(&packets)).0, 0);
    // The same sequence number, 4 GiB earlier.
    packets.truncate(1);
    packets.push(WAY.bytes(at, &record(23, RECORD_LEN)));
    assert_eq!(verify(&far, &pcap(&packets)).0, 3);
}

#[test]
fn ipv6_and_tags_are_read() {
    let six = Way { from: "[2001:db8::7]:40001", to: "[2001:db8::1]:443", isn: 9 };
    let mut leak = leak();
    if let Some(destination) = &mut leak.destination {
        destination.ip = Some("2001:db8::1".parse().unwrap());
    }
    let tagged = |(bytes, kept): Kept| ([&bytes[..12], &[0x81, 0, 0, 42], &bytes[12..]].concat(), kept + 4);
    let packets: Vec<Kept> = six.stream(1000).into_iter().map(tagged).collect();
    assert_eq!(verify(&leak, &pcap(&packets)).0, 0);
}

#[test]
fn a_leak_that_brings_nothing_is_told_as_such() {
    let capture = pcap(&WAY.stream(1460));
    let mut without_records = leak();
    without_records.evidence.as_mut().unwrap().records.clear();
    let in_clear = Transport { encrypted: false, ..leak().transport.unwrap() };
    for (leak, says) in [
        (without_records, "the agent did not see the leak's records leave"),
        (Leak { evidence: None, ..leak() }, "the agent did not see the hello"),
        (Leak { transport: Some(in_clear), evidence: None, ..leak() }, "a leak in clear brings nothing"),
    ] {
        let (exit, text) = verify(&leak, &capture);
        assert!(exit == 3 && text.contains(says), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_told_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("leak"), serde_json::to_string(&leak()).unwrap()).unwrap();
    std::fs::write(path("clear"), serde_json::to_string(&Leak { evidence: None, ..leak() }).unwrap())
        .unwrap();
    std::fs::write(path("text"), "hemmeligt").unwrap();
    std::fs::write(path("good"), pcap(&WAY.stream(1460))).unwrap();
    let mut damaged = pcap(&WAY.stream(1460));
    damaged[24 + 8..24 + 12].copy_from_slice(&[0xff; 4]);
    damaged.resize(17 << 20, 0);
    std::fs::write(path("damaged"), damaged).unwrap();
    for (leak, pcap, says) in [
        ("leak", "text", "neither pcap nor pcapng"),
        ("clear", "text", "neither pcap nor pcapng"),
        ("leak", "absent", "No such file"),
        ("absent", "good", "No such file"),
        ("text", "good", "line 1 is no leak"),
        ("leak", "damaged", "damaged behind 0 packets"),
    ] {
        let options = cli::Verify { leak: path(leak), pcap: path(pcap), id: None, json: false };
        let error = run(&options, &mut Vec::new()).unwrap_err();
        assert_eq!(cli::Exits::exit(&error), Exit::Config);
        let text = error.to_string();
        assert!(text.contains(says) && !text.contains("hemmeligt"), "{text}");
    }
}
