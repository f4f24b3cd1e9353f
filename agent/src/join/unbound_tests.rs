//! Sessions that wait for their hello, and who may claim them.

use super::*;
use crate::join::sample::CallSample;

const NONE: [u64; 0] = [];

fn call(session: u64, random: u8, tgid: u32) -> CallSample {
    CallSample { session, random, tgid, ..CallSample::default() }
}

/// Lets writes wait whose lengths count from 1.
fn waiting(calls: &[CallSample]) -> Unbound {
    let mut unbound = Unbound::default();
    for (len, call) in (1..).zip(calls) {
        assert!(unbound.wait(call.whole(&vec![b'x'; len]), Instant::now()).is_empty());
    }
    unbound
}

fn lens(writes: Vec<Write>) -> Vec<u64> {
    writes.iter().map(Write::len).collect()
}

#[test]
fn a_hello_takes_the_writes_of_its_random_in_order() {
    let mut unbound = waiting(&[call(1, 5, 9), call(2, 6, 9), call(1, 5, 9), call(1, 0, 9)]);
    assert_eq!(lens(unbound.take_by_random(&[7; 32])), NONE);
    assert_eq!(lens(unbound.take_by_random(&[0; 32])), NONE, "no random is nobody's");
    assert_eq!(lens(unbound.take_by_random(&[5; 32])), [1, 3]);
    assert_eq!(lens(unbound.take_by_random(&[5; 32])), NONE);
    assert_eq!(lens(unbound.take_all()), [2, 4]);
    assert_eq!((unbound.held_bytes, unbound.by_name.len()), (0, 0));
}

#[test]
fn an_undrawn_session_is_taken_only_if_it_is_the_only_one() {
    let mut unbound = waiting(&[call(1, 0, 9), call(2, 0, 9), call(3, 0, 8), call(1, 5, 8)]);
    assert_eq!(lens(unbound.take_undrawn(9)), NONE, "two fit");
    assert_eq!(lens(unbound.take_undrawn(0)), NONE, "nobody knows whose hello it is");
    assert_eq!(lens(unbound.take_undrawn(8)), [3]);
    assert_eq!(lens(unbound.take_by_session(9, 2)), [2]);
    assert_eq!(lens(unbound.take_undrawn(9)), [1], "one is left");
}

#[test]
fn a_session_that_shows_itself_takes_only_what_it_wrote_without_random() {
    let mut unbound = waiting(&[call(1, 0, 9), call(1, 5, 9), call(1, 0, 8)]);
    assert_eq!(lens(unbound.take_by_session(9, 1)), [1]);
    assert_eq!(lens(unbound.take_of_process(9)), [2]);
    assert_eq!(lens(unbound.take_of_process(9)), NONE);
    assert_eq!(lens(unbound.take_all()), [3]);
}

#[test]
fn waiting_ends() {
    let start = Instant::now();
    let mut unbound = Unbound::default();
    unbound.wait(call(1, 1, 9).whole(b"a"), start);
    unbound.wait(call(2, 2, 9).whole(b"bb"), start + WAIT_MAX / 2);
    unbound.wait(call(1, 1, 9).whole(b"ccc"), start + WAIT_MAX / 2);
    assert_eq!(lens(unbound.take_overdue(start + WAIT_MAX - Duration::from_nanos(1))), NONE);
    assert_eq!(lens(unbound.take_overdue(start + WAIT_MAX)), [1, 3]);
    assert_eq!(lens(unbound.take_overdue(start + WAIT_MAX * 2)), [2]);
}

#[test]
fn limits_give_up_whole_sessions_and_the_oldest_first() {
    let now = Instant::now();
    let mut unbound = Unbound::default();
    for _ in 0..WRITES_MAX {
        assert!(unbound.wait(call(1, 1, 9).whole(b"x"), now).is_empty());
    }
    assert_eq!(unbound.wait(call(1, 1, 9).whole(b"x"), now).len(), WRITES_MAX + 1);

    for session in 0..SESSIONS_MAX as u64 {
        assert!(unbound.wait(call(session, 1, 9).whole(b"x"), now).is_empty());
    }
    let given_up = unbound.wait(call(u64::MAX, 1, 9).whole(b"x"), now);
    assert_eq!(given_up.iter().map(|it| it.call.session).collect::<Vec<_>>(), [0]);

    let mut unbound = Unbound::default();
    let large = vec![b'x'; 1 << 20];
    let given_up: usize = (0..65).map(|it| unbound.wait(call(it, 1, 9).whole(&large), now).len()).sum();
    assert_eq!((given_up, unbound.held_bytes), (1, WAITING_BYTES_MAX));
}
