//! What a listener bears: silence, idling, and too many connections.

use std::time::Duration;

use cprvagt_collector::listener::Limits;
use cprvagt_collector::serve::Bounds;
use cprvagt_report::{DELIVERY_TYPE, REPORTS_PATH};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::rig::{Rig, until};

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
