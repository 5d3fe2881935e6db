//! The verb that signs URLs.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use nigh_edge::network::Network;

use super::duration;

/// Sign a URL, for paths that let in signed ones alone: prints it with its signature, good until it
/// expires.
///
/// The key is the one that the settings file names under `signed`; docs/signed-urls.md says how others
/// make such URLs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh sign https://www.example.com/private/report.pdf --id k1 --key url.key --expires 1h
  nigh sign https://www.example.com/video/7/list.m3u8 --id k1 --key url.key --prefix /video/7/")]
pub(crate) struct Sign {
    /// The URL, or its path and query.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The key's name in the settings file.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// The file that holds the key.
    #[arg(long, value_name = "FILE", required_unless_present = "key_env")]
    pub(crate) key: Option<PathBuf>,
    /// The variable that holds the key, instead of a file.
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub(crate) key_env: Option<String>,
    /// For how long it is good.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(crate) expires: Duration,
    /// Sign for all paths that begin so, instead of this URL: the parameters that are added are good
    /// for each of them.
    #[arg(long, value_name = "PATH/")]
    pub(crate) prefix: Option<String>,
    /// Sign for clients of this network alone.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<Network>,
}
