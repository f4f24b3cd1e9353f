//! Which agent a client certificate names.
//!
//! The handshake has checked that the authority signed it, that it is for clients, and that it was valid then.
//! Connections may outlive certificates, so the end is looked at again for each request.

use cprvagt_report::AgentId;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Desk;
use super::refusal::Refused;
use crate::listener::Peer;

/// How an agent's identity is written in its certificate.
const PREFIX: &str = "urn:uuid:";

impl Desk {
    /// The agent at the other end, if it may be heard.
    pub(super) async fn agent(&self, peer: &Peer) -> Result<AgentId, Refused> {
        let certificate = peer.certificate.as_ref().ok_or(Refused::NO_CERTIFICATE)?;
        let (agent, ends_at) = named(certificate).ok_or(Refused::NO_AGENT)?;
        if Timestamp::now().as_second() > ends_at {
            return Err(Refused::EXPIRED);
        }
        if !self.store.is_active(agent).await? {
            return Err(Refused::NOT_ACTIVE);
        }
        self.seen.note(agent);
        Ok(agent)
    }
}

/// The agent that `certificate` names.
pub(crate) fn agent_named(certificate: &CertificateDer<'_>) -> Option<AgentId> {
    named(certificate).map(|(agent, _)| agent)
}

/// The agent that `certificate` names, and when it ends, in seconds of Unix time.
fn named(certificate: &CertificateDer<'_>) -> Option<(AgentId, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names[..] else { return None };
    let agent = Uuid::parse_str(uri.strip_prefix(PREFIX)?).ok()?;
    Some((AgentId(agent), certificate.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn read(names: Vec<SanType>) -> Option<AgentId> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        agent_named(certificate.der())
    }

    #[test]
    fn one_urn_and_nothing_else_names_an_agent() {
        let agent = AgentId(Uuid::now_v7());
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let good = uri(&format!("urn:uuid:{agent}"));
        assert_eq!(read(vec![good.clone()]), Some(agent));
        let dns = SanType::DnsName("a.example".try_into().unwrap());
        for bad in
            [vec![], vec![good.clone(), good], vec![dns], vec![uri("urn:uuid:x")], vec![uri("urn:oid:1.2")]]
        {
            assert_eq!(read(bad.clone()), None, "{bad:?}");
        }
    }
}
