//! A settings file that is there for as long as its test runs.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A settings file; dropping it removes it.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    pub(crate) path: PathBuf,
    /// Whether it names an admin address.
    pub(crate) has_admin: bool,
}

impl SettingsFile {
    /// A file that says this, exactly.
    pub(crate) fn saying(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nigh-settings-{}-{number}.toml", std::process::id());
        let has_admin = text.contains("admin = ");
        let file = Self { path: std::env::temp_dir().join(name), has_admin };
        file.rewrite(text);
        file
    }

    /// A file with these sites, that listens on any free port.
    pub(crate) fn with(sites: &str) -> Self {
        Self::saying(&Self::listening(sites))
    }

    /// What [`Self::with`] writes.
    pub(crate) fn listening(sites: &str) -> String {
        format!("[node]\nlisten = \"http://127.0.0.1:0\"\nworkers = 2\n{sites}")
    }

    /// Says something else from now on.
    pub(crate) fn rewrite(&self, text: &str) {
        fs::write(&self.path, text).expect("a temporary file can be written");
    }

    /// Its path, as an argument.
    pub(crate) fn argument(&self) -> &str {
        self.path.to_str().expect("the path is text")
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
