//! Saying no: a status, and what is wrong and what to do, for the person who reads the agent's log.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cprvagt_report::{BadDelivery, Refusal};

use crate::authority::{AuthorityError, BadRequest};
use crate::ingest::NotTaken;
use crate::store::StoreError;

/// An answer that refuses.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    what: Cow<'static, str>,
    /// Seconds after which it may be different.
    retry_after: Option<u16>,
}

impl Refused {
    pub(super) const NOT_FOUND: Self =
        Self::new(StatusCode::NOT_FOUND, "there is nothing here; this is the collector's address for agents");
    pub(super) const NOT_POST: Self = Self::new(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here");
    pub(super) const NO_CERTIFICATE: Self =
        Self::new(StatusCode::UNAUTHORIZED, "a client certificate is needed; enrol this host: cprvagt enrol");
    pub(super) const EXPIRED: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "the client certificate has expired; enrol this host again with a new token",
    );
    pub(super) const NO_AGENT: Self =
        Self::new(StatusCode::FORBIDDEN, "the client certificate names no agent; enrol this host");
    pub(super) const NOT_ACTIVE: Self = Self::new(
        StatusCode::FORBIDDEN,
        "this agent is unknown here or was revoked; ask who runs the collector, then enrol with a new token",
    );
    pub(super) const BUSY: Self =
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "the collector is busy; come again", 2);
    pub(super) const ONE_AT_A_TIME: Self = Self::later(
        StatusCode::SERVICE_UNAVAILABLE,
        "a delivery of this agent is still being taken in; come again (if this goes on, two hosts share one identity)",
        2,
    );
    pub(super) const TOO_OFTEN: Self = Self::later(
        StatusCode::TOO_MANY_REQUESTS,
        "too many enrolments from this address; come again in a while",
        10,
    );
    pub(super) const TOO_LARGE: Self = Self::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the request is larger than allowed; send fewer reports at once",
    );
    pub(super) const SLOW: Self = Self::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request did not come in whole in time; check the network",
    );
    pub(super) const BROKEN: Self = Self::new(StatusCode::BAD_REQUEST, "the request did not come in whole");
    pub(super) const NOT_JSON: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "the body is not the JSON that is expected here; agent and collector may not fit together",
    );
    pub(super) const NO_DELIVERY: Self = Self::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "deliveries have content type application/vnd.cprvagt.delivery",
    );
    pub(super) const NUMBERS: Self =
        Self::new(StatusCode::BAD_REQUEST, "reports are numbered from 1 to 9223372036854775807");
    pub(super) const TOKEN_UNKNOWN: Self = Self::new(
        StatusCode::FORBIDDEN,
        "the token is not known here; check that it was copied whole and belongs to this collector",
    );
    pub(super) const TOKEN_EXPIRED: Self =
        Self::new(StatusCode::FORBIDDEN, "the token has expired; make a new one: cprvagt-collector token");
    pub(super) const TOKEN_USED: Self = Self::new(
        StatusCode::FORBIDDEN,
        "the token was used before; each is for one host: make a new one: cprvagt-collector token",
    );
    const FAILED: Self =
        Self::later(StatusCode::INTERNAL_SERVER_ERROR, "the collector failed; its log says why", 30);
    const DISK_FULL: Self =
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "the collector's disk is full; make room there", 60);

    const fn new(status: StatusCode, what: &'static str) -> Self {
        Self { status, what: Cow::Borrowed(what), retry_after: None }
    }

    const fn later(status: StatusCode, what: &'static str, seconds: u16) -> Self {
        Self { status, what: Cow::Borrowed(what), retry_after: Some(seconds) }
    }
}

impl From<BadRequest> for Refused {
    fn from(error: BadRequest) -> Self {
        Self { what: error.to_string().into(), ..Self::NOT_JSON }
    }
}

impl From<BadDelivery> for Refused {
    fn from(error: BadDelivery) -> Self {
        let what = format!("the delivery is not one: {error}; agent and collector may not fit together");
        match error {
            BadDelivery::TooLarge => Self::TOO_LARGE,
            _ => Self { what: what.into(), ..Self::NOT_JSON },
        }
    }
}

impl From<NotTaken> for Refused {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::QueueFull | NotTaken::Busy => Self::BUSY,
            NotTaken::DiskFull => Self::DISK_FULL,
            NotTaken::Failed => Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::FAILED },
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::warn!("an agent's request failed: {error}");
        match error {
            StoreError::Full => Self::DISK_FULL,
            StoreError::Busy => Self::BUSY,
            _ => Self::FAILED,
        }
    }
}

impl From<AuthorityError> for Refused {
    fn from(error: AuthorityError) -> Self {
        tracing::error!("no certificate could be issued: {error}");
        Self::FAILED
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        metrics::counter!("agent_refusals_total", "status" => self.status.as_str().to_owned()).increment(1);
        let body = serde_json::to_vec(&Refusal { error: self.what.into_owned() }).expect("a text is JSON");
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, json, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
