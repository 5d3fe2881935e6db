//! The verbs of an overlay: taking part in one, and asking one.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use nigh_base::{Address, Key};
use nigh_overlay::locate::{
    LIFETIME_MAX, can,
    chord::{self, PLACES_MAX},
    codec::CONTACTS_MAX,
    kademlia::{self, krpc},
    node,
};

use super::duration;

/// Take part in an overlay: hold a share of its keys and show others the way.
///
/// Without --join it begins a new one. It says on standard output when it listens, has joined and has
/// left. Ctrl-C and SIGTERM make it leave in order, for 8s at most: what it holds goes to those who hold it
/// then, and who lack it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh node                                           begins a ring on 127.0.0.1:4000
  nigh node --listen 127.0.0.1:4001 --join 127.0.0.1:4000
  nigh node --listen 0.0.0.0:4000 --advertise 192.0.2.1:4000 --join 192.0.2.7:4000
  nigh node --overlay kademlia                        begins a DHT on 127.0.0.1:4000
  nigh put greeting hello                             through 127.0.0.1:4000
  nigh fetch greeting --via 127.0.0.1:4001            any node will do
  nigh locate greeting --trace                        who holds it, and the way there

When a node did something strange:
  nigh node --listen 127.0.0.1:4001 --join 127.0.0.1:4000 --record run.nigh
  nigh node --listen 127.0.0.1:4001 --join 127.0.0.1:4000 --replay run.nigh")]
pub(crate) struct Node {
    /// Which overlay.
    #[arg(long, value_enum, default_value_t = Overlay::Chord)]
    pub(crate) overlay: Overlay,
    /// Where this node listens, with UDP and TCP. Port 0 is any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4000", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// A node that is there already; may be given several times, and one that answers is enough.
    #[arg(long, value_name = "ADDR:PORT", value_parser = peer)]
    pub(crate) join: Vec<Address>,
    /// How long to look for one that answers.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = some_time)]
    pub(crate) join_timeout: Duration,
    /// Where others reach this node, if that is not where it listens [default: the listen address]
    #[arg(long, value_name = "ADDR:PORT", value_parser = peer)]
    pub(crate) advertise: Option<Address>,
    /// Print JSON lines, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// The mean time between two rounds of upkeep: the shorter, the sooner the overlay mends itself.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = upkeep)]
    pub(crate) upkeep: Duration,
    /// Nodes that hold a value; in Kademlia those of a bucket do.
    #[arg(long, value_name = "K", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=CONTACTS_MAX as i64))]
    pub(crate) copies: u8,
    /// Whether the asker asks every node on the way itself, or each passes the question on [default:
    /// iterative in Chord, recursive in the others; Kademlia is always iterative]
    #[arg(long, value_enum, hide_default_value = true)]
    pub(crate) routing: Option<Way>,
    #[command(flatten)]
    pub(crate) ring: RingFlags,
    #[command(flatten)]
    pub(crate) dht: DhtFlags,
    #[command(flatten)]
    pub(crate) others: OtherFlags,
    #[command(flatten)]
    pub(crate) recording: RecordingFlags,
}

/// Where on the circle of keys a node is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Place")]
pub(crate) struct PlaceFlags {
    /// Places on the circle of keys, so that loads are more even. Their keys are SHA-1 of the address,
    /// and of the address and a number.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=PLACES_MAX as i64))]
    pub(crate) places: u8,
    /// The key of this node in 40 hexadecimal digits, instead of SHA-1 of its address.
    #[arg(long, value_name = "HEX", conflicts_with = "places")]
    pub(crate) id: Option<Key>,
}

/// How a node of a ring behaves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Chord")]
pub(crate) struct RingFlags {
    /// Successors that it knows: the ring survives while one of them does.
    #[arg(long, value_name = "R", default_value_t = 8,
          value_parser = clap::value_parser!(u8).range(1..=CONTACTS_MAX as i64))]
    pub(crate) successors: u8,
    /// Of so many nodes that would do, the nearest by round trip becomes a finger: at most as many as
    /// successors are known; 1 measures nothing.
    #[arg(long, value_name = "X", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=CONTACTS_MAX as i64))]
    pub(crate) proximity: u8,
}

/// How a node of a DHT behaves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kademlia")]
pub(crate) struct DhtFlags {
    /// Nodes of a bucket, which are as many as hold what is stored.
    #[arg(long, value_name = "K", default_value_t = 8,
          value_parser = clap::value_parser!(u8).range(1..=krpc::NODES_SENT as i64))]
    pub(crate) bucket: u8,
    /// Questions of one lookup at once.
    #[arg(long, value_name = "ALPHA", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) parallel: u8,
    /// Disjoint paths of a lookup: with several of them, nodes that lie lead only some astray.
    #[arg(long, value_name = "D", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=kademlia::PATHS_MAX as i64))]
    pub(crate) paths: u8,
    /// Only ask, and answer nothing: for who cannot be reached from outside.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Questions a second that one address may ask, ten times as many at once; 0 is any number.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) questions: u32,
}

/// How a node of one of the other overlays behaves.
#[derive(Debug, Args)]
#[command(next_help_heading = "The other overlays")]
pub(crate) struct OtherFlags {
    /// Leaves that a node of Pastry, Koorde or Viceroy knows, half of them on each side.
    #[arg(long, value_name = "L", default_value_t = 16, value_parser = leaves)]
    pub(crate) leaves: u8,
    /// Bits of a digit in Pastry and Tapestry: more make ways shorter and tables longer. All nodes have the
    /// same.
    #[arg(long, value_name = "B", default_value_t = 4, value_parser = digit_bits)]
    pub(crate) digit_bits: u8,
    /// Mend a leaf set when a node is found gone, as Pastry did at first, instead of with the next round.
    #[arg(long)]
    pub(crate) reactive: bool,
    /// Dimensions of CAN's torus: more make ways shorter and neighbours more. All nodes have the same.
    #[arg(long, value_name = "D", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(1..=can::zone::DIMENSIONS_MAX as i64))]
    pub(crate) dimensions: u8,
    /// Spaces of CAN in each of which a node has a zone, and a value lies: more bring whoever asks sooner to
    /// one who holds it, and outlive more failures. All nodes have the same.
    #[arg(long, value_name = "R", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=can::zone::REALITIES_MAX as i64))]
    pub(crate) realities: u8,
    /// Bits of the key that one step of Koorde resolves; two to the power of it pointers are known.
    #[arg(long, value_name = "B", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) degree_bits: u8,
}

/// What a node did, written down.
#[derive(Debug, Args)]
#[command(next_help_heading = "Looking into what went wrong")]
pub(crate) struct RecordingFlags {
    /// Write all that the node is given into a new FILE, up to 256 MiB, for --replay. Keep it to
    /// yourself: it holds the node's secrets.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Give a recording to a fresh node without any network, and say whether it comes to the same
    /// state. The other flags must be those of the recorded node; where that one listened on port 0,
    /// say which port it got.
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub(crate) replay: Option<PathBuf>,
}

/// The overlays that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlay {
    /// A circle of keys; each belongs to the next node clockwise.
    Chord,
    /// BitTorrent's DHT: a key belongs to the nodes whose ids differ from it in the lowest bits.
    Kademlia,
    /// Keys as strings of digits on a circle; each belongs to the numerically nearest node. With Bamboo's
    /// upkeep.
    Pastry,
    /// The same digits without a circle; a key's root is found by resolving them, and holders leave pointers
    /// on the way to it.
    Tapestry,
    /// Keys as points of a torus; each node has a zone of it.
    Can,
    /// A circle with a de Bruijn graph: few links, short ways.
    Koorde,
    /// A circle with a butterfly: seven links a node, however many nodes there are.
    Viceroy,
}

impl Overlay {
    /// The flag that names it, if one is needed.
    pub(crate) fn flag(self) -> String {
        match self {
            Self::Chord => String::new(),
            other => {
                let value = other.to_possible_value().expect("each has a name");
                format!(" --overlay {}", value.get_name())
            }
        }
    }
}

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The asker asks each node for the next.
    Iterative,
    /// Each node passes the question on; the last one answers the asker.
    Recursive,
}

impl From<Way> for chord::Routing {
    fn from(way: Way) -> Self {
        match way {
            Way::Iterative => Self::Iterative,
            Way::Recursive => Self::Recursive,
        }
    }
}

impl From<Way> for node::Routing {
    fn from(way: Way) -> Self {
        match way {
            Way::Iterative => Self::Iterative,
            Way::Recursive => Self::Recursive,
        }
    }
}

/// Say which node of an overlay is responsible for a key, and how the way there goes.
///
/// Asks as a visitor: it becomes no part of the overlay. The holder is responsible for the key, and the
/// stand-ins come after it, as the last node on the way names them; none of them has to be asked for that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh locate greeting                     the key is SHA-1 of the text
  nigh locate 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed
  nigh locate greeting --trace             with every node on the way, and why it was chosen
  nigh locate greeting --overlay kademlia  through a node of a DHT
  nigh locate greeting --via 192.0.2.7:4000 --via 192.0.2.8:4000 --json")]
pub(crate) struct Locate {
    #[command(flatten)]
    pub(crate) sought: Sought,
    /// Print each node on the way: its address, its key, its round trip and why it was chosen.
    #[arg(long)]
    pub(crate) trace: bool,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// Have a value held under a key, by several nodes of an overlay.
///
/// A value has at most 1024 bytes. It is held for the time that --for says and then forgotten; putting
/// it again makes it last, and another value takes its place.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh put greeting hello
  nigh put greeting - --for 7d < greeting.txt
  date | nigh put now --via 192.0.2.7:4000
  nigh fetch greeting")]
pub(crate) struct Put {
    #[command(flatten)]
    pub(crate) sought: Sought,
    /// The value, or `-` for standard input.
    #[arg(value_name = "VALUE", default_value = "-")]
    pub(crate) value: String,
    /// How long it is held: at most 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = lifetime)]
    pub(crate) lifetime: Duration,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// Print the value that is held under a key, as it was put: nothing is added to it.
///
/// Ends with 1 if nothing is held.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh fetch greeting
  nigh fetch greeting --via 192.0.2.7:4000 -o greeting.txt
  nigh fetch greeting --json")]
pub(crate) struct Fetch {
    #[command(flatten)]
    pub(crate) sought: Sought,
    /// Write it to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) visit: Visit,
}

/// What is asked about, and where.
#[derive(Debug, Args)]
pub(crate) struct Sought {
    /// A key in 40 hexadecimal digits, or any text: its key is its SHA-1.
    #[arg(value_name = "KEY")]
    pub(crate) name: String,
    /// KEY is a text, even if it looks like a key.
    #[arg(long)]
    pub(crate) text: bool,
    /// Of which overlay the nodes are that are asked.
    #[arg(long, value_enum, default_value_t = Overlay::Chord)]
    pub(crate) overlay: Overlay,
}

impl Sought {
    pub(crate) fn key(&self) -> Key {
        match self.name.parse() {
            Ok(key) if !self.text => key,
            _ => Key::of(self.name.as_bytes()),
        }
    }

    /// The text whose key it is, unless a key was given.
    pub(crate) fn hashed(&self) -> Option<&str> {
        (self.text || self.name.parse::<Key>().is_err()).then_some(&*self.name)
    }
}

/// How the overlay is asked.
#[derive(Debug, Args)]
pub(crate) struct Visit {
    /// A node that is asked first; may be given several times, for when one does not answer.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4000", value_parser = peer)]
    pub(crate) via: Vec<Address>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = some_time)]
    pub(crate) timeout: Duration,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address and port, such as 127.0.0.1:4000"))
}

/// The address of a node, as others reach it.
fn peer(text: &str) -> Result<Address, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is no address and port, such as 192.0.2.7:4000"))?;
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(format!("{} is no address of one machine", address.ip()));
    }
    if address.port() == 0 {
        return Err("nobody is reached on port 0".to_owned());
    }
    Ok(address.into())
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("some time is needed".to_owned()),
        time => Ok(time),
    }
}

fn upkeep(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if (UPKEEP_MIN..=UPKEEP_MAX).contains(&time) {
        Ok(time)
    } else {
        Err("upkeep goes every 10ms to 1h".to_owned())
    }
}

fn leaves(text: &str) -> Result<u8, String> {
    let even = text.parse().ok().filter(|it: &u8| it.is_multiple_of(2));
    even.filter(|it| (2..=CONTACTS_MAX).contains(&usize::from(*it)))
        .ok_or_else(|| format!("an even number from 2 to {CONTACTS_MAX} is needed"))
}

fn digit_bits(text: &str) -> Result<u8, String> {
    let bits = text.parse().ok().filter(|it| matches!(it, 1 | 2 | 4));
    bits.ok_or_else(|| "a digit has 1, 2 or 4 bits".to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match some_time(text)? {
        time if time > LIFETIME_MAX => {
            Err("a value is held for at most 7d; put it again".to_owned())
        }
        time => Ok(time),
    }
}

/// More often, a node does little else.
const UPKEEP_MIN: Duration = Duration::from_millis(10);
/// Less often, a ring does not survive: nodes come and go within hours.
const UPKEEP_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_digits_are_a_key_and_anything_else_is_a_text() {
        let sought =
            |name: &str, text| Sought { name: name.to_owned(), text, overlay: Overlay::Chord };
        let digits = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(sought("abc", false).key().to_string(), digits);
        assert_eq!(sought("abc", false).hashed(), Some("abc"));
        assert_eq!(sought(digits, false).key().to_string(), digits);
        assert_eq!(sought(digits, false).hashed(), None);
        assert_eq!(sought(digits, true).key(), Key::of(digits.as_bytes()));
        assert_eq!(sought(digits, true).hashed(), Some(digits));
    }

    #[test]
    fn a_node_is_reached_at_one_address_and_port() {
        assert!(peer("192.0.2.7:4000").is_ok());
        assert!(peer("[2001:db8::7]:4000").is_ok());
        for wrong in ["0.0.0.0:4000", "[::]:4000", "224.0.0.1:4000", "192.0.2.7:0", "node", "::1"] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_keep_their_bounds() {
        assert_eq!(lifetime("7d"), Ok(LIFETIME_MAX));
        assert!(lifetime("8d").unwrap_err().contains("at most 7d"));
        assert!(some_time("0s").is_err());
        assert!(upkeep("9ms").is_err());
        assert!(upkeep("61m").is_err());
    }
}
