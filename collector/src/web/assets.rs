//! The style sheet and the icon: part of the program, named by their content so that browsers may keep them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

use super::refusal::Refused;

/// A file that pages load.
pub struct Asset {
    /// Where it is served.
    pub path: String,
    media: &'static str,
    content: &'static str,
}

/// The style sheet of all pages.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("../../assets/style.css")));
/// The icon of the site.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("../../assets/icon.svg")));

impl Asset {
    fn new(extension: &str, media: &'static str, content: &'static str) -> Self {
        let digest = BASE32_NOPAD.encode(&Sha256::digest(content)[..10]).to_lowercase();
        Self { path: format!("/assets/{digest}.{extension}"), media, content }
    }
}

/// `GET /assets/{name}`, with or without a session.
pub async fn serve(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let Some(asset) = [&*STYLE, &*ICON].into_iter().find(|asset| asset.path == path) else {
        return Refused::NotFound.into_response();
    };
    let kept = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, asset.media), (CACHE_CONTROL, kept)], asset.content).into_response()
}
