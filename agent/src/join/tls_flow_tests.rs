//! Which record carried which write, call by call and record by record.

use super::*;
use crate::join::sample::CallSample;

/// What happens on a flow, and what is expected of it.
enum Step {
    /// A call with this content at this address, and whether it is new.
    Write(Vec<u8>, u64, bool),
    /// A call of this many bytes that were lost on the way to us.
    Lost(usize),
    /// A record: content type, length, what it carries, whether it repeats the last write.
    Record(u32, u32, Carried, bool),
}

fn carried(inspected: u64, protocol: u64) -> Carried {
    Carried { inspected, protocol, ..Carried::default() }
}

fn unseen(unseen: u64) -> Carried {
    Carried { unseen, ..Carried::default() }
}

fn new(content: &[u8]) -> Step {
    Step::Write(content.to_vec(), 0x1000, true)
}

fn retry(content: &[u8]) -> Step {
    Step::Write(content.to_vec(), 0x1000, false)
}

/// A record of TLS 1.3 with AES-GCM that carries `len` bytes of a write.
fn data(len: u32) -> Step {
    Step::Record(23, len + 17, carried(u64::from(len), 22), false)
}

fn repeat(len: u32) -> Step {
    Step::Record(23, len + 17, carried(u64::from(len), 22), true)
}

/// A record that is handshake if the Finished follows.
fn unsettled(length: u32) -> Step {
    Step::Record(23, length, Carried::default(), false)
}

/// A Finished that settles so many bytes before it.
fn settled(length: u32, before: u64) -> Step {
    Step::Record(23, length, carried(0, 5 + u64::from(length) + before), false)
}

fn protocol(content: u32, length: u32) -> Step {
    Step::Record(content, length, carried(0, 5 + u64::from(length)), false)
}

fn run(flow: &mut TlsFlow, steps: Vec<Step>) {
    for (index, step) in steps.into_iter().enumerate() {
        match step {
            Step::Write(content, buffer, is_new) => {
                let call = CallSample { buffer, ..CallSample::default() };
                assert_eq!(flow.write(call.whole(&content)).is_some(), is_new, "step {index}");
            }
            Step::Lost(len) => {
                let mut write = CallSample::default().whole(&vec![b'?'; len]);
                write.lost_bytes = len as u64;
                assert!(flow.write(write).is_some(), "step {index}");
            }
            Step::Record(content, length, expected, repeats) => {
                let (carried, repeated) = flow.record(RecordHeader { content, length, seq: 0 });
                assert_eq!((carried, repeated.is_some()), (expected, repeats), "step {index}");
            }
        }
    }
}

/// Runs steps behind a handshake of TLS 1.3; returns whether the flow became doubtful and what has not left.
fn check(steps: Vec<Step>) -> (bool, u64) {
    let mut flow = finished();
    run(&mut flow, steps);
    (flow.doubtful, flow.pending.iter().map(|it| it.len - it.sent).sum())
}

fn finished() -> TlsFlow {
    let mut flow = TlsFlow::default();
    flow.answered(TLS_1_3, 0x1301);
    run(&mut flow, vec![protocol(20, 1), protocol(23, 53)]);
    flow
}

fn answered(version: u16, cipher: u16) -> TlsFlow {
    let mut flow = TlsFlow::default();
    flow.answered(version, cipher);
    flow
}

const SURE: (bool, u64) = (false, 0);

#[test]
fn a_blocking_write_leaves_as_its_record() {
    assert_eq!(check(vec![new(b"hello"), data(5), new(b"world!"), data(6)]), SURE);
}

/// A flow whose records all fill blocks of 512 bytes: the lengths tell which block a write ends in.
#[test]
fn padded_records_carry_the_writes_in_turn() {
    let padded = |len: u32, inner: u32| {
        let (len, whole) = (u64::from(len), u64::from(inner) + 16 + 5);
        Step::Record(23, inner + 16, carried(len, whole - len), false)
    };
    let mut flow = answered(TLS_1_3, 0x1302);
    run(&mut flow, vec![protocol(20, 1), protocol(23, 528)]);
    run(&mut flow, vec![new(b"one"), padded(3, 512), new(&[b'2'; 600]), padded(600, 1024)]);
    let long = vec![b'3'; 20_000];
    run(&mut flow, vec![new(&long), data(16_384), padded(3_616, 4096)]);
    // A key update, and a record that no tap saw.
    run(&mut flow, vec![Step::Record(23, 528, unseen(533), false), new(b"four"), padded(4, 512)]);
    assert!(!flow.doubtful && flow.pending.is_empty());
}

#[test]
fn a_long_write_leaves_as_many_records() {
    let content = vec![7; 4 << 20];
    let records = (0..256).map(|_| data(16_384));
    assert_eq!(check(std::iter::once(new(&content)).chain(records).collect()), SURE);
    let content = vec![7; 40_000];
    assert_eq!(check(vec![new(&content), data(16_384), data(16_384), data(7_232)]), SURE);
}

#[test]
fn the_handshake_of_tls_1_3_is_no_data() {
    let mut flow = answered(TLS_1_3, 0x1302);
    // A client's certificate, its proof, and the Finished; then data of a Finished's length.
    run(&mut flow, vec![protocol(20, 1), protocol(23, 900), unsettled(281)]);
    assert_eq!(flow.unsettled_bytes(), 286);
    run(&mut flow, vec![settled(69, 286), new(&[b'x'; 52]), data(52)]);
    assert!(!flow.doubtful && flow.unsettled_bytes() == 0);
}

/// Java hides the length of its Finished.
#[test]
fn a_padded_finished_ends_the_handshake() {
    let mut flow = answered(TLS_1_3, 0x1302);
    run(&mut flow, vec![protocol(23, 85), Step::Record(23, 132, unseen(137), false)]);
}

/// Another program may hide it otherwise, or send its certificate in the same record.
#[test]
fn a_handshake_without_an_end_does_not_hide_the_data() {
    let mut flow = answered(TLS_1_3, 0x1301);
    run(&mut flow, vec![protocol(23, 1200), unsettled(95), unsettled(295), unsettled(495)]);
    assert_eq!(flow.unsettled_bytes(), 900, "nobody saw it being written");
    run(&mut flow, vec![Step::Record(23, 695, unseen(1600), false), Step::Record(23, 53, unseen(58), false)]);
    assert_eq!(flow.unsettled_bytes(), 0);
    let mut flow = answered(TLS_1_3, 0x1301);
    run(
        &mut flow,
        vec![protocol(23, 1200), new(b"hello"), data(5), Step::Record(23, 95, unseen(100), false)],
    );
}

#[test]
fn a_write_that_waits_for_the_handshake_leaves_after_it() {
    let mut flow = answered(TLS_1_3, 0x1301);
    run(&mut flow, vec![new(b"early bird"), protocol(23, 53), data(10)]);
    assert!(!flow.doubtful);
}

#[test]
fn a_lost_finished_does_not_hide_the_data() {
    let mut flow = answered(TLS_1_3, 0x1301);
    run(&mut flow, vec![new(b"data"), data(4), new(b"more data"), data(9)]);
    assert!(flow.doubtful);
}

#[test]
fn early_data_goes_out_before_and_after_the_answer() {
    let mut flow = TlsFlow::default();
    assert_eq!(flow.version(), None);
    flow.expect_early_data();
    run(&mut flow, vec![new(b"one"), data(3)]);
    assert_eq!(flow.version(), Some(TLS_1_3));
    flow.answered(TLS_1_3, 0x1301);
    // EndOfEarlyData, Finished.
    run(&mut flow, vec![new(b"three"), data(5), protocol(23, 21), protocol(23, 53), new(b"more"), data(4)]);
    assert!(!flow.doubtful);
}

#[test]
fn ciphers_of_tls_1_2() {
    let gcm = |len: u32| Step::Record(23, len + 24, carried(u64::from(len), 29), false);
    let mut flow = answered(0x0303, 0xC02F);
    run(&mut flow, vec![protocol(22, 40), new(b"hello"), gcm(5), protocol(21, 26)]);
    assert!(!flow.doubtful);
    // 5 + 20 MAC + 7 padding = 32, and 16 of vector; 15 and 16 bytes differ by a block.
    let mut flow = answered(0x0303, 0xC013);
    let cbc =
        |len: u64, record: u32| Step::Record(23, record, carried(len, 5 + u64::from(record) - len), false);
    run(
        &mut flow,
        vec![new(b"hello"), cbc(5, 48), new(&[b'x'; 11]), cbc(11, 48), new(&[b'x'; 12]), cbc(12, 64)],
    );
    assert!(!flow.doubtful);
}

#[test]
fn blocks_of_records_that_are_encrypted_side_by_side() {
    let mut flow = answered(0x0303, 0xC013);
    // 16 of vector, 20 MAC, and padding to 16.
    let cbc = |len: u64| {
        let record = 16 + (len + 21).next_multiple_of(16);
        Step::Record(23, record as u32, carried(len, 5 + record - len), false)
    };
    let blocks = (0..4).map(|_| cbc(15_872));
    run(&mut flow, [new(&[7; 80_000])].into_iter().chain(blocks).chain([cbc(16_384), cbc(128)]).collect());
    assert!(!flow.doubtful && flow.pending.is_empty());
}

#[test]
fn of_an_unknown_cipher_what_fits_roughly_counts_and_proves_nothing() {
    let mut flow = answered(0x0303, 0x00FF);
    run(&mut flow, vec![new(&[b'x'; 100]), Step::Record(23, 40, unseen(45), false)]);
    assert!(!flow.doubtful);
    run(
        &mut flow,
        vec![Step::Record(23, 130, carried(100, 35), false), Step::Record(23, 26, unseen(31), false)],
    );
    assert!(flow.doubtful);
}

#[test]
fn signals_are_protocol() {
    // An alert, a KeyUpdate, also between records of a long write.
    assert_eq!(check(vec![protocol(23, 19), protocol(23, 22)]), SURE);
    let steps = vec![new(&[7; 20_000]), data(16_384), protocol(23, 22), data(3_616), protocol(23, 19)];
    assert_eq!(check(steps), SURE);
}

#[test]
fn a_retry_is_nothing_new_before_and_after_its_record() {
    assert_eq!(
        check(vec![new(b"hello"), retry(b"hello"), retry(b"hello"), data(5), new(b"next"), data(4)]),
        SURE
    );
    // The header passed with the first bytes of the record; the rest found no room, so the program asks again.
    assert_eq!(check(vec![new(b"hello"), data(5), retry(b"hello"), new(b"next!"), data(5)]), SURE);
    let long = vec![7; 40_000];
    let steps = vec![new(&long), data(16_384), data(16_384), retry(&long), data(7_232), retry(&long)];
    assert_eq!(check(steps), SURE);
}

#[test]
fn a_continuation_is_nothing_new() {
    let long: Vec<u8> = (0..60_000u32).map(|it| (it % 251) as u8).collect();
    let rest = |from: usize, buffer: u64| Step::Write(long[from..].to_vec(), buffer, false);
    // Records wait in the socket while the program goes on; its buffer stays, or moves.
    let steps = vec![
        new(&long),
        rest(16_384, 0x1000 + 16_384),
        rest(49_152, 9),
        data(16_384),
        rest(32_768, 0x1000 + 32_768),
    ];
    let steps =
        steps.into_iter().chain([data(16_384), data(16_384), data(10_848), rest(49_152, 0x1000 + 49_152)]);
    assert_eq!(check(steps.collect()), SURE);
    // A tail from anywhere else is new content that happens to be the same.
    assert_eq!(
        check(vec![new(b"line\nline\n"), Step::Write(b"line\n".to_vec(), 9, true), data(10), data(5)]),
        SURE
    );
}

#[test]
fn a_true_repeat_counts_again() {
    assert_eq!(
        check(vec![new(b"ping"), data(4), retry(b"ping"), repeat(4), retry(b"ping"), repeat(4)]),
        SURE
    );
    // Both calls before either record, and other content before the second.
    assert_eq!(check(vec![new(b"ping"), retry(b"ping"), data(4), repeat(4)]), SURE);
    assert_eq!(check(vec![new(b"ping"), retry(b"ping"), new(b"other"), data(4), repeat(4), data(5)]), SURE);
    assert_eq!(check(vec![new(b"ping"), retry(b"ping"), new(b"pong"), data(4), data(4), repeat(4)]), SURE);
    let long = vec![7; 20_000];
    let steps = vec![new(&long), data(16_384), data(3_616), retry(&long), repeat(16_384), data(3_616)];
    assert_eq!(check(steps), SURE);
    // It counts as often as it was called, no oftener.
    let spare = Step::Record(23, 27, unseen(32), false);
    assert_eq!(check(vec![new(b"ping, pong"), retry(b"ping, pong"), data(10), repeat(10), spare]), SURE);
}

#[test]
fn a_repeat_is_content_of_its_own() {
    let mut flow = finished();
    run(&mut flow, vec![new(b"ping"), retry(b"ping"), new(b"other"), data(4), repeat(4)]);
    assert_eq!((flow.is_sent(4), flow.is_sent(9), flow.is_sent(13)), (true, false, true));
}

#[test]
fn records_that_were_lost_leave_doubt() {
    let mut flow = finished();
    run(&mut flow, vec![new(b"lost"), new(b"also lost"), new(b"found!"), data(6)]);
    assert!(flow.doubtful && flow.pending.is_empty());
    let passed: Vec<bool> = [1, 4, 5, 13, 14, 19].map(|needs| flow.was_passed_over(needs)).into();
    assert_eq!(passed, [true, true, true, true, false, false]);
    let steps = vec![new(b"data"), Step::Record(23, 700, unseen(705), false), data(4)];
    assert_eq!(check(steps), SURE, "a write that was lost changes nothing of the others");
}

#[test]
fn bytes_that_were_lost_are_told_by_their_records() {
    let lost = |bytes| Carried { lost: bytes, protocol: 22, ..Carried::default() };
    let steps = vec![
        Step::Lost(20_000),
        Step::Record(23, 16_401, lost(16_384), false),
        Step::Record(23, 3_633, lost(3_616), false),
    ];
    assert_eq!(check(steps), SURE);
    assert_eq!(check(vec![Step::Lost(5), Step::Lost(5)]), (false, 10), "what is not there is not the same");
}

#[test]
fn programs_may_ask_for_short_fragments() {
    assert_eq!(check(vec![new(&[7; 1_300]), data(512), data(512), data(276)]), SURE);
    assert_eq!(check(vec![new(&[7; 1_300]), Step::Record(23, 528, unseen(533), false)]), (false, 1_300));
}

#[test]
fn what_has_left_is_known_to_the_byte() {
    let mut flow = finished();
    run(&mut flow, vec![new(&[7; 20_000]), new(b"next"), data(16_384)]);
    let sent: Vec<bool> = [1, 16_384, 16_385, 20_000, 20_001, 20_004].map(|needs| flow.is_sent(needs)).into();
    assert_eq!(sent, [true, true, false, false, false, false]);
    run(&mut flow, vec![data(3_616)]);
    assert_eq!((flow.is_sent(20_000), flow.is_sent(20_001)), (true, false));
}

#[test]
fn too_many_pending_writes_pass_over_the_oldest() {
    let mut flow = finished();
    for index in 0..=PENDING_MAX {
        run(&mut flow, vec![new(format!("write {index:06}").as_bytes())]);
    }
    assert_eq!(flow.pending.len(), PENDING_MAX);
    assert!(flow.doubtful && flow.was_passed_over(12) && !flow.was_passed_over(13));
    run(&mut flow, vec![data(12)]);
    assert_eq!((flow.is_sent(24), flow.is_sent(25)), (true, false));
}

proptest::proptest! {
    /// Whatever writes and records come, the records' accounts have their lengths.
    #[test]
    fn every_record_is_accounted_for(
        suite in proptest::sample::select(vec![None, Some((0x0304, 0x1301)), Some((0x0303, 0xC02F)), Some((0x0303, 0xC013)), Some((0x0303, 0xFF))]),
        early: bool,
        steps in proptest::collection::vec((proptest::bool::ANY, 0usize..40_000, 0u32..300, 20u32..25), 1..60),
    ) {
        let mut flow = TlsFlow::default();
        if let Some((version, cipher)) = suite {
            flow.answered(version, cipher);
        }
        if early {
            flow.expect_early_data();
        }
        let mut records = 0;
        let mut accounts = 0;
        for (is_write, len, extra, content) in steps {
            if is_write {
                flow.write(CallSample::default().whole(&vec![b'x'; len % 300]));
            } else {
                let length = if len % 3 == 0 { len as u32 } else { extra };
                let (it, _) = flow.record(RecordHeader { content, length, seq: 0 });
                accounts += it.inspected + it.lost + it.skipped + it.protocol + it.unseen;
                records += 5 + u64::from(length);
                proptest::prop_assert_eq!(accounts + flow.unsettled_bytes(), records);
            }
        }
    }
}

/// NSS makes records of several buffers, and may have little left of one; what follows the last is a signal again.
#[test]
fn what_is_gathered_may_leave_in_the_smallest_pieces() {
    let function = cprvagt_abi::Function::PrWritev as u32;
    let mut flow = TlsFlow::default();
    flow.answered(0x0303, 0xC02F);
    assert!(flow.write(CallSample { function, ..CallSample::default() }.whole(&[b'a'; 8202])).is_some());
    for (plain, left) in [(8192, 1), (2, 1), (8, 0)] {
        let (carried, _) = flow.record(RecordHeader { content: 23, seq: 0, length: plain + 24 });
        assert_eq!((carried.inspected, carried.unseen), (plain.into(), 0));
        assert_eq!(flow.pending.len(), left, "{plain}");
    }
    let (carried, _) = flow.record(RecordHeader { content: 23, seq: 0, length: 2 + 24 });
    assert_eq!((carried.inspected, carried.protocol), (0, 5 + 26));
    assert!(!flow.is_doubtful());
}

/// Go sends a write in records of its own choice, short ones first, and never the same bytes twice without meaning it.
#[test]
fn what_leaves_whole_is_taken_piece_by_piece() {
    let function = cprvagt_abi::Function::GoWriteRecord as u32;
    let go = |content: &[u8]| CallSample { function, ..CallSample::default() }.whole(content);
    let mut flow = TlsFlow::default();
    flow.answered(0x0303, 0xC02F);
    // The second write would fit the first record: it is not its turn.
    for content in [&[b'a'; 3000][..], &[b'b'; 1186], &[b'b'; 1186]] {
        assert!(flow.write(go(content)).is_some());
    }
    for (plain, left) in [(1186, 3), (1814, 2), (1186, 1), (1186, 0)] {
        let (carried, again) = flow.record(RecordHeader { content: 23, length: plain + 24, seq: 0 });
        assert_eq!((carried.inspected, carried.unseen, again.is_some()), (plain.into(), 0, false));
        assert_eq!(flow.pending.len(), left, "{plain}");
    }
    assert!(flow.pending.is_empty() && !flow.is_doubtful());
}
