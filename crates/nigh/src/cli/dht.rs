//! The verbs of BitTorrent's DHT: swarms, items and samples.

use std::{num::NonZeroU16, path::PathBuf};

use clap::{Args, Subcommand};
use nigh_base::Key;
use nigh_overlay::locate::kademlia::{item, krpc::SALT_MAX};

use super::Visit;

/// Ask BitTorrent's DHT: who is in a swarm, what is held under a name, which swarms there are.
///
/// Asks as a visitor, through any node of the DHT: one of nigh (`nigh node --overlay kademlia`) or of
/// another program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh node --overlay kademlia                             begins a DHT on 127.0.0.1:4000
  nigh dht peers 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed  who is in that swarm
  nigh dht put hello                                       prints the name of the item
  nigh dht get 4a533d47ec9c7d95b1ad75f576cffc641853b750
  nigh dht sample                                          some swarms that nodes know")]
pub(crate) struct Dht {
    #[command(subcommand)]
    pub(crate) verb: DhtVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DhtVerb {
    Peers(Peers),
    Get(GetItem),
    Put(PutItem),
    Sample(Sample),
}

/// Print who is in a swarm, one address a line; announce a peer of it.
///
/// Ends with 1 if nobody is found, unless a peer was announced or peers were counted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh dht peers 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed --via 192.0.2.7:6881
  nigh dht peers 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed --announce 6881 --seed
  nigh dht peers 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed --scrape --json")]
pub(crate) struct Peers {
    /// The name of the swarm, in 40 hexadecimal digits.
    #[arg(value_name = "INFO_HASH")]
    pub(crate) info_hash: Key,
    /// Say also that a peer listens on this port of this machine, for about half an hour.
    #[arg(long, value_name = "PORT")]
    pub(crate) announce: Option<NonZeroU16>,
    /// The peer has all of it.
    #[arg(long, requires = "announce")]
    pub(crate) seed: bool,
    /// Ask also about how many there are: seeds, and other peers.
    #[arg(long)]
    pub(crate) scrape: bool,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// Print the item that is held under a name, if its name or its signature holds: nothing is added to it.
///
/// Of an item that is a byte string the string is printed, and of any other its bencoding. Ends with 1
/// if nothing is held.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh dht get 4a533d47ec9c7d95b1ad75f576cffc641853b750
  nigh dht get 77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548 --salt foobar
  nigh dht get 4a533d47ec9c7d95b1ad75f576cffc641853b750 --json")]
pub(crate) struct GetItem {
    /// The name in 40 hexadecimal digits, or the public key of whoever signs the item in 64.
    #[arg(value_name = "NAME", value_parser = item_name)]
    pub(crate) name: ItemName,
    /// The salt with which it is signed, at most 64 bytes.
    #[arg(long, value_name = "S", default_value = "", hide_default_value = true,
          value_parser = salt)]
    pub(crate) salt: String,
    /// Print its bencoding, whatever it is.
    #[arg(long)]
    pub(crate) bencoded: bool,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// Have an item held, and print its name.
///
/// Without --secret the name follows from the value, and nobody can change it. With --secret the name
/// follows from the key, and who has the secret can put another value there. An item has at most 1000
/// bytes, bencoded; nodes forget it after two hours, unless it is put again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh dht put hello
  nigh dht put hello --secret me.key                  me.key is made if it is not there
  nigh dht put hello --secret me.key --salt greeting --via 192.0.2.7:6881
  nigh dht put 'd3:agei7ee' --bencoded
  date | nigh dht put - --secret me.key --json")]
pub(crate) struct PutItem {
    /// The value, which becomes a byte string, or `-` for standard input.
    #[arg(value_name = "VALUE", default_value = "-")]
    pub(crate) value: String,
    /// VALUE is bencoded already.
    #[arg(long)]
    pub(crate) bencoded: bool,
    /// Sign it with the secret in FILE, which is 32 bytes in hexadecimal digits. If there is no such
    /// file it is made, for its owner alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: Option<PathBuf>,
    /// Which of the signer's items it is: any text of at most 64 bytes.
    #[arg(long, value_name = "S", default_value = "", hide_default_value = true,
          value_parser = salt, requires = "secret")]
    pub(crate) salt: String,
    /// The number of this version: the highest counts [default: one more than that of the held one]
    #[arg(long, value_name = "N", requires = "secret",
          value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) number: Option<i64>,
    /// Only if the held one has this number.
    #[arg(long, value_name = "N", requires = "secret",
          value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) cas: Option<i64>,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// Print the names of some swarms that nodes near to a key know, one a line.
///
/// Ends with 1 if they know none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh dht sample --via 192.0.2.7:6881
  nigh dht sample 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed --json")]
pub(crate) struct Sample {
    /// A key in 40 hexadecimal digits [default: any]
    #[arg(value_name = "NEAR")]
    pub(crate) near: Option<Key>,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// What is known of an item that is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemName {
    /// Its name.
    Name(Key),
    /// Who signs it (Ed25519).
    Signer([u8; 32]),
}

impl ItemName {
    /// Under which name it is held.
    pub(crate) fn target(self, salt: &str) -> Key {
        match self {
            Self::Name(name) => name,
            Self::Signer(key) => item::name_of(&key, salt.as_bytes()),
        }
    }
}

fn item_name(text: &str) -> Result<ItemName, String> {
    if let Ok(name) = text.parse() {
        return Ok(ItemName::Name(name));
    }
    bytes_of_32(text)
        .map(ItemName::Signer)
        .ok_or_else(|| "a name has 40 hexadecimal digits, and a public key 64".to_owned())
}

fn salt(text: &str) -> Result<String, String> {
    if text.len() <= SALT_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!("a salt has at most {SALT_MAX} bytes"))
    }
}

/// 32 bytes that are written in 64 hexadecimal digits.
pub(crate) fn bytes_of_32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..][..2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_named_by_its_name_or_by_its_signer_and_salt() {
        // The first two vectors of BEP 44.
        let name = "4a533d47ec9c7d95b1ad75f576cffc641853b750";
        let key = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
        assert_eq!(item_name(name).unwrap().target("").to_string(), name);
        assert_eq!(item_name(name).unwrap().target("foobar").to_string(), name);
        assert_eq!(item_name(key).unwrap().target("").to_string(), name);
        let salted = "411eba73b6f087ca51a3795d9c8c938d365e32c1";
        assert_eq!(item_name(key).unwrap().target("foobar").to_string(), salted);
        for wrong in ["", "hello", &key[1..], &name[1..], &"+1".repeat(32), &"ä".repeat(32)] {
            assert!(item_name(wrong).unwrap_err().contains("40 hexadecimal digits"), "{wrong}");
        }
    }

    #[test]
    fn a_salt_has_its_bound() {
        assert!(salt(&"s".repeat(SALT_MAX)).is_ok());
        assert!(salt(&"s".repeat(SALT_MAX + 1)).unwrap_err().contains("at most 64 bytes"));
    }
}
