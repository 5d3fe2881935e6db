//! The first message of a TLS client: whom it wants to speak to. RFC 8446, sections 4.1.2 and 5.1; RFC
//! 6066, section 3 (server_name). Nothing is opened: what is read here goes on as it came.

use crate::site::Host;

/// Bytes of the longest message that is read, its records included: a client with every extension and
/// post-quantum keys sends a quarter of it.
pub const BYTES_MAX: usize = 16 * 1024;

/// Bytes of one record's content. RFC 8446, section 5.1.
const RECORD_MAX: usize = 1 << 14;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The beginning of a message; so many bytes, from the first on, must be there to say more.
    Partial {
        /// Always more than there are, and never more than [`BYTES_MAX`].
        wanted: usize,
    },
    /// A whole message, with the name that it asks for, in lower case.
    Hello(Option<Box<str>>),
    /// No TLS, or none that anybody would answer.
    Invalid,
}

/// Reads the first bytes of a connection. The message may lie in several records (some clients cut it
/// on purpose), and what follows it is left alone.
pub fn read(bytes: &[u8]) -> Read {
    match message(bytes) {
        Err(read) => read,
        Ok(message) => match name(&message) {
            Some(name) => Read::Hello(name),
            None => Read::Invalid,
        },
    }
}

/// The message, put together from its records; without its type and length.
fn message(bytes: &[u8]) -> Result<Vec<u8>, Read> {
    let mut message = Vec::new();
    let mut at = 0;
    loop {
        let length = match &bytes[at..] {
            [22, 3, 0..=4, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            [] | [22] | [22, 3] | [22, 3, 0..=4] | [22, 3, 0..=4, _] => {
                return Err(partial(at + 5));
            }
            _ => return Err(Read::Invalid),
        };
        if length == 0 || length > RECORD_MAX {
            return Err(Read::Invalid);
        }
        let end = at + 5 + length;
        let Some(content) = bytes.get(at + 5..end) else { return Err(partial(end)) };
        message.extend_from_slice(content);
        at = end;
        match &message[..] {
            [1, lengths @ ..] if lengths.len() >= 3 => {
                let length = u32::from_be_bytes([0, lengths[0], lengths[1], lengths[2]]);
                let length = usize::try_from(length).expect("24 bits");
                if length > BYTES_MAX {
                    return Err(Read::Invalid);
                }
                if message.len() >= 4 + length {
                    message.truncate(4 + length);
                    message.drain(..4);
                    return Ok(message);
                }
            }
            [1, ..] => {}
            _ => return Err(Read::Invalid),
        }
    }
}

fn partial(wanted: usize) -> Read {
    if wanted > BYTES_MAX { Read::Invalid } else { Read::Partial { wanted } }
}

/// The name that a message asks for, if it asks for one; `None` if it is malformed.
fn name(message: &[u8]) -> Option<Option<Box<str>>> {
    let mut rest = Reader(message);
    // Version and random; session id, cipher suites, compression methods.
    rest.take(2 + 32)?;
    rest.short()?;
    rest.long()?;
    rest.short()?;
    if rest.0.is_empty() {
        // As SSL 3 had it.
        return Some(None);
    }
    let mut extensions = Reader(rest.long()?);
    if !rest.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.long()?;
        if kind == 0 {
            let mut list = Reader(content);
            let mut names = Reader(list.long()?);
            let host_name = names.take(1)? == [0];
            let name = host(names.long()?)?;
            // One of each kind, and there is one kind (RFC 6066); two would be two readings.
            if !host_name || !names.0.is_empty() || !list.0.is_empty() || found.is_some() {
                return None;
            }
            found = Some(name);
        }
    }
    Some(found)
}

/// A name as DNS has it: no address, no wildcard.
fn host(bytes: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    match text.parse() {
        Ok(Host::Exact(name)) if name.parse::<std::net::IpAddr>().is_err() => {
            Some(name).filter(|name| !name.starts_with('['))
        }
        _ => None,
    }
}

/// Takes vectors off the front. RFC 8446, section 3.4.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector of at most 255 bytes.
    fn short(&mut self) -> Option<&'b [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// A vector of at most 65,535 bytes.
    fn long(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &long(content)].concat()
    }

    fn server_name(name: &str) -> Vec<u8> {
        let entry = [&[0][..], &long(name.as_bytes())].concat();
        extension(0, &long(&entry))
    }

    /// A handshake message with these extensions.
    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0]);
        body.extend(long(&[0x13, 0x01]));
        body.extend([1, 0]);
        body.extend(long(&extensions.concat()));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1, length[1], length[2], length[3]][..], &body].concat()
    }

    /// The message in records of so many bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |content: &[u8]| [&[22, 3, 1][..], &long(content)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn named(name: &str) -> Read {
        Read::Hello(Some(name.into()))
    }

    #[test]
    fn the_name_is_found_however_the_message_is_cut() {
        let padding = extension(21, &[0; 600]);
        let message =
            hello(&[extension(10, &[0, 2, 0, 29]), server_name("WWW.Example.org"), padding]);
        for size in [1, 2, 3, 5, 100, 10_000] {
            let mut bytes = records(&message, size);
            bytes.extend(b"what follows");
            assert_eq!(read(&bytes), named("www.example.org"), "records of {size}");
        }
    }

    #[test]
    fn more_is_asked_for_until_the_message_is_whole() {
        let bytes = records(&hello(&[server_name("a.example")]), 20);
        let mut there = 0;
        let mut steps = 0;
        while there < bytes.len() {
            let Read::Partial { wanted } = read(&bytes[..there]) else { panic!("at {there}") };
            assert!(wanted > there && wanted <= bytes.len(), "{wanted} at {there}");
            (there, steps) = (wanted, steps + 1);
        }
        assert_eq!(read(&bytes), named("a.example"));
        assert!(steps <= bytes.len() / 10, "{steps} steps for {} bytes", bytes.len());
    }

    #[test]
    fn a_message_without_a_name_is_one() {
        assert_eq!(read(&records(&hello(&[]), 999)), Read::Hello(None));
    }

    #[test]
    fn what_is_no_such_message_is_told_at_once() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[22, 4],
            &[22, 3, 9],
            &[23, 3, 1, 0, 1, 1],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0x40, 1],
            // Not the type of a client's first message.
            &[22, 3, 1, 0, 1, 2],
            // One that is longer than is read.
            &[22, 3, 1, 0, 4, 1, 0xff, 0, 0],
        ] {
            assert_eq!(read(bytes), Read::Invalid, "{bytes:?}");
        }
    }

    #[test]
    fn a_name_that_is_none_or_two_is_refused() {
        for extensions in [
            vec![server_name("")],
            vec![server_name("192.0.2.1")],
            vec![server_name("[::1]")],
            vec![server_name("*")],
            vec![server_name("a b")],
            vec![server_name("a.example"), server_name("b.example")],
            vec![extension(0, &[0, 1])],
            vec![vec![0, 0, 0, 9]],
        ] {
            assert_eq!(read(&records(&hello(&extensions), 999)), Read::Invalid, "{extensions:?}");
        }
    }
}
