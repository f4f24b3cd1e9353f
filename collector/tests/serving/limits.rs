//! What a listener bears: silence, idling, and too many connections.

use std::time::Duration;

use cprvagt_collector::listener::Limits;
use cprvagt_collector::serve::Bounds;
use cprvagt_report::{DELIVERY_TYPE, REPORTS_PATH};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::rig::{Rig, deliver, until};

async fn rig(listener: Limits) -> Rig {
    Rig::start_with(Bounds { listener, ..Bounds::default() }, |_, _| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_let_go() {
    let rig = rig(Limits { handshake: Duration::from_millis(100), ..Limits::default() }).await;
    let mut silent = TcpStream::connect(rig.collector.agents_address()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 100]).await.unwrap(), 0);
    assert!(rig.dial().connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_ended() {
    let rig = rig(Limits { idle: Duration::from_millis(100), ..Limits::default() }).await;
    let mut client = rig.dial().connect().await.unwrap();
    assert_eq!(client.post(REPORTS_PATH, DELIVERY_TYPE, vec![]).await.unwrap().status, 401);
    until("the end", async || client.is_closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections() {
    let rig = rig(Limits { connections_of_address: 2, ..Limits::default() }).await;
    let first = rig.dial().connect().await.unwrap();
    let _second = rig.dial().connect().await.unwrap();
    assert!(rig.dial().connect().await.is_err());
    drop(first);
    until("a place", async || rig.dial().connect().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_behind_one_address_do_not_keep_each_other_out() {
    let rig = rig(Limits { connections_of_address: 2, connections_of_agent: 2, ..Limits::default() }).await;
    let (first, second) = (rig.enrol().await, rig.enrol().await);
    let mut held = vec![];
    for agent in [&first, &first, &second, &second] {
        // Enrolling may still hold a place.
        let client = until_some(async || rig.dial_as(agent).connect().await.ok()).await;
        held.push(client);
        assert_eq!(deliver(held.last_mut().unwrap(), vec![]).await.status, 200);
    }
    // With TLS 1.3 a client may believe to be connected until its first request.
    if let Ok(mut third) = rig.dial_as(&first).connect().await {
        assert!(third.post(REPORTS_PATH, DELIVERY_TYPE, vec![]).await.is_err());
    }
    assert!(rig.dial().connect().await.is_ok());
}

async fn until_some<T, F: Future<Output = Option<T>>>(mut make: impl FnMut() -> F) -> T {
    let mut made = None;
    for _ in 0..600 {
        made = make().await;
        if made.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    made.expect("it came")
}
