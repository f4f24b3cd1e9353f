//! A request's body: whole, in time, and not larger than allowed.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, timeout_at};

use super::refusal::Refused;
use super::{BODY_RATE, BODY_TIME, JSON_BYTES_MAX};

/// The body's bytes, at most `bytes_max`.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Refused> {
    let (mut body, begun) = (Limited::new(body, bytes_max), Instant::now());
    let mut whole = Vec::new();
    loop {
        let earned = Duration::from_secs((whole.len() / BODY_RATE) as u64);
        let frame = timeout_at(begun + BODY_TIME + earned, body.frame()).await.map_err(|_| Refused::SLOW)?;
        match frame {
            None => return Ok(whole.into()),
            Some(Ok(frame)) => whole.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..])),
            Some(Err(error)) if error.is::<LengthLimitError>() => return Err(Refused::TOO_LARGE),
            Some(Err(_)) => return Err(Refused::BROKEN),
        }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use axum::http::StatusCode;
    use cprvagt_report::DELIVERY_BYTES_MAX;
    use hyper::body::Frame;
    use tokio::time::Interval;

    use super::*;

    /// So many bytes each second, then nothing for ever.
    struct Trickle {
        seconds: Interval,
        bytes: usize,
        left: usize,
        ends: bool,
    }

    impl hyper::body::Body for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return if self.ends { Poll::Ready(None) } else { Poll::Pending };
            }
            ready!(self.seconds.poll_tick(context));
            let bytes = self.bytes.min(self.left);
            self.left -= bytes;
            Poll::Ready(Some(Ok(Frame::data(vec![7; bytes].into()))))
        }
    }

    async fn come(bytes: usize, left: usize, ends: bool) -> Result<usize, StatusCode> {
        let seconds = tokio::time::interval(Duration::from_secs(1));
        let body = Body::new(Trickle { seconds, bytes, left, ends });
        let told = whole(body, DELIVERY_BYTES_MAX).await;
        told.map(|bytes| bytes.len()).map_err(|refused| refused.into_response().status())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_gets_a_whole_delivery_through_and_a_stalled_one_does_not() {
        let begun = Instant::now();
        assert_eq!(come(BODY_RATE, DELIVERY_BYTES_MAX, true).await, Ok(DELIVERY_BYTES_MAX));
        assert!(begun.elapsed() > Duration::from_secs(500));
        let begun = Instant::now();
        assert_eq!(come(100, DELIVERY_BYTES_MAX, true).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(come(100, 100, false).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert!(begun.elapsed() < Duration::from_secs(70));
        let large = come(BODY_RATE, DELIVERY_BYTES_MAX + 1, true).await;
        assert_eq!(large, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
