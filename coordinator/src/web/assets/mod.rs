//! The style, the script and the icon: part of the program, named by their content, and kept by browsers for a year.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// An address that names the content may be kept for ever; every other one is asked for again.
const FOREVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// Characters of the content's hash in an address.
const HASH_CHARS: usize = 16;

#[derive(RustEmbed)]
#[folder = "src/web/assets/files"]
struct Files;

/// The address of one file, with the hash of what it holds: `/assets/0123456789abcdef/style.css`.
pub(super) fn address(name: &str) -> String {
    let hash = Files::get(name).map(|file| hash(&file)).unwrap_or_default();
    format!("/assets/{hash}/{name}")
}

/// `/assets/{hash}/{name}`. A hash of yesterday gets today's file, which is not to be kept under that name.
pub(super) async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let (wanted, name) = path.split_once('/').unwrap_or(("", &path));
    let Some(file) = Files::get(name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let hash = hash(&file);
    let tag = format!("\"{hash}\"");
    let keep = if wanted == hash { FOREVER } else { ASK_AGAIN };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.contains(&tag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::CACHE_CONTROL, keep.to_owned())])
            .into_response();
    }
    let kind = file.metadata.mimetype().to_owned();
    let about = [
        (header::CONTENT_TYPE, with_charset(kind)),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (about, file.data.into_owned()).into_response()
}

fn with_charset(kind: String) -> String {
    if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind }
}

fn hash(file: &EmbeddedFile) -> String {
    let whole = file.metadata.sha256_hash();
    let digits = whole.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).take(HASH_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fetch(path: &str, known: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
        }
        serve(Path(path.trim_start_matches("/assets/").to_owned()), headers).await
    }

    fn header_of(response: &Response, name: header::HeaderName) -> String {
        response.headers().get(name).unwrap().to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_file_is_kept_for_ever_under_the_name_of_its_content_only() {
        for (name, kind) in [
            ("style.css", "text/css; charset=utf-8"),
            ("live.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ] {
            let told = fetch(&address(name), None).await;
            assert_eq!(told.status(), StatusCode::OK, "{name}");
            assert_eq!(header_of(&told, header::CONTENT_TYPE), kind);
            assert_eq!(header_of(&told, header::CACHE_CONTROL), FOREVER);
            let old = fetch(&format!("/assets/0000000000000000/{name}"), None).await;
            assert_eq!(header_of(&old, header::CACHE_CONTROL), ASK_AGAIN);
            let tag = header_of(&told, header::ETAG);
            assert_eq!(fetch(&address(name), Some(&tag)).await.status(), StatusCode::NOT_MODIFIED);
        }
    }

    #[tokio::test]
    async fn nothing_outside_the_embedded_files_is_served() {
        for path in
            ["/assets/x/../mod.rs", "/assets/x/..%2fmod.rs", "/assets//etc/passwd", "/assets/x/mod.rs", "/assets/"]
        {
            assert_eq!(fetch(path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn the_script_needs_nothing_that_the_policy_forbids() {
        let script = String::from_utf8(Files::get("live.js").unwrap().data.into_owned()).unwrap();
        for forbidden in
            ["eval(", "new Function", ".style.", "setAttribute('style", "document.write", "http://", "https://"]
        {
            assert!(!script.contains(forbidden), "{forbidden}");
        }
    }
}
