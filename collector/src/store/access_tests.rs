//! Tokens, agents, accounts, sessions.

use cprvagt_report::{AgentId, Host, HostId};
use uuid::Uuid;

use super::*;
use crate::occurrence::tests::{moment, name};

async fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(dir.path()).await.unwrap(), dir)
}

fn record(agent: u128, second: i64) -> AgentRecord {
    let host = Host { name: name("web1"), id: HostId::new([1; 16]) };
    AgentRecord { agent: AgentId(Uuid::from_u128(agent)), host, enrolled_at: moment(second) }
}

#[tokio::test]
async fn a_token_makes_one_agent() {
    let (store, _dir) = store().await;
    store.add_token(&[1; 32], moment(0), moment(10), Some("web servers")).await.unwrap();
    assert!(matches!(
        store.add_token(&[1; 32], moment(0), moment(10), None).await,
        Err(StoreError::Refused(_))
    ));
    let used = async |hash: u8, request: u8, record: AgentRecord| {
        store.use_token(&[hash; 32], &[request; 32], &record).await.unwrap()
    };
    let (first, second) = (record(1, 5), record(2, 6));
    assert_eq!(used(9, 1, first.clone()).await, TokenUse::Unknown);
    assert_eq!(used(1, 1, record(1, 10)).await, TokenUse::Expired);
    assert_eq!(used(1, 1, first.clone()).await, TokenUse::Enrolled(first.agent));
    assert_eq!(used(1, 1, second.clone()).await, TokenUse::Again(first.agent));
    assert_eq!(used(1, 2, second.clone()).await, TokenUse::UsedAlready);
    assert_eq!(used(1, 1, record(3, 1000)).await, TokenUse::Again(first.agent));
    assert_eq!(store.agents().await.unwrap().len(), 1);
    let tokens = store.tokens().await.unwrap();
    assert_eq!((tokens[0].agent, tokens[0].used_at), (Some(first.agent), Some(moment(5))));
    assert_eq!(tokens[0].note.as_deref(), Some("web servers"));
}

#[tokio::test]
async fn two_requests_that_race_for_a_token_make_one_agent() {
    let (store, dir) = store().await;
    let other = Store::open(dir.path()).await.unwrap();
    store.add_token(&[1; 32], moment(0), moment(10), None).await.unwrap();
    let (first, second) = (record(1, 5), record(2, 5));
    let uses = tokio::join!(
        store.use_token(&[1; 32], &[1; 32], &first),
        other.use_token(&[1; 32], &[2; 32], &second)
    );
    let uses = [uses.0.unwrap(), uses.1.unwrap()];
    assert!(uses.contains(&TokenUse::UsedAlready), "{uses:?}");
    assert_eq!(store.agents().await.unwrap().len(), 1);
}

#[tokio::test]
async fn agents_are_active_until_revoked() {
    let (store, _dir) = store().await;
    let agent = record(1, 5).agent;
    assert!(!store.is_active(agent).await.unwrap());
    assert!(!store.note_certificate(agent, "01", moment(9)).await.unwrap());
    store.add_token(&[1; 32], moment(0), moment(10), None).await.unwrap();
    store.use_token(&[1; 32], &[1; 32], &record(1, 5)).await.unwrap();
    assert!(store.is_active(agent).await.unwrap());
    assert!(store.note_certificate(agent, "01", moment(9)).await.unwrap());
    let unknown = AgentId(Uuid::from_u128(77));
    store.seen(&[(agent, moment(7)), (unknown, moment(7))]).await.unwrap();
    store.seen(&[(agent, moment(6))]).await.unwrap();
    let row = store.agents().await.unwrap().remove(0);
    assert_eq!(
        (row.last_seen_at, row.expires_at, row.serial.as_deref()),
        (Some(moment(7)), Some(moment(9)), Some("01"))
    );
    assert!(store.revoke(agent, moment(8)).await.unwrap());
    assert!(!store.revoke(agent, moment(9)).await.unwrap());
    assert!(!store.is_active(agent).await.unwrap());
    assert!(!store.note_certificate(agent, "ff", moment(99)).await.unwrap(), "no more certificates");
}

#[tokio::test]
async fn sessions_end_with_time_password_and_account() {
    let (store, _dir) = store().await;
    store.add_account("anna", "$argon2id$1", Role::Analyst, moment(0)).await.unwrap();
    assert!(store.add_account("anna", "$argon2id$2", Role::Admin, moment(0)).await.is_err());
    assert!(!store.add_session(&[1; 32], "nobody", moment(0), moment(10)).await.unwrap());
    let open =
        async |token: u8| store.add_session(&[token; 32], "anna", moment(0), moment(10)).await.unwrap();
    let is_open = async |token: u8, at| store.session(&[token; 32], moment(at)).await.unwrap().is_some();
    assert!(open(1).await && open(2).await);
    assert!(is_open(1, 9).await && !is_open(1, 10).await && !is_open(3, 0).await);
    store.end_session(&[1; 32]).await.unwrap();
    assert!(!is_open(1, 0).await && is_open(2, 0).await);
    store.set_password("anna", "$argon2id$3").await.unwrap();
    assert!(!is_open(2, 0).await);
    assert!(open(4).await);
    store.disable_account("anna", moment(5)).await.unwrap();
    assert!(!is_open(4, 0).await && !open(5).await);
    let account = store.account("anna").await.unwrap().unwrap();
    assert_eq!((account.password_hash.as_str(), account.role), ("$argon2id$3", Role::Analyst));
    assert_eq!(account.disabled_at, Some(moment(5)));
    assert!(store.set_password("nobody", "").await.is_err());
    assert_eq!(store.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn ended_sessions_are_pruned() {
    let (store, _dir) = store().await;
    store.add_account("anna", "$argon2id$1", Role::Analyst, moment(0)).await.unwrap();
    for (token, end) in [(1, 10), (2, 20)] {
        assert!(store.add_session(&[token; 32], "anna", moment(0), moment(end)).await.unwrap());
    }
    assert_eq!(store.prune_sessions(moment(10)).await.unwrap(), 1);
    assert!(store.session(&[2; 32], moment(10)).await.unwrap().is_some());
}
