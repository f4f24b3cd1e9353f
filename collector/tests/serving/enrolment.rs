//! Tokens, enrolling and renewing.

use cprvagt_report::{ENROL_PATH, RENEW_PATH, RenewAnswer, RenewRequest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::{Dial, Shown};
use crate::rig::{Agent, Applicant, Rig, deliver, receipts};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_one_agent() {
    let rig = Rig::start().await;
    let (token, applicant) = (rig.token(60).await, Applicant::new());
    let first = Agent::of(&rig.ask_to_enrol(token.secret(), applicant.request.clone()).await, &applicant);
    // The answer was lost: the same request is answered again, as the same agent.
    let again = Agent::of(&rig.ask_to_enrol(token.secret(), applicant.request.clone()).await, &applicant);
    assert_eq!(first.id, again.id);
    assert_eq!(rig.store.agents().await.unwrap().len(), 1);

    let other = rig.ask_to_enrol(token.secret(), Applicant::new().request).await;
    assert_eq!(other.status, 403);
    assert!(other.refusal().contains("used before"), "{}", other.refusal());
    let mut client = rig.dial_as(&again).connect().await.unwrap();
    assert!(receipts(&deliver(&mut client, vec![]).await).receipts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_enrolment_is_told() {
    let rig = Rig::start().await;
    let request = || Applicant::new().request;
    let expired = rig.ask_to_enrol(rig.token(-1).await.secret(), request()).await;
    assert_eq!(expired.status, 403);
    assert!(expired.refusal().contains("expired"), "{}", expired.refusal());
    for secret in ["", "AAAA", &"A".repeat(43)] {
        let unknown = rig.ask_to_enrol(secret.to_owned(), request()).await;
        assert_eq!(unknown.status, 403);
        assert!(unknown.refusal().contains("not known"), "{}", unknown.refusal());
    }
    let token = rig.token(60).await;
    let no_request = rig.ask_to_enrol(token.secret(), "not PEM".to_owned()).await;
    assert_eq!(no_request.status, 400);
    assert!(no_request.refusal().contains("signing request"), "{}", no_request.refusal());
    // What was refused has not used up the token.
    assert_eq!(rig.ask_to_enrol(token.secret(), request()).await.status, 200);

    let mut client = rig.dial().connect().await.unwrap();
    for (body, status) in [(b"{}".to_vec(), 400), (vec![], 400), (vec![b' '; 100_000], 413)] {
        assert_eq!(client.post(ENROL_PATH, "application/json", body).await.unwrap().status, status);
    }
    assert_eq!(client.post("/v1/nothing", "application/json", vec![]).await.unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolling_is_limited_by_address() {
    let rig = Rig::start().await;
    let mut client = rig.dial().connect().await.unwrap();
    let mut limited = None;
    for _ in 0..200 {
        let answer = client.post(ENROL_PATH, "application/json", vec![]).await.unwrap();
        if answer.status == 429 {
            limited = answer.retry_after;
            break;
        }
    }
    assert!(limited.is_some_and(|seconds| seconds > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_proves_to_be_the_tokens_authority() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let client = rig.dial().connect().await.unwrap();
    let token = cprvagt_report::Token::new([7; 32], &agent.authority);
    assert!(client.server_chain.iter().any(|certificate| token.names(certificate)));
    let stranger = Rig::start().await.enrol().await.authority;
    let dial = Dial { authority: Some(stranger), ..rig.dial() };
    assert!(dial.connect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_for_a_new_key() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let (next, mut client) = (Applicant::new(), rig.dial_as(&agent).connect().await.unwrap());
    let asked = serde_json::to_vec(&RenewRequest { request: next.request.clone() }).unwrap();
    let answer = client.post(RENEW_PATH, "application/json", asked.clone()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.refusal());
    let answer: RenewAnswer = serde_json::from_slice(&answer.body).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(answer.certificate.as_bytes()).unwrap()];
    let shown = Some(Shown { chain, key: next.key.serialize_der() });
    let mut client = Dial { shown, ..rig.dial() }.connect().await.unwrap();
    assert_eq!(deliver(&mut client, vec![]).await.status, 200);
    // It is still the same agent.
    assert_eq!(rig.store.agents().await.unwrap().len(), 1);

    let mut nobody = rig.dial().connect().await.unwrap();
    assert_eq!(nobody.post(RENEW_PATH, "application/json", asked).await.unwrap().status, 401);
}
