//! A request's body: whole, in time, and not larger than allowed.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refusal::Refused;
use super::{BODY_TIME, JSON_BYTES_MAX};

/// The body's bytes, at most `bytes_max`.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, bytes_max).collect()).await {
        Err(_) => Err(Refused::SLOW),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TOO_LARGE),
        Ok(Err(_)) => Err(Refused::BROKEN),
    }
}

/// The JSON in the body. What is wrong with it is not told in detail, since that would quote it.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Refused> {
    let bytes = whole(body, JSON_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::NOT_JSON)
}

/// `value` as an answer.
pub(super) fn told(value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("an answer is plain data");
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
