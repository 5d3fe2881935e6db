//! `nigh sign URL`: a URL with a signature, as `nigh_edge::site::signed` makes it.

use std::io::Write;

use nigh_edge::site::signed::{self, Grant, Key};

use crate::{
    cli,
    settings::{SECRET_MAX, Secret},
};

/// Prints the signed URL.
pub(crate) fn run(flags: &cli::Sign) -> anyhow::Result<()> {
    let secret = match (&flags.key, &flags.key_env) {
        (Some(path), _) => Secret::File(path.clone()),
        (None, Some(name)) => Secret::Environment(name.clone()),
        (None, None) => anyhow::bail!("say where the key is: --key FILE or --key-env NAME"),
    };
    let key = Key::new(&flags.id, &secret.read(SECRET_MAX)?)?;
    let expires = nigh_net::clock::now().after(flags.expires).secs();
    let grant = Grant { prefix: flags.prefix.as_deref(), expires, network: flags.network };
    let (site, target) = parted(&flags.url);
    let signed = signed::sign(target, &key, &grant)?;
    writeln!(std::io::stdout().lock(), "{site}{signed}")?;
    Ok(())
}

/// A URL's scheme and authority, and its path and query: a fragment is not sent, so it is not signed.
fn parted(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    match url[authority..].find(['/', '?']).map(|at| authority + at) {
        Some(at) if url[at..].starts_with('/') => url.split_at(at),
        // What has no path is asked for with a slash.
        _ => (url, "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn what_is_signed_is_what_is_sent() {
        for (url, site, target) in [
            ("https://a.example/b?c=/d#e", "https://a.example", "/b?c=/d"),
            ("https://a.example:81", "https://a.example:81", "/"),
            ("/b?c", "", "/b?c"),
        ] {
            assert_eq!(parted(url), (site, target), "{url}");
        }
    }
}
