//! The pages that say no: what is wrong, in Danish, and where to go from there.
//!
//! *Invariants*: nothing that came with the request, and nothing of the failure's cause, stands on them.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use super::frame::{Frame, Here, page};
use crate::store::StoreError;

/// Why there is no page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Nothing is at this address.
    NotFound,
    /// The address knows no such method.
    Method,
    /// The request does not come from one of this site's forms.
    ForeignOrigin,
    /// The form is not one of this site's.
    BadForm,
    /// Too many attempts; the time until the next is allowed.
    TooManyAttempts(Duration),
    /// The collector failed. The cause is in its log.
    Failed,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    status: u16,
    title: &'static str,
    what: String,
}

impl Refused {
    const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Siden findes ikke",
            Self::Method => "Det kan siden ikke",
            Self::ForeignOrigin => "Afvist",
            Self::BadForm => "Formularen kunne ikke læses",
            Self::TooManyAttempts(_) => "For mange forsøg",
            Self::Failed => "Der skete en fejl",
        }
    }

    fn what(self) -> String {
        let text = match self {
            Self::NotFound => "Adressen er forkert, eller siden er fjernet.",
            Self::Method => "Adressen kan ikke bruges på den måde.",
            Self::ForeignOrigin => {
                "Handlingen blev afvist, fordi den ikke kom fra en side i cprvagt. Gå til oversigten, og prøv igen."
            }
            Self::BadForm => {
                "Der manglede noget i formularen, eller den var for stor. Gå tilbage, og prøv igen."
            }
            Self::TooManyAttempts(wait) => {
                let minutes = wait.as_secs().div_ceil(60).max(1);
                let unit = if minutes == 1 { "minut" } else { "minutter" };
                return format!(
                    "Der har været for mange mislykkede forsøg på at logge ind. Prøv igen om {minutes} {unit}."
                );
            }
            Self::Failed => {
                "Siden kunne ikke vises. Fejlen er skrevet i collectorens log. Indsamlingen af hændelser er ikke \
                 nødvendigvis berørt."
            }
        };
        text.to_owned()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status();
        let frame = Frame::new(None, Here::Elsewhere);
        let refusal = RefusalPage { frame, status: status.as_u16(), title: self.title(), what: self.what() };
        let mut response = (status, page(&refusal)).into_response();
        if let Self::TooManyAttempts(wait) = self {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
        }
        response
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a page could not be made");
        Self::Failed
    }
}
