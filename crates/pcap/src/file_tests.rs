//! Captures made byte by byte: every kind of link, cut packets, broken files.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use super::*;
use crate::Unread;

const ETHERNET: u32 = 1;

/// A packet of TCP over IPv4 without a link's header.
fn packet(payload: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [203, 0, 113, 7], 64);
    let mut bytes = Vec::new();
    builder.tcp(40_000, 443, 77, 1024).ack(5).write(&mut bytes, payload).unwrap();
    bytes
}

fn packet_v6(payload: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64);
    let mut bytes = Vec::new();
    builder.tcp(40_000, 443, 77, 1024).write(&mut bytes, payload).unwrap();
    bytes
}

/// A file of the older format, of packets with what was kept of each.
fn pcap(link: u32, packets: &[(&[u8], usize)]) -> Vec<u8> {
    let mut file: Vec<u8> = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, link]
        .iter()
        .flat_map(|it: &u32| it.to_le_bytes())
        .collect();
    for (bytes, kept) in packets {
        file.extend([1, 2, *kept as u32, bytes.len() as u32].iter().flat_map(|it| it.to_le_bytes()));
        file.extend(&bytes[..*kept]);
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = (padded as u32 + 12).to_be_bytes();
    [&kind.to_be_bytes()[..], &len, body, &vec![0; padded - body.len()], &len].concat()
}

/// The newer format, in the other order of bytes, with an interface of its own for each packet, and one simple packet.
fn pcapng(links: &[u32], packets: &[&[u8]]) -> Vec<u8> {
    let section = [&0x1a2b_3c4d_u32.to_be_bytes()[..], &[0, 1, 0, 0], &[0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, &section);
    for link in links {
        file.extend(block(1, &[&(*link as u16).to_be_bytes()[..], &[0; 2], &[0; 4]].concat()));
    }
    for (interface, bytes) in packets.iter().enumerate() {
        let len = (bytes.len() as u32).to_be_bytes();
        let head = [(interface as u32).to_be_bytes(), [0; 4], [0; 4], len, len].concat();
        file.extend(block(6, &[&head, *bytes].concat()));
    }
    file.extend(block(3, &[&(packets[0].len() as u32).to_be_bytes(), packets[0]].concat()));
    file
}

/// What comes out: of each packet its payload with the length on the wire, or why there is none.
type Out = Vec<Result<(Vec<u8>, u32), Unread>>;

fn all(file: &[u8]) -> (Result<bool, String>, Out) {
    let mut out = Vec::new();
    let ended = read(file, &mut |packet| {
        assert_eq!(packet.number, out.len() as u64 + 1);
        out.push(packet.segment().map(|it| (it.payload.to_vec(), it.wire_len)));
    });
    (ended.map_err(|error| error.to_string()), out)
}

fn whole(payload: &[u8]) -> Result<(Vec<u8>, u32), Unread> {
    Ok((payload.to_vec(), payload.len() as u32))
}

#[test]
fn every_kind_of_link_is_understood() {
    let mac = [0u8; 12];
    let tagged: [&[u8]; 4] = [&mac, &[0x88, 0xa8, 0, 5], &[0x81, 0, 0, 9], &[8, 0]];
    let old_cooked: [&[u8]; 2] = [&[0; 14], &[8, 0]];
    let cooked: [&[u8]; 2] = [&[8, 0], &[0; 18]];
    let cases: [(u32, Vec<u8>); 8] = [
        (ETHERNET, [&mac[..], &[8, 0]].concat()),
        (ETHERNET, tagged.concat()),
        (101, Vec::new()),
        (228, Vec::new()),
        (113, old_cooked.concat()),
        (276, cooked.concat()),
        (0, vec![2, 0, 0, 0]),
        (108, vec![0, 0, 0, 2]),
    ];
    for (link, before) in cases {
        let bytes = [&before[..], &packet(b"content")].concat();
        assert_eq!(all(&pcap(link, &[(&bytes, bytes.len())])), (Ok(true), vec![whole(b"content")]), "{link}");
    }
    let bytes = [&mac[..], &[0x86, 0xdd], &packet_v6(b"six")].concat();
    assert_eq!(all(&pcap(ETHERNET, &[(&bytes, bytes.len())])).1, [whole(b"six")]);
}

#[test]
fn both_formats_say_the_same() {
    let (four, six) = (packet(b"four"), packet_v6(b"six"));
    let raw = [whole(b"four"), whole(b"six"), whole(b"four")];
    assert_eq!(all(&pcapng(&[101, 101], &[&four, &six])), (Ok(true), raw.to_vec()));
    let file = pcap(101, &[(&four, four.len()), (&six, six.len()), (&four, four.len())]);
    assert_eq!(all(&file), (Ok(true), raw.to_vec()));
}

/// Padding behind a short packet is no content, and what was not kept is content all the same.
#[test]
fn lengths_are_those_of_the_wire() {
    let ethernet = |bytes: &[u8]| [&[0; 12][..], &[8, 0], bytes].concat();
    let padded = [&ethernet(&packet(b"")), &[0u8; 6][..]].concat();
    assert_eq!(all(&pcap(ETHERNET, &[(&padded, padded.len())])).1, [whole(b"")]);
    let long = ethernet(&packet(&[7; 1000]));
    for kept in 0..long.len() {
        let [one] = all(&pcap(ETHERNET, &[(&long, kept)])).1.try_into().unwrap();
        let headers = long.len() - 1000;
        let expected = match kept.checked_sub(headers) {
            Some(payload) => Ok((vec![7; payload], 1000)),
            None if kept < 14 => Err(Unread::Other),
            None => Err(Unread::Cut),
        };
        assert_eq!(one, expected, "{kept} bytes kept");
    }
}

#[test]
fn what_is_no_segment_is_told_apart() {
    let mut fragment = packet(b"x");
    fragment[6] = 0x20;
    let mut udp = Vec::new();
    etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut udp, b"x").unwrap();
    let packets: [&[u8]; 4] = [&fragment, &udp, b"", &[0xff; 40]];
    let packets = packets.map(|bytes| (bytes, bytes.len()));
    let expected = [Err(Unread::Fragment), Err(Unread::Other), Err(Unread::Other), Err(Unread::Other)];
    assert_eq!(all(&pcap(101, &packets)).1, expected);
    assert_eq!(all(&pcap(147, &packets)).1, vec![Err(Unread::Other); 4]);
}

#[test]
fn a_file_that_breaks_off_is_read_up_to_there() {
    let one = packet(&[3; 60]);
    for file in [pcap(101, &[(&one[..], one.len()); 2]), pcapng(&[101, 101], &[&one, &one])] {
        let whole_packets = all(&file).1.len();
        for cut in 0..file.len() {
            let (ended, packets) = all(&file[..cut]);
            assert!(packets.len() <= whole_packets);
            assert!(packets.iter().all(|it| *it == whole(&[3; 60])), "cut at {cut}");
            if cut < 28 {
                continue;
            }
            assert!(ended.is_ok(), "cut at {cut}: {ended:?}");
        }
    }
}

#[test]
fn what_is_no_capture_is_told() {
    let mut endless = pcap(101, &[]);
    endless.extend([0, 0, u32::MAX, u32::MAX].iter().flat_map(|it: &u32| it.to_le_bytes()));
    endless.resize(BLOCK_BYTES_MAX + 100, 0);
    for (file, says) in [
        (&b""[..], "neither"),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "neither"),
        (&endless, "damaged behind 0 packets"),
    ] {
        let error = all(file).0.unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

/// Packets longer than what is read at a time, and one as long as a file may have.
#[test]
fn long_packets_are_read_whole() {
    let builder = etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [203, 0, 113, 7], 64);
    let mut bytes = Vec::new();
    builder.tcp(1, 2, 3, 4).write(&mut bytes, &[9; 1000]).unwrap();
    // Its length is left to the card (zero), as where a packet is captured before it is cut.
    bytes[2..4].copy_from_slice(&[0, 0]);
    bytes.resize(READ_BYTES * 3, 9);
    let (ended, packets) = all(&pcap(101, &[(&bytes, bytes.len()), (&bytes, 100)]));
    assert_eq!(ended, Ok(true));
    let len = (READ_BYTES * 3 - 40) as u32;
    assert_eq!(packets, [Ok((vec![9; len as usize], len)), Ok((vec![9; 60], len))]);
}
