//! A file with the secret by which items are signed.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow};
use nigh_base::machine::Secrets;
use nigh_net::entropy::OsSecrets;

use crate::{cli::bytes_of_32, locate::hex};

/// The secret in a file: 32 bytes, in hexadecimal digits. If there is no such file it is made with a new
/// one, for its owner alone.
///
/// # Errors
/// If the file cannot be read or made, or holds something else.
pub(super) fn read_or_make(path: &Path) -> anyhow::Result<[u8; 32]> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) => bytes_of_32(text.trim()).ok_or_else(|| {
            anyhow!(
                "{shown} holds no secret: 64 hexadecimal digits are expected; name a file that is \
                 not there, and it is made"
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(error).with_context(|| format!("cannot read the secret in {shown}")),
    }
}

fn make(path: &Path) -> anyhow::Result<[u8; 32]> {
    let mut secret = [0; 32];
    OsSecrets::new().fill(&mut secret);
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(format!("{}\n", hex(&secret)).as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot make a secret in {}", path.display()))?;
    Ok(secret)
}
