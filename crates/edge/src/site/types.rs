//! Paths that name a file, and responses that are no such file: how web cache deception shows. Who is
//! led to `/account/x.css`, and whose origin answers that with the account, must not find it kept for
//! the next one who asks.

use nigh_cache::{directives::ResponseDirectives, list};

use super::{compress::essence, path};

/// What files are called that are the same for everybody, and never a page or data.
const STATIC: [&str; 56] = [
    "css", "js", "mjs", "map", "wasm", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico",
    "bmp", "tif", "tiff", "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "m4a", "m4v", "webm",
    "ogg", "oga", "ogv", "wav", "flac", "aac", "ts", "mpd", "pdf", "zip", "gz", "bz2", "xz", "zst",
    "7z", "tar", "jar", "apk", "exe", "dmg", "csv", "txt", "swf", "iso", "bin", "rar", "heic",
    "jxl", "doc", "docx",
];

/// The longest of [`STATIC`].
const EXTENSION_MAX: usize = 5;

/// What a page is, or data.
const PAGES: [&str; 4] = ["text/html", "application/xhtml+xml", "application/json", "text/json"];

/// Whether a response to a request for `target` may be somebody's page under the name of a file: the
/// name is one of a static file, the type is a page's or data's, and it does not say of itself that it
/// is for everybody. `map` files are JSON.
pub(super) fn is_deceptive(
    target: &str,
    content_type: Option<&[u8]>,
    directives: &ResponseDirectives,
) -> bool {
    if directives.public || directives.s_maxage.is_some() {
        return false;
    }
    let Some(kind) = content_type.map(essence) else { return false };
    let Some(page) = PAGES.iter().find(|page| list::same_token(page.as_bytes(), kind)) else {
        return false;
    };
    let path = target.split('?').next().unwrap_or_default();
    // However whoever made up the name wrote it.
    let is_named = |path: &str| {
        let Some((_, extension)) = path.rsplit_once('.') else { return false };
        let is_it = |held: &&'static str| held.eq_ignore_ascii_case(extension);
        extension.len() <= EXTENSION_MAX
            && STATIC.iter().any(is_it)
            && !(*page == "application/json" && extension.eq_ignore_ascii_case("map"))
    };
    is_named(path) || path::readings(path).is_none_or(|all| all.iter().any(|it| is_named(it)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    fn deceives(target: &str, kind: &str, cache_control: &'static str) -> bool {
        let said = ResponseDirectives::parse(&fields(&[("cache-control", cache_control)]));
        is_deceptive(target, Some(kind.as_bytes()), &said)
    }

    #[test]
    fn a_page_under_the_name_of_a_file_is_taken_for_a_deception() {
        for (target, kind, cache_control, expected) in [
            ("/account/x.css", "text/html; charset=utf-8", "max-age=60", true),
            ("/account;x.JPEG?a=b.c", "TEXT/HTML", "", true),
            ("/me%2fx.js", "application/json", "max-age=60", true),
            ("/account/x%2ecss", "text/html", "max-age=60", true),
            ("/account/x.cs%73", "text/html", "max-age=60", true),
            ("/account/x.css;y", "text/html", "max-age=60", true),
            ("/account/%78.css%3By", "text/html", "max-age=60", true),
            ("/account/x.css%20", "text/html", "max-age=60", true),
            ("/account/x.css%00", "text/html", "max-age=60", true),
            ("/account/z.csv", "text/html", "max-age=60", true),
            ("/x.css", "text/css", "max-age=60", false),
            ("/x.js", "text/javascript", "max-age=60", false),
            ("/x.css", "text/html", "public, max-age=60", false),
            ("/x.css", "text/html", "s-maxage=60", false),
            ("/x.html", "text/html", "max-age=60", false),
            ("/x", "text/html", "max-age=60", false),
            ("/x.json", "application/json", "max-age=60", false),
            ("/x.js.map", "application/json", "max-age=60", false),
            ("/x?y.css", "text/html", "max-age=60", false),
            ("/a.css/b", "text/html", "max-age=60", false),
        ] {
            assert_eq!(deceives(target, kind, cache_control), expected, "{target} {kind}");
        }
        assert!(!is_deceptive("/x.css", None, &ResponseDirectives::default()));
    }
}
